package sasl

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// NewOAUTHBEARER returns the server's side of OAUTHBEARER (RFC 7628), with or
// without an initial response. tokens are asked for the token and the name in
// the GS2 header, or in a field user as XOAUTH2 has it; both may be empty. The
// host and the port are not looked at.
//
// Who is refused is told so in a challenge, {"status":"invalid_token",…}, and
// then, whatever the answer is, by ErrRefused (RFC 7628 §3.2.3). An outage of
// tokens is the error at once. Messages beyond 16 KiB are malformed.
func NewOAUTHBEARER(tokens TokenVerifier, o BearerOptions) Mechanism {
	return &bearerServer{"OAUTHBEARER", tokens, parseOAUTHBEARER, o.failure("invalid_token", true)}
}

// parseOAUTHBEARER reads client-resp (RFC 7628 §3.1).
func parseOAUTHBEARER(message string) (user, token string, err error) {
	h, rest, err := cutGS2(message)
	if err != nil {
		return "", "", err
	}
	fields, ok := strings.CutPrefix(rest, "\x01")
	if h.flag == 'p' || !ok {
		return "", "", fmt.Errorf("sasl: %w: OAUTHBEARER has no channel binding, and fields behind its header", ErrMalformed)
	}
	user, token, err = bearerFields(fields)
	switch {
	case err != nil:
		return "", "", err
	case h.authzid != "" && user != "" && user != h.authzid:
		return "", "", fmt.Errorf("sasl: %w: OAUTHBEARER has two names", ErrMalformed)
	}
	if user = cmp.Or(h.authzid, user); user != "" {
		err = checkUser(user)
	}
	return user, token, err
}

type oauthBearerClient struct {
	bearer
	host string
	port int
}

// OAUTHBEARERClient returns the client's side of OAUTHBEARER (RFC 7628). token
// is an OAuth 2.0 access token for user; host and port are those that the client
// connected to. Start fails on an empty user, token or host, on control
// characters in user, on anything but printable ASCII without blanks in token
// or host, and on a port outside 1 to 65535. Use it inside TLS only.
//
// A server that does not accept the token says why in a challenge; the response
// to it is the single octet 0x01. Errors are those of XOAUTH2Client.
func OAUTHBEARERClient(user, token, host string, port int) Client {
	return &oauthBearerClient{bearer{user: user, token: token}, host, port}
}

func (*oauthBearerClient) Name() string { return "OAUTHBEARER" }

// Start gives the GS2 header without channel binding, and the fields (RFC 7628
// §3.1).
func (c *oauthBearerClient) Start() (initial []byte, has bool, err error) {
	c.refused = nil
	if err := c.check(); err != nil {
		return nil, false, err
	}
	if c.host == "" || !isPrintable(c.host) || c.port < 1 || c.port > 65535 {
		return nil, false, errors.New("sasl: host or port is not valid")
	}
	name := encodeSASLName(c.user)
	return []byte("n,a=" + name + ",\x01host=" + c.host + "\x01port=" + strconv.Itoa(c.port) +
		"\x01auth=Bearer " + c.token + "\x01\x01"), true, nil
}

func (c *oauthBearerClient) Next(challenge []byte) ([]byte, error) {
	return c.fail(challenge, []byte{1})
}
