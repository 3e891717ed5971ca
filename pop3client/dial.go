package pop3client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// Dial connects to addr, which is host:port as for net.Dial, waits for the
// greeting, begins TLS as s says, and asks for the capabilities. If the server
// hangs up or hangs at CAPA, it dials again and does not ask.
//
// TLS never falls back: without STLS the error is ErrNoTLS and nothing was sent
// that anybody may not know. Other errors are those of Options.Dialer, of TLS
// and of the certificate, and a *pop3.Error if the server greets with -ERR.
func Dial(ctx context.Context, addr string, s Security, o Options) (*Client, error) {
	c, err := dial(ctx, addr, s, o)
	if errors.Is(err, errDialAgain) && ctx.Err() == nil {
		o.NoCapa = true
		c, err = dial(ctx, addr, s, o)
	}
	return c, err
}

func dial(ctx context.Context, addr string, s Security, o Options) (*Client, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, stepConnect.wrap(err)
	}
	c := newClient(o)
	c.host, c.port = host, port
	limited, cancel := context.WithTimeout(ctx, c.opt.Timeout)
	defer cancel()
	conn, err := c.opt.Dialer.DialContext(limited, "tcp", addr)
	if err != nil {
		return nil, stepConnect.wrap(c.lateness(ctx, limited, err))
	}
	c.attach(conn)
	if s == TLS {
		err = c.handshake(ctx, tls.Client(conn, c.opt.tlsConfig(host)))
	}
	if err == nil {
		err = c.greet(ctx)
	}
	if err == nil && s == STLS {
		err = c.STLS(ctx)
	}
	if err == nil {
		_, err = c.Capabilities(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
