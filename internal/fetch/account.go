package fetch

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/pop3client"
)

// Account is one remote mailbox and what is to become of its mail.
type Account struct {
	// Name names the account in logs, events and reports. It is unique in a run.
	Name string
	// Mailbox names the remote mailbox in its journal and in the keys of its
	// messages, for ever: user@host:port.
	Mailbox string
	// Host is the server, in errors and in Received lines. Accounts of one Host
	// share Options.PerHost.
	Host string

	// Dial connects: the client is greeted and inside TLS where it must be,
	// and not signed in. It is called for each session.
	Dial func(context.Context) (*pop3client.Client, error)
	// SignIn signs in.
	SignIn func(context.Context, *pop3client.Client) error
	// Sink is where the messages go. Several accounts may share one.
	Sink sink.Sink
	// Destination names what Sink is, for ever, such as maildir:/home/alice/Maildir.
	// What was stored in another one is not deleted on the server: nobody knows
	// whether that is still there. Empty: it is always the same.
	Destination string

	Policy Policy
	Header Header
}

// Policy says which messages are fetched and what is left on the server. The
// zero value fetches all and deletes.
type Policy struct {
	// Keep leaves everything on the server.
	Keep bool
	// DeleteAfter, if more than 0 and without Keep, leaves a message on the
	// server until it was fetched so long ago.
	DeleteAfter time.Duration
	// MaxSize is in octets. Larger messages are left on the server and
	// reported. 0: no limit.
	MaxSize int64
	// OnlyNew makes what is in the mailbox at the very first contact count as
	// fetched. It is not deleted either.
	OnlyNew bool
	// Batch is how many messages are fetched in a session before QUIT makes
	// their deletion good and the next session begins. 0: 1000, and more as
	// long as the session is younger than half a minute.
	Batch int
	// Limit is how many messages are fetched in a round. 0: no limit.
	Limit int
}

// Header says which lines are put in front of a message.
type Header struct {
	// Received adds a Received line: from Account.Host by By with POP3.
	Received bool
	// By is the name of this machine in it.
	By string
	// DeliveredTo is the address in a Delivered-To line. Empty: no such line.
	DeliveredTo string
}

// check finds what is missing, and what could break a line or the journal.
func (a *Account) check() error {
	switch {
	case a.Name == "" || a.Mailbox == "" || a.Host == "":
		return errors.New("an account needs a name, a mailbox and a host")
	case strings.IndexByte(a.Mailbox, 0) >= 0 || len(a.Mailbox) > 1000:
		return errors.New("the name of the mailbox has a NUL or more than 1000 octets")
	case a.Dial == nil || a.SignIn == nil || a.Sink == nil:
		return errors.New("an account needs Dial, SignIn and Sink")
	}
	return a.Header.check()
}

// place names the destination in the journal.
func (a *Account) place() uid {
	if a.Destination == "" {
		return uid{}
	}
	return placeOf(a.Destination)
}

// deletes says whether a message that was stored at that time, in seconds, is to be
// deleted now.
func (p *Policy) deletes(stored int64, now time.Time) bool {
	if p.Keep {
		return false
	}
	return p.DeleteAfter <= 0 || !now.Before(time.Unix(stored, 0).Add(p.DeleteAfter))
}
