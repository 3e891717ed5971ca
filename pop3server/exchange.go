package pop3server

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// challenger is what makes a mechanism APOP: the challenge that the greeting
// has (RFC 1939 §7). Its Exchange is given the argument of the APOP command.
type challenger interface{ Challenge() string }

var errCancelled = errors.New("pop3server: client cancelled the exchange")

// usable reports whether m may be used as the connection is now: what gives
// the password or a token away needs a secure one.
func (c *conn) usable(m sasl.Mechanism) bool {
	switch m.Name() {
	case "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER":
		return c.sum.Peer.Secure
	}
	_, apop := m.(challenger)
	return !apop
}

// offered are the names for CAPA's SASL line and for AUTH without an argument.
func (c *conn) offered() []string {
	names := make([]string, 0, len(c.mechanisms))
	for _, m := range c.mechanisms {
		if c.usable(m) {
			names = append(names, m.Name())
		}
	}
	return names
}

// find returns the usable mechanism of that name, or nil.
func (c *conn) find(name string) sasl.Mechanism {
	for _, m := range c.mechanisms {
		if m.Name() == name && c.usable(m) {
			return m
		}
	}
	return nil
}

// findAPOP returns the mechanism with a challenge for the greeting, or nil.
func (c *conn) findAPOP() sasl.Mechanism {
	for _, m := range c.mechanisms {
		if _, ok := m.(challenger); ok {
			return m
		}
	}
	return nil
}

// judge runs one step of an exchange, within the deadline of the login.
func (a *authorizing) judge(ctx context.Context, x sasl.Exchange, response []byte) ([]byte, string, error) {
	ctx, cancel := context.WithDeadline(ctx, a.began.Add(a.opt.LoginTimeout))
	defer cancel()
	return x.Next(ctx, response)
}

// authCommand runs a SASL exchange (RFC 5034 §4). Without an argument it lists
// the mechanisms, as Outlook and others want it.
func (a *authorizing) authCommand(ctx context.Context, arg []byte) reply {
	if len(arg) == 0 {
		a.out.OK().Text(a.say(textMechanisms)).End()
		for _, name := range a.offered() {
			a.out.Line(name).End()
		}
		a.out.Dot()
		return reply{}
	}
	name, initial, has := bytes.Cut(arg, []byte{' '})
	var m sasl.Mechanism
	for _, other := range a.mechanisms {
		if pop3.EqualASCII(name, other.Name()) {
			m = other
		}
	}
	if m == nil {
		return refuse("", textNoMechanism)
	}
	if !a.usable(m) {
		return a.noPasswords()
	}
	var response []byte
	if has {
		var err error
		if response, err = decode(initial); err != nil || len(initial) == 0 {
			return blame(textResponse)
		}
	}
	x := m.Start()
	account, err := a.exchange(ctx, x, response)
	var broken inputError
	cut := errors.As(err, &broken)
	var refused error
	if cut || err == errCancelled {
		refused = refusedBefore(x)
	}
	switch {
	case refused != nil:
		r := a.login(ctx, Login{Mechanism: m.Name(), Err: refused})
		if !cut {
			return r
		}
		fallthrough
	case cut:
		a.stop(broken.error)
		return reply{then: ended}
	case err == errCancelled:
		return blame(textCancelled)
	}
	return a.login(ctx, Login{Account: account, Mechanism: m.Name(), Err: err})
}

// refusedBefore is why x has refused a client that did not wait for the end.
func refusedBefore(x sasl.Exchange) error {
	if r, ok := x.(interface{ Refused() error }); ok {
		return r.Refused()
	}
	return nil
}

// inputError is an error of the connection inside an exchange.
type inputError struct{ error }

// exchange goes on until x has proved an account or failed.
func (a *authorizing) exchange(ctx context.Context, x sasl.Exchange, response []byte) (account string, err error) {
	for range maxRounds {
		challenge, account, err := a.judge(ctx, x, response)
		if err != nil || challenge == nil && account != "" {
			return account, err
		}
		a.out.Challenge(challenge)
		line, err := a.in.Line(pop3.MaxAuthLine)
		switch awake := a.awake(); {
		case err == pop3.ErrBareLF && awake:
			return "", sasl.ErrMalformed
		case err != nil || !awake:
			return "", inputError{err}
		case string(line) == "*":
			return "", errCancelled
		case account != "" && len(line) > 0:
			return "", sasl.ErrMalformed
		case account != "":
			return account, nil
		}
		if response, err = decodeLine(line); err != nil {
			return "", err
		}
	}
	return "", sasl.ErrMalformed
}

// decode decodes an initial response, in which "=" is an empty one (RFC 5034 §4).
func decode(initial []byte) ([]byte, error) {
	if string(initial) == "=" {
		return []byte{}, nil
	}
	return decodeLine(initial)
}

// decodeLine decodes base64 in its only strict form.
func decodeLine(line []byte) ([]byte, error) {
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, sasl.ErrMalformed // the decoder would pass over it
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(out, line)
	if err != nil {
		return nil, sasl.ErrMalformed
	}
	return out[:n], nil
}
