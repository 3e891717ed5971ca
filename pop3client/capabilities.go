package pop3client

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/postwain/postwain/pop3"
)

// errDialAgain is what Dial does once.
var errDialAgain = errors.New("dial again with Options.NoCapa")

// Capabilities are those of the present state: CAPA is sent once before TLS,
// once inside it, and once after the login. They are none, without an error, if
// the server does not know CAPA or Options.NoCapa forbids it. A server that
// hangs up or hangs at CAPA gives an error that says so. The caller must not
// change the slice.
func (c *Client) Capabilities(ctx context.Context) (pop3.Capabilities, error) {
	if c.asked || c.opt.NoCapa {
		return c.caps, nil
	}
	s := command(pop3.Capa)
	_, err := c.simple(ctx, s)
	if refused := (*pop3.Error)(nil); errors.As(err, &refused) {
		c.asked = true
		return nil, nil
	}
	if err != nil {
		if c.err != nil && ctx.Err() == nil && !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrBroken) {
			err = fmt.Errorf("%w; %w", err, errDialAgain)
		}
		return nil, err
	}
	var caps pop3.Capabilities
	if err := c.rows(ctx, s, c.opt.Limits.Capabilities, func(row []byte) { caps = addCapability(caps, row) }); err != nil {
		return nil, err
	}
	c.caps, c.asked = caps, true
	return caps, nil
}

// addCapability adds a row of the reply to CAPA. What some servers send as
// SASL=PLAIN is SASL PLAIN, and two rows of one name are one.
func addCapability(caps pop3.Capabilities, row []byte) pop3.Capabilities {
	line := pop3.Printable(row, len(row))
	if i := bytes.IndexAny(row, "= "); i >= 0 && row[i] == '=' {
		line = line[:i] + " " + line[i+1:]
	}
	capability := pop3.ParseCapability(line)
	if capability.Name == "" {
		return caps
	}
	for i := range caps {
		if caps[i].Name == capability.Name {
			caps[i] = pop3.ParseCapability(caps[i].String() + " " + capability.Args)
			return caps
		}
	}
	return append(caps, capability)
}

// announced reports whether the server announces a capability now.
func (c *Client) announced(name string) bool {
	_, ok := c.caps.Lookup(name)
	return ok
}

// forget forgets what was known of an earlier state.
func (c *Client) forget() { c.caps, c.asked = nil, false }
