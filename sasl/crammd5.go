package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
)

type cramMD5Client struct {
	credentials
	answered bool
}

// CRAMMD5Client returns the client's side of CRAM-MD5 (RFC 2195). It sends user
// as it is and proves password without sending it; neither may be empty or
// contain NUL, or Start fails. An empty challenge, or one beyond 4 KiB, is not
// answered. The server proves nothing, and who listens can guess at the
// password: use it inside TLS.
func CRAMMD5Client(user, password string) Client {
	return &cramMD5Client{credentials: credentials{user, password}}
}

func (*cramMD5Client) Name() string { return "CRAM-MD5" }

func (c *cramMD5Client) Start() (initial []byte, has bool, err error) {
	c.answered = false
	return nil, false, c.check()
}

// Next answers the one challenge: the user name, a blank, and the keyed digest
// of the challenge in lower-case hexadecimal (RFC 2195 §2).
func (c *cramMD5Client) Next(challenge []byte) ([]byte, error) {
	switch {
	case c.answered:
		return nil, errors.New("sasl: server asks for more than CRAM-MD5 has")
	case len(challenge) == 0 || len(challenge) > maxChallenge:
		return nil, errors.New("sasl: CRAM-MD5 challenge is empty or too long")
	}
	c.answered = true
	mac := hmac.New(md5.New, []byte(c.password))
	mac.Write(challenge)
	return hex.AppendEncode([]byte(c.user+" "), mac.Sum(nil)), nil
}

func (*cramMD5Client) Done() error { return nil }
