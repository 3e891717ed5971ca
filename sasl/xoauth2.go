package sasl

// NewXOAUTH2 returns the server's side of XOAUTH2, the unregistered mechanism
// of Google and Microsoft, with or without an initial response. It is
// NewOAUTHBEARER in all but the form of the messages, and that the name may not
// be empty; the status in the challenge is "401", as Google has it.
func NewXOAUTH2(tokens TokenVerifier, o BearerOptions) Mechanism {
	return &bearerServer{"XOAUTH2", tokens, parseXOAUTH2, o.failure("401", false)}
}

// parseXOAUTH2 reads user=name, 0x01, auth=Bearer token, 0x01, 0x01.
func parseXOAUTH2(message string) (user, token string, err error) {
	user, token, err = bearerFields(message)
	if err == nil {
		err = checkUser(user)
	}
	return user, token, err
}

type xoauth2Client struct{ bearer }

// XOAUTH2Client returns the client's side of XOAUTH2, the unregistered
// mechanism of Google and Microsoft. token is an OAuth 2.0 access token for
// user. Neither may be empty, user may not contain control characters and token
// nothing but printable ASCII without blanks, or Start fails. Use it inside TLS
// only.
//
// A server that does not accept the token says why in a challenge; the response
// to it is empty. From then on Next and Done give that reason: call Done after
// the server's refusal too. The error wraps ErrRefused unless the server could
// not judge the token.
func XOAUTH2Client(user, token string) Client {
	return &xoauth2Client{bearer{user: user, token: token}}
}

func (*xoauth2Client) Name() string { return "XOAUTH2" }

func (c *xoauth2Client) Start() (initial []byte, has bool, err error) {
	c.refused = nil
	if err := c.check(); err != nil {
		return nil, false, err
	}
	return []byte("user=" + c.user + "\x01auth=Bearer " + c.token + "\x01\x01"), true, nil
}

func (c *xoauth2Client) Next(challenge []byte) ([]byte, error) {
	return c.fail(challenge, []byte{})
}
