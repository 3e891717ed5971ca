package sasl

import (
	"errors"
	"strconv"
	"strings"
)

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
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.user) // RFC 5801 §4
	return []byte("n,a=" + name + ",\x01host=" + c.host + "\x01port=" + strconv.Itoa(c.port) +
		"\x01auth=Bearer " + c.token + "\x01\x01"), true, nil
}

func (c *oauthBearerClient) Next(challenge []byte) ([]byte, error) {
	return c.fail(challenge, []byte{1})
}
