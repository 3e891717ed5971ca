package pop3server

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// What the zero values of Options mean, and the bounds that no option moves.
const (
	defaultLogin     = 60 * time.Second
	defaultIdle      = 10 * time.Minute // also the least (RFC 1939 §3)
	defaultWrite     = 2 * time.Minute
	defaultHandshake = 15 * time.Second
	defaultCommit    = 2 * time.Minute

	maxBadBefore = 3  // bad commands of a connection before login
	maxBadAfter  = 20 // bad commands in a row after it
	maxRefused   = 6  // refused logins of a connection
	maxRounds    = 12 // challenges of one AUTH
)

// Options says how a Server serves. Only Backend is required.
type Options struct {
	Backend Backend

	// TLS makes STLS and Implicit possible. Its GetCertificate and
	// GetConfigForClient are asked at each handshake, so certificates can
	// change while the server runs. The least version is TLS 1.2, and the ALPN
	// name is "pop3", whatever it says. Nil: no TLS.
	TLS *tls.Config
	// LegacyTLS lets TLS say which version is the least: for old machines on a
	// network of their own.
	LegacyTLS bool
	// Implicit begins connections with a TLS handshake (RFC 8314 §3.3).
	Implicit bool
	// Preface is what comes before the greeting on each connection, as in
	// Kerberized POP. It reads nothing behind it, and gives what is known of
	// the peer then. It has the time of the login; an error ends the connection,
	// and whoever needs to know of it has been told. It does not go with
	// Implicit. Nil: nothing comes before.
	Preface func(ctx context.Context, c net.Conn, p Peer) (Peer, error)
	// InsecureAuth allows passwords in clear text from everywhere. From
	// loopback addresses and Unix sockets they always are.
	InsecureAuth bool

	// Hostname is named in the greeting. Empty: none.
	Hostname string
	// Implementation is announced by CAPA (RFC 2449 §6.9). Empty: not.
	Implementation string
	// StrictUTF8 refuses RETR and TOP of messages with UTF-8 in the header by
	// [UTF8] until the client has sent UTF8 (RFC 6856 §5).
	StrictUTF8 bool

	// LoginTimeout bounds everything from the connection to the end of the
	// login. Zero: 60 s.
	LoginTimeout time.Duration
	// IdleTimeout is how long a client that is logged in may be silent. It is
	// raised to 10 minutes if it is less. Zero: 10 minutes.
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of what it is sent
	// before the connection is cut, which happens at the latest after twice
	// that time. Zero: 2 minutes.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds a TLS handshake, within LoginTimeout. Zero: 15 s.
	HandshakeTimeout time.Duration
	// CommitTimeout bounds the commit of QUIT, which goes on when the client
	// is gone. Zero: 2 minutes.
	CommitTimeout time.Duration

	// Sessions is the table of who is logged in. Servers of the same
	// maildrops share one. Nil: a table of this server's own, without limit.
	Sessions *Sessions
	// Trace is told what happens. The zero Trace: nothing.
	Trace Trace
}

// withDefaults fills what is zero and hardens the TLS configuration.
func (o Options) withDefaults() *Options {
	set := func(d *time.Duration, zero time.Duration) {
		if *d <= 0 {
			*d = zero
		}
	}
	set(&o.LoginTimeout, defaultLogin)
	set(&o.WriteTimeout, defaultWrite)
	set(&o.HandshakeTimeout, defaultHandshake)
	set(&o.CommitTimeout, defaultCommit)
	o.IdleTimeout = max(o.IdleTimeout, defaultIdle)
	if o.TLS != nil {
		o.TLS = harden(o.TLS, o.LegacyTLS)
	}
	if o.Sessions == nil {
		o.Sessions = NewSessions(0)
	}
	return &o
}
