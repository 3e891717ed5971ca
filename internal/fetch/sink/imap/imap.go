// Package imap appends fetched mail to a mailbox of an IMAP server (RFC 3501,
// RFC 9051).
//
// Messages go out in the form in which they were received, with CRLF line ends.
// Whether a message is there already, stored before a crash or by a command
// whose answer was lost, is found out by its octets: when a session begins, the
// sizes of all messages in the mailbox are listed, once, and of those that have
// the size of a message that is to be stored, the contents are compared. This
// costs nothing for a message of a new size. It takes a server that gives
// messages as it got them and tells their true size, as Dovecot, Cyrus and
// Courier do and Exchange does not; and a message that is octet for octet like
// another that was in the mailbox before counts as stored.
package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/sasl"
)

// Security is how a connection is protected.
type Security int

const (
	TLS       Security = iota // TLS from the first octet (RFC 8314), port 993
	STARTTLS                  // TLS by the command STARTTLS, which must succeed, port 143
	Plaintext                 // none
)

const (
	defaultTimeout = 5 * time.Minute
	// parallel is how many messages may be under way: one is being sent and
	// others are being stored.
	parallel = 4
	maxName  = 1000
)

// Options says where mail goes. Address must be set, and User or Auth.
type Options struct {
	Address  string // host:port
	Mailbox  string // in UTF-8; made if it is missing. Empty: INBOX
	Security Security
	// TLS nil: verified by the system's roots. ServerName is the host of
	// Address if empty, and at least TLS 1.2 is used.
	TLS *tls.Config
	// User and Password sign in by LOGIN, without TLS in clear text.
	User, Password string
	// Auth signs in instead, if it is not nil.
	Auth Auth
	// Timeout is how long the server may be silent. A session that is idle for
	// that long is ended. Zero: 5 minutes.
	Timeout time.Duration
	// Settle is how long to wait before a mailbox is listed of which
	// [sink.Message.Doubt] is told, or after a session broke. A server may still
	// be storing what a client that was killed has sent, and then it is not in
	// the list. Zero: not at all.
	Settle time.Duration
	// Dialer connects. Nil: a net.Dialer.
	Dialer Dialer
	// Spool is where a message of more than 64 KiB waits until its size is
	// known. Nil: the system's directory for such files.
	Spool fsx.Dir
}

// Dialer connects. A *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Auth gives a run of the mechanism to sign in by, out of those that the server
// offers, for each connection. channel is nil without TLS.
type Auth func(offered []string, channel *tls.ConnectionState) (sasl.Client, error)

// New returns the sink that appends to a mailbox. It connects when there is a
// message, and keeps the connection.
func New(o Options) (sink.Sink, error) {
	if o.Mailbox == "" {
		o.Mailbox = "INBOX"
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Dialer == nil {
		o.Dialer = new(net.Dialer)
	}
	switch {
	case o.Address == "":
		return nil, errors.New("imap: no address of a server")
	case o.Security < TLS || o.Security > Plaintext:
		return nil, fmt.Errorf("imap: no such security: %d", o.Security)
	case o.User == "" && o.Auth == nil:
		return nil, errors.New("imap: nobody to sign in")
	case strings.ContainsAny(o.User+o.Password, "\x00\r\n"):
		return nil, errors.New("imap: user or password has a CR, an LF or a NUL")
	case len(o.Mailbox) > maxName || !utf8.ValidString(o.Mailbox) || strings.ContainsFunc(o.Mailbox, func(r rune) bool { return r < ' ' || r == 0x7F }):
		return nil, fmt.Errorf("imap: %.100q is no name of a mailbox", o.Mailbox)
	}
	b := &mailbox{o: o, index: newIndex(), stored: make(map[string]bool)}
	b.life, b.end = context.WithCancel(context.Background())
	return b, nil
}
