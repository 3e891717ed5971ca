package pop3client

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Security is how a connection is protected.
type Security int

// The ways of protection.
const (
	TLS       Security = iota // TLS from the first octet (RFC 8314), port 995
	STLS                      // TLS by the command STLS, which must succeed (RFC 2595), port 110
	Plaintext                 // none
)

// What the zero values of Options mean, and the bounds that no option moves.
const (
	defaultTimeout      = 30 * time.Second
	defaultCapabilities = 100
	defaultMessages     = 1_000_000
	defaultRate         = 16

	bufferSize = 64 << 10 // what a connection reads into, and the longest line
	maxCommand = 8 << 10  // octets of a command line that is sent
	maxRounds  = 16       // challenges of one AUTH
	quitFactor = 10       // times the timeout, for a QUIT that removes
	rowOctets  = 128      // of a listing, for each message that it may have
	ratePeriod = time.Minute
)

// Options of a client. The zero value is ready for use.
type Options struct {
	// TLS is the configuration of TLS. Nil: certificates are verified by the
	// system's roots. An empty ServerName is that of the address, and the
	// least version is TLS 1.2. No ALPN name is sent unless NextProtos has one:
	// some servers do not know "pop3".
	TLS *tls.Config
	// Dialer connects. Nil: a net.Dialer.
	Dialer Dialer
	// Timeout bounds each step: connecting, the greeting, the handshake, the
	// reply to a command, and how long the next part of a message or listing
	// may take. Zero: 30 s.
	Timeout time.Duration
	// Limits bounds what a server may send.
	Limits Limits
	// Trace is told what goes over the wire. Nil: nobody is.
	Trace *Trace
	// NoCapa says that CAPA is never sent, for servers that hang up or hang at
	// it. Such a client knows no capabilities.
	NoCapa bool
	// Serial says that no command is sent before the last one is answered,
	// whatever the server announces.
	Serial bool
}

// Dialer connects. A *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Limits bounds what a hostile server can do. Zero fields have defaults.
type Limits struct {
	Line         int   // octets of a line of a reply with its line end; 0, and at most: 64 KiB. A line of a message has no limit
	Capabilities int   // lines of the reply to CAPA; 0: 100
	Messages     int   // messages in a listing, and the largest number of one; 0: 1,000,000
	Message      int64 // octets of a message; 0: no limit
	Rate         int   // octets a second at which messages and listings must come, measured over a minute of waiting; 0: 16
}

// withDefaults fills what is zero.
func (o Options) withDefaults() Options {
	set := func(n *int, zero int) {
		if *n <= 0 {
			*n = zero
		}
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	set(&o.Limits.Line, bufferSize)
	o.Limits.Line = min(o.Limits.Line, bufferSize)
	set(&o.Limits.Capabilities, defaultCapabilities)
	set(&o.Limits.Messages, defaultMessages)
	set(&o.Limits.Rate, defaultRate)
	if o.Dialer == nil {
		o.Dialer = &net.Dialer{}
	}
	return o
}

// tlsConfig is the configuration for a server of that name.
func (o *Options) tlsConfig(host string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		c = o.TLS.Clone()
		c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	return c
}
