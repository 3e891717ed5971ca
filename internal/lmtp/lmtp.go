// Package lmtp takes mail in by the Local Mail Transfer Protocol (RFC 2033)
// and hands it to a maildrop.Deliverer.
//
// A message ends at CRLF "." CRLF and nowhere else. One that has a bare CR or
// LF is read to that end and refused, and the connection is closed, so that
// nothing that another program took for a part of it is obeyed. 250 is the answer to a recipient only when Deliver has
// returned nil. Nothing that a client sent is repeated to it, and a raw address
// is never used to name a file.
//
// To the octets of the message each recipient's copy gets three header fields
// on top: Return-Path, Delivered-To and Received (RFC 5321 §4.4). The rest is
// kept as it came, a Return-Path that was there before included.
//
// LMTP has no passwords: who can connect can deliver. Give the server a Unix
// socket, or a TCP listener that lets in nothing but the networks of the mail
// transfer agents.
package lmtp

import (
	"context"
	"net"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// What Options means by zero.
const (
	defaultMaxMessage     = 64 << 20
	defaultMaxSpool       = 1 << 30
	defaultMaxRecipients  = 1000
	defaultMaxConnections = 512
	defaultMaxParallel    = 8
	defaultCommandTimeout = 5 * time.Minute
	defaultDataTimeout    = 10 * time.Minute
	defaultBackendTimeout = 5 * time.Minute
)

// Resolver knows the accounts.
type Resolver interface {
	// Resolve gives the account that gets the mail of address, a mailbox
	// whose syntax has been checked, without angle brackets (see [Names]). It
	// returns an error that wraps maildrop.ErrNoDrop if there is none. Any
	// other error is an outage: the sender is asked to try again.
	Resolve(ctx context.Context, address string) (account string, err error)
}

// Options says how a Server works. Deliverer and Resolver must be given; every
// other field's zero value means its default.
type Options struct {
	// Hostname is the server's name in the greeting and in Received fields.
	// Default, also for what is no host name: localhost.
	Hostname string
	// Deliverer stores messages. It is called for several accounts at once.
	Deliverer maildrop.Deliverer
	// Resolver is asked for each RCPT.
	Resolver Resolver

	// MaxMessage is the largest message in octets, un-stuffed, without the
	// fields that are added. It is announced by SIZE. Default 64 MiB.
	MaxMessage int64
	// MaxSpool is the room in octets that all messages now being received or
	// delivered may take outside memory. Default 1 GiB.
	MaxSpool int64
	// MaxRecipients is the number of recipients of one message. Default 1000.
	MaxRecipients int
	// MaxConnections is the number of connections at one time; others are
	// turned away with 421. One holds about 40 KiB, with a message 64 KiB
	// more. Default 512.
	MaxConnections int
	// MaxParallel is the number of recipients that one message is delivered
	// to at the same time. Default 8.
	MaxParallel int

	// CommandTimeout is how long the server waits for one whole command, and
	// for the client to take replies. Default 5 minutes (RFC 5321
	// §4.5.3.2.7).
	CommandTimeout time.Duration
	// DataTimeout is how long the client may take to send one whole message.
	// Default 10 minutes.
	DataTimeout time.Duration
	// BackendTimeout ends the context of one Resolve, and that of all
	// deliveries of one message. A client waits for 10 minutes (RFC 5321
	// §4.5.3.2.6). Default 5 minutes.
	BackendTimeout time.Duration

	// Spool makes the file for a message of 64 KiB or more. Default
	// SpoolIn(""). An error that wraps maildrop.ErrFull or says that the disk
	// is full is answered by 452, another by 451.
	Spool func(ctx context.Context) (SpoolFile, error)
	// Trace is told what happens.
	Trace Trace
}

// Trace is told what happens on a server. A nil function is not called. The
// functions are called by many goroutines and should return at once.
type Trace struct {
	// Recipient is called when a recipient was refused and when the delivery
	// to one has ended.
	Recipient func(Result)
	// Session is called when a connection has ended.
	Session func(End)
	// Accept is called when a connection could not be accepted, after which
	// Serve tries again, or was turned away because there are too many.
	Accept func(error)
}

// Result is what became of one recipient of a message.
type Result struct {
	Peer    net.Addr // as the listener gives it: nameless for a Unix socket
	ID      string   // of the message, as in its Received field
	From    string   // sender, empty for <>; without control characters
	To      string   // recipient as the client wrote it; without control characters
	Account string   // empty if there is none
	Size    int64    // octets of the message, without the fields added; 0 at RCPT
	Code    int      // of the reply: 250, 452, 550 …
	Err     error    // why it is not 250
}

// End is what is known of a connection that has ended.
type End struct {
	Peer       net.Addr
	Duration   time.Duration
	Messages   int   // messages that reached their end, refused ones included
	Recipients int   // answers of 250 after a message
	Octets     int64 // of the messages
	Err        error // nil after QUIT; io.EOF if the client hung up between commands
}

// filled returns the options with defaults in place.
func (o Options) filled() *Options {
	if !isHostname(o.Hostname) {
		o.Hostname = "localhost"
	}
	o.MaxMessage = orDefault(o.MaxMessage, defaultMaxMessage)
	o.MaxSpool = orDefault(o.MaxSpool, defaultMaxSpool)
	o.MaxRecipients = orDefault(o.MaxRecipients, defaultMaxRecipients)
	o.MaxConnections = orDefault(o.MaxConnections, defaultMaxConnections)
	o.MaxParallel = orDefault(o.MaxParallel, defaultMaxParallel)
	o.CommandTimeout = orDefault(o.CommandTimeout, defaultCommandTimeout)
	o.DataTimeout = orDefault(o.DataTimeout, defaultDataTimeout)
	o.BackendTimeout = orDefault(o.BackendTimeout, defaultBackendTimeout)
	if o.Spool == nil {
		o.Spool = SpoolIn("")
	}
	return &o
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
