package pop3client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/postwain/postwain/pop3"
)

// TLS returns the state of TLS, and whether the connection is inside it.
func (c *Client) TLS() (tls.ConnectionState, bool) {
	if c.tls == nil {
		return tls.ConnectionState{}, false
	}
	return *c.tls, true
}

// STLS begins TLS on a connection in clear text (RFC 2595), before the login.
// The certificate must be for the ServerName of Options.TLS, or for the host that
// was dialled. What was known of the server is forgotten.
//
// The error is ErrNoTLS if the server does not announce STLS or refuses it; the
// connection is then still one in clear text, in which SignIn refuses to give
// anything away. Octets that the server sends together with its consent are an
// injection: ErrDataBeforeTLS.
func (c *Client) STLS(ctx context.Context) error {
	s := command(pop3.Stls)
	switch {
	case c.tls != nil:
		return s.wrap(errors.New("connection is inside TLS already"))
	case c.signedIn:
		return s.wrap(errors.New("too late, after the login"))
	}
	if _, err := c.Capabilities(ctx); err != nil {
		return err
	}
	if len(c.caps) > 0 && !c.announced(pop3.CapSTLS) {
		return s.wrap(ErrNoTLS)
	}
	if _, err := c.simple(ctx, s); err != nil {
		if refused := (*pop3.Error)(nil); errors.As(err, &refused) {
			err = s.wrap(fmt.Errorf("%w: %w", ErrNoTLS, refused))
		}
		return err
	}
	if c.in.Buffered() > 0 {
		return c.fail(s, ErrDataBeforeTLS)
	}
	return c.handshake(ctx, tls.Client(c.wire.raw, c.opt.tlsConfig(c.host)))
}

// handshake puts t, whose connection is the wire's, upon the wire.
func (c *Client) handshake(ctx context.Context, t *tls.Conn) error {
	raw := t.NetConn()
	limited, cancel := context.WithTimeout(ctx, c.opt.Timeout)
	defer cancel()
	err := c.wire.arm(raw.SetDeadline, noDeadline)
	if err == nil {
		err = t.HandshakeContext(limited)
	}
	if err != nil {
		return c.fail(stepHandshake, c.lateness(ctx, limited, err))
	}
	state := t.ConnectionState()
	if err := checkRevoked(state); err != nil {
		return c.fail(stepHandshake, err)
	}
	c.tls, c.wire.raw, c.wire.conn = &state, raw, t
	c.forget()
	return nil
}

// lateness is the error of a step whose context limited, which ends with ctx or
// by the timeout. Its text may hold names from a certificate.
func (c *Client) lateness(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("not done in %v: %w", c.opt.Timeout, os.ErrDeadlineExceeded)
	}
	return printable{err}
}

// printable is an error whose text is not ours.
type printable struct{ error }

func (p printable) Error() string { return pop3.Printable(p.error.Error(), maxTraced) }
func (p printable) Unwrap() error { return p.error }
