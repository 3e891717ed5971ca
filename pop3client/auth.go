package pop3client

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// maxAuthLine is what a line of AUTH with an initial response may have, with
// its line end (RFC 2449 §4, RFC 5034 §4).
const maxAuthLine = 255

// Login signs in by USER and PASS, inside TLS only: SignIn has the choice of
// mechanisms, and of clear text. The error is a *pop3.Error if the server
// refuses, ErrPlaintext outside TLS, and ErrArgument if user or password is
// empty or cannot be sent.
func (c *Client) Login(ctx context.Context, user, password string) error {
	if c.tls == nil {
		return command(pop3.User).wrap(ErrPlaintext)
	}
	return c.login(ctx, user, password)
}

func (c *Client) login(ctx context.Context, user, password string) error {
	s := command(pop3.User)
	if !sendable(user) || !sendable(password) {
		return s.wrap(ErrArgument)
	}
	defer c.conceal(password)()
	c.out = append(append(append(c.out[:0], "USER "...), user...), "\r\n"...)
	if err := c.single(ctx, s, ""); err != nil {
		return err
	}
	c.out = append(append(append(c.out[:0], "PASS "...), password...), "\r\n"...)
	if err := c.single(ctx, command(pop3.Pass), "PASS "+masked); err != nil {
		return err
	}
	c.enter()
	return nil
}

// APOP signs in by APOP (RFC 1939 §7), inside TLS only: its digest of MD5 can
// be turned against the password by who chooses the challenge (CVE-2007-1558).
// The error is ErrMechanism if the greeting has no challenge; else as for Login.
func (c *Client) APOP(ctx context.Context, user, password string) error {
	s := command(pop3.Apop)
	challenge, ok := sasl.APOPChallenge(c.greeting)
	switch {
	case c.tls == nil:
		return s.wrap(ErrPlaintext)
	case !sendable(user) || strings.IndexByte(user, ' ') >= 0:
		return s.wrap(ErrArgument)
	case !ok:
		return s.wrap(ErrMechanism)
	}
	digest, err := sasl.APOPDigest(challenge, password)
	if err != nil {
		return s.wrap(err)
	}
	defer c.conceal(password, digest)()
	c.out = append(c.out[:0], "APOP "+user+" "+digest+"\r\n"...)
	if err := c.single(ctx, s, "APOP "+user+" "+masked); err != nil {
		return err
	}
	c.enter()
	return nil
}

// Auth signs in by a SASL mechanism (RFC 5034), inside TLS only, except for
// GSSAPI: a ticket lets nobody else in who sees it go by (RFC 4120 §3.2).
// oneLine sends an initial response on the line of AUTH where it fits into 255
// octets; otherwise it goes in a second step, which every server understands.
// The error is a *pop3.Error if the server refuses, or one of m, or both.
func (c *Client) Auth(ctx context.Context, m sasl.Client, oneLine bool) error {
	if c.tls == nil && m.Name() != "GSSAPI" {
		return command(pop3.Auth).wrap(ErrPlaintext)
	}
	_, err := c.auth(ctx, m, oneLine)
	return err
}

// auth runs an exchange. unknown says that the server has refused it before it
// got anything of the password: it may not have the mechanism.
func (c *Client) auth(ctx context.Context, m sasl.Client, oneLine bool) (unknown bool, err error) {
	x := exchange{c: c, m: m, step: step{verb: "AUTH " + m.Name()}}
	initial, has, err := m.Start()
	if err != nil {
		return false, x.step.wrap(err)
	}
	if !sendable(m.Name()) {
		return false, x.step.wrap(ErrArgument)
	}
	defer c.conceal()()
	if err := c.begin(ctx, x.step); err != nil {
		return false, err
	}
	defer c.end()
	if err := x.start(initial, has, oneLine); err != nil {
		return false, err
	}
	for range maxRounds {
		r, err := c.reply(x.step)
		switch {
		case err != nil:
			return false, err
		case r.Sign == pop3.Refused:
			return !x.given, x.refused(r)
		case r.Sign == pop3.OK && x.said:
			return false, x.accepted()
		}
		// Before anything was said, +OK is what Exchange 2003 has for +.
		if err := x.answer(r.Text); err != nil {
			return false, err
		}
	}
	return false, c.fail(x.step, fmt.Errorf("%w: more than %d challenges", ErrLimit, maxRounds))
}

// exchange is a run of AUTH.
type exchange struct {
	c       *Client
	m       sasl.Client
	step    step
	pending []byte // the initial response, that goes in a second step
	has     bool
	said    bool // the server has got a response
	given   bool // one that tells something of the password
}

// start sends the line of AUTH.
func (x *exchange) start(initial []byte, has, oneLine bool) error {
	c := x.c
	line := x.step.verb
	encoded := "=" // an empty response (RFC 5034 §4)
	if len(initial) > 0 {
		encoded = base64.StdEncoding.EncodeToString(initial)
	}
	if has && oneLine && len(line)+len(" \r\n")+len(encoded) <= maxAuthLine {
		x.said = true
		x.given = !strings.HasPrefix(x.m.Name(), "SCRAM-") // whose first word is a name and a nonce
		c.secrets = append(c.secrets, encoded)
		c.out = append(c.out[:0], line+" "+encoded+"\r\n"...)
		return c.flush(x.step, line+" "+masked)
	}
	x.pending, x.has = initial, has
	c.out = append(c.out[:0], line+"\r\n"...)
	return c.flush(x.step, "")
}

// answer answers a challenge, of which text is the base64 form.
func (x *exchange) answer(text []byte) error {
	response := x.pending
	if x.has {
		// Whatever some servers put here, it asks for the initial response.
		x.pending, x.has = nil, false
	} else {
		challenge, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil && x.m.Name() != "LOGIN" { // whose challenges mean nothing
			return x.cancel(fmt.Errorf("%w by a challenge that is not base64", ErrProtocol))
		}
		if response, err = x.m.Next(challenge); err != nil {
			return x.cancel(err)
		}
	}
	c := x.c
	encoded := base64.StdEncoding.EncodeToString(response)
	if encoded != "" {
		c.secrets = append(c.secrets, encoded)
	}
	c.out = append(c.out[:0], encoded+"\r\n"...)
	x.said, x.given = true, true
	c.wire.begin()
	return c.flush(x.step, masked)
}

// cancel gives the exchange up because of err, which may be what the server
// says in its own way: its refusal follows.
func (x *exchange) cancel(why error) error {
	c := x.c
	c.out = append(c.out[:0], "*\r\n"...)
	c.wire.begin()
	if err := c.flush(x.step, ""); err != nil {
		return x.step.wrap(why)
	}
	r, err := c.reply(x.step)
	switch {
	case err != nil:
		return x.step.wrap(why)
	case r.Sign != pop3.Refused:
		return c.fail(x.step, why)
	}
	return x.step.wrap(fmt.Errorf("%w: %w", why, c.refusal(r)))
}

// refused is the error of a refusal. Those who send tokens have been told why.
func (x *exchange) refused(r pop3.Reply) error {
	refusal := x.c.refusal(r)
	switch x.m.Name() {
	case "XOAUTH2", "OAUTHBEARER":
		if why := x.m.Done(); why != nil {
			return x.step.wrap(fmt.Errorf("%w (%w)", refusal, why))
		}
	}
	return x.step.wrap(refusal)
}

// accepted ends an exchange that the server calls a success. A server that has
// not proved what the mechanism wants is not the one that it should be.
func (x *exchange) accepted() error {
	if err := x.m.Done(); err != nil {
		return x.c.fail(x.step, err)
	}
	x.c.enter()
	return nil
}

// enter begins the TRANSACTION state.
func (c *Client) enter() {
	c.signedIn = true
	c.forget()
}

// single sends what is in c.out, a command whose answer is one line.
func (c *Client) single(ctx context.Context, s step, shown string) error {
	if err := c.begin(ctx, s); err != nil {
		return err
	}
	defer c.end()
	if err := c.flush(s, shown); err != nil {
		return err
	}
	_, err := c.status(s)
	return err
}

// sendable reports whether arg can be part of a command line.
func sendable(arg string) bool {
	return arg != "" && len(arg) <= maxCommand && !strings.ContainsAny(arg, "\r\n\x00")
}

// conceal hides secrets in whatever the server says until the function that it
// returns is called.
func (c *Client) conceal(all ...string) (end func()) {
	before := c.secrets
	c.secrets = before[:len(before):len(before)]
	for _, secret := range all {
		if secret != "" {
			c.secrets = append(c.secrets, secret)
		}
	}
	return func() { c.secrets = before }
}
