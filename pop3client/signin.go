package pop3client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// Credentials say who signs in, and how.
type Credentials struct {
	User, Password string
	// Token gives an OAuth 2.0 access token for User, and is asked once in a
	// SignIn. Nil: sign in by Password.
	Token func(context.Context) (string, error)
	// Mechanism is USER, APOP or the name of a SASL mechanism, which is then
	// used whether or not the server announces it. Empty: the best that both
	// sides have.
	Mechanism string
	// OneLine sends a token on the line of AUTH where it fits into 255 octets,
	// for servers that want it there. Else it goes in a second step: Exchange
	// takes it in no other way.
	OneLine bool
	// Plaintext lets a password, or what is computed from it, go over a
	// connection without TLS.
	Plaintext bool
}

// preferred are the mechanisms for passwords, the best first.
var preferred = [...]string{
	"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "USER",
}

var stepSignIn = step{verb: "signing in"}

// SignIn signs in and so begins the session's work. The first of these that
// both sides have is used: SCRAM with channel binding, SCRAM, CRAM-MD5, PLAIN,
// LOGIN, USER and PASS; with a token, OAUTHBEARER or XOAUTH2. APOP is used only
// where it is asked for, inside TLS. If the server refuses a mechanism that it
// has announced, without a response code and before it has seen anything of the
// password, the next one is tried.
//
// The error is a *pop3.Error if the server refuses; its Code, if there is one,
// tells a wrong password (AUTH) from a mailbox in use and from a server that is
// out. It is ErrPlaintext outside TLS unless k.Plaintext allows that, and
// ErrMechanism if there is no common mechanism; then nothing of k was sent.
func (c *Client) SignIn(ctx context.Context, k Credentials) error {
	if c.tls == nil && !k.Plaintext {
		return stepSignIn.wrap(ErrPlaintext)
	}
	if pop3.EqualASCII(k.Mechanism, "APOP") {
		return c.APOP(ctx, k.User, k.Password)
	}
	caps, err := c.Capabilities(ctx)
	if err != nil {
		return err
	}
	names := k.candidates(caps, c.tls)
	if len(names) == 0 {
		return stepSignIn.wrap(ErrMechanism)
	}
	token := ""
	if isBearer(names[0]) {
		if k.Token == nil {
			return stepSignIn.wrap(fmt.Errorf("%w: %s needs a token", ErrMechanism, names[0]))
		}
		if token, err = k.Token(ctx); err != nil {
			return stepSignIn.wrap(fmt.Errorf("getting a token: %w", err))
		}
	}
	defer c.conceal(k.Password, token)()
	return c.tryEach(ctx, k, token, names)
}

// tryEach tries mechanisms until one is known to the server. A server that hangs
// up after a refusal has still refused.
func (c *Client) tryEach(ctx context.Context, k Credentials, token string, names []string) error {
	var refusal error
	for _, name := range names {
		unknown, err := c.try(ctx, k, token, name)
		if err == nil {
			return nil
		}
		if refusal == nil || c.err == nil {
			refusal = err
		}
		if !unknown || c.err != nil {
			break
		}
	}
	return refusal
}

// try signs in by one mechanism.
func (c *Client) try(ctx context.Context, k Credentials, token, name string) (unknown bool, err error) {
	if name == "USER" {
		return false, c.login(ctx, k.User, k.Password)
	}
	m, err := c.mechanism(k, token, name)
	if err != nil {
		return false, err
	}
	scram := strings.HasPrefix(name, "SCRAM-")
	unknown, err = c.auth(ctx, m, scram || k.OneLine && isBearer(name))
	if refused := (*pop3.Error)(nil); unknown && (!errors.As(err, &refused) || refused.Code != "" || refused.Temporary()) {
		unknown = false
	}
	return unknown, err
}

// candidates are the mechanisms that may be tried, in order.
func (k Credentials) candidates(caps pop3.Capabilities, state *tls.ConnectionState) []string {
	list, hasSASL := caps.Lookup(pop3.CapSASL)
	offered := strings.Fields(list)
	_, hasUser := caps.Lookup(pop3.CapUser)
	switch {
	case k.Mechanism != "":
		return []string{upper(k.Mechanism)}
	case k.Token != nil && contains(offered, "OAUTHBEARER"):
		return []string{"OAUTHBEARER"}
	case k.Token != nil: // some servers have it and do not say so
		return []string{"XOAUTH2"}
	}
	_, canBind := binding(state)
	var names []string
	for _, name := range preferred {
		plain, plus := strings.CutSuffix(name, "-PLUS")
		switch {
		case name == "USER" && (hasUser || !hasSASL),
			plus && canBind && contains(offered, name),
			!plus && contains(offered, name) && !(canBind && contains(offered, plain+"-PLUS")):
			names = append(names, name)
		}
	}
	return names
}

// mechanism makes the client's side of a mechanism.
func (c *Client) mechanism(k Credentials, token, name string) (sasl.Client, error) {
	hash := sasl.SCRAMSHA256
	channel, canBind := binding(c.tls)
	switch name {
	case "PLAIN":
		return sasl.PlainClient(k.User, k.Password), nil
	case "LOGIN":
		return sasl.LoginClient(k.User, k.Password), nil
	case "CRAM-MD5":
		return sasl.CRAMMD5Client(k.User, k.Password), nil
	case "XOAUTH2":
		return sasl.XOAUTH2Client(k.User, token), nil
	case "OAUTHBEARER":
		host, port := c.address()
		return sasl.OAUTHBEARERClient(k.User, token, host, port), nil
	case "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1":
		hash = sasl.SCRAMSHA1
	case "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256":
	default:
		return nil, stepSignIn.wrap(ErrMechanism)
	}
	plus := strings.HasSuffix(name, "-PLUS")
	list, _ := c.caps.Lookup(pop3.CapSASL)
	switch {
	case plus && !canBind:
		return nil, stepSignIn.wrap(fmt.Errorf("%w: no channel to bind %s to", ErrMechanism, name))
	case !plus && contains(strings.Fields(list), name+"-PLUS"):
		channel = nil // it was asked for without
	}
	return sasl.SCRAMClient(hash, k.User, k.Password, channel, plus), nil
}

// binding is what SCRAM binds itself to.
func binding(state *tls.ConnectionState) (channel []byte, ok bool) {
	if state == nil {
		return nil, false
	}
	channel, err := sasl.TLSExporter(*state)
	return channel, err == nil
}

// address is the server's, as OAUTHBEARER wants it.
func (c *Client) address() (host string, port int) {
	host, digits := c.host, c.port
	remoteHost, remotePort, err := net.SplitHostPort(c.wire.raw.RemoteAddr().String())
	if err == nil && host == "" {
		host = remoteHost
	}
	if err == nil && digits == "" {
		digits = remotePort
	}
	port, _ = strconv.Atoi(digits)
	return host, port
}

func isBearer(name string) bool { return name == "OAUTHBEARER" || name == "XOAUTH2" }

// contains reports whether one of words is name, which is in capitals.
func contains(words []string, name string) bool {
	for _, w := range words {
		if pop3.EqualASCII(w, name) {
			return true
		}
	}
	return false
}

// upper is s with the letters a to z in capitals.
func upper(s string) string {
	p := []byte(s)
	for i, c := range p {
		if 'a' <= c && c <= 'z' {
			p[i] = c - ('a' - 'A')
		}
	}
	return string(p)
}
