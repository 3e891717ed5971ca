// Package smtp hands fetched mail on to a mail server, by SMTP (RFC 5321) or
// by LMTP (RFC 2033).
//
// Messages go out in the form in which they were received: lines end in CRLF,
// octets of eight bits are sent to every server, and a CR without an LF is
// content. One thing is refused: a dot behind such a CR. There are servers that
// take it for the end of the message, and what follows for commands.
package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/sasl"
)

// Security is how a connection is protected.
type Security int

const (
	STARTTLS  Security = iota // TLS by the command STARTTLS, which must succeed (RFC 3207), port 587
	TLS                       // TLS from the first octet (RFC 8314), port 465
	Plaintext                 // none
)

const (
	defaultTimeout = 5 * time.Minute // RFC 5321 §4.5.3.2
	defaultHello   = "localhost"
)

// Options says where mail goes. Address and To must be set.
type Options struct {
	// Network is "tcp" or "unix". Empty: "tcp".
	Network string
	// Address is host:port, or the path of a socket.
	Address string
	// From and To are the envelope. From may be empty: then nobody will get
	// a bounce.
	From, To string
	// Hello is the name by which the client greets. Empty: "localhost".
	Hello string
	// Timeout bounds each step: to connect, a handshake, the answer to a
	// command, every 32 KiB of a message. The answer to a whole message may
	// take twice that. Zero: 5 minutes.
	Timeout time.Duration

	// Security, TLS and Auth are for SMTP. LMTP is for this machine, or for a
	// network that is trusted.
	Security Security
	// TLS nil: verified by the system's roots. ServerName is the host of
	// Address if empty, and at least TLS 1.2 is used.
	TLS *tls.Config
	// Auth signs in, without TLS in clear text. Nil: nobody does.
	Auth Auth

	// Dialer connects. Nil: a net.Dialer.
	Dialer Dialer
}

// Dialer connects. A *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Auth gives a run of the mechanism to sign in by, out of those that the server
// offers, for each connection. channel is nil without TLS.
type Auth func(offered []string, channel *tls.ConnectionState) (sasl.Client, error)

// New returns the sink that sends by SMTP. It connects when there is a message,
// and keeps the connection.
func New(o Options) (sink.Sink, error) { return newClient(o, "EHLO") }

// NewLMTP returns the sink that sends by LMTP.
func NewLMTP(o Options) (sink.Sink, error) {
	if o.Security != 0 || o.TLS != nil || o.Auth != nil {
		return nil, errors.New("smtp: LMTP has no TLS and no sign-in")
	}
	o.Security = Plaintext
	return newClient(o, "LHLO")
}

func newClient(o Options, greet string) (*client, error) {
	if o.Network == "" {
		o.Network = "tcp"
	}
	if o.Hello == "" {
		o.Hello = defaultHello
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Dialer == nil {
		o.Dialer = new(net.Dialer)
	}
	if o.Security < STARTTLS || o.Security > Plaintext {
		return nil, fmt.Errorf("smtp: no such security: %d", o.Security)
	}
	if o.Address == "" {
		return nil, errors.New("smtp: no address of a server")
	}
	if err := checkMailbox(o.To); err != nil {
		return nil, fmt.Errorf("smtp: recipient %q: %w", o.To, err)
	}
	if o.From != "" {
		if err := checkMailbox(o.From); err != nil {
			return nil, fmt.Errorf("smtp: sender %q: %w", o.From, err)
		}
	}
	if err := checkHello(o.Hello); err != nil {
		return nil, fmt.Errorf("smtp: name to greet by, %q: %w", o.Hello, err)
	}
	return &client{o: o, greet: greet}, nil
}
