package sasl

import (
	"context"
	"errors"
)

type login struct{ prover }

// NewLogin returns the server's side of LOGIN, the unregistered mechanism of
// old clients (draft-murchison-sasl-login): it asks for the user name, then
// for the password. Arguments, limits and errors are those of NewPlain. A user
// name given as initial response is taken.
func NewLogin(a Authenticator, from Login) Mechanism {
	return &login{prover{a, from}}
}

func (*login) Name() string { return "LOGIN" }

func (l *login) Start() Exchange { return &loginExchange{prover: &l.prover} }

type loginExchange struct {
	*prover
	asked, named, over bool
	user               string
}

// Next takes the user name, then the password. The challenges are those that
// clients look for; some compare them octet by octet.
func (x *loginExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	switch {
	case x.over:
		return nil, "", errOver()
	case !x.asked && len(response) == 0:
		x.asked = true
		return []byte("Username:"), "", nil
	case !x.named:
		x.asked, x.named = true, true
		x.user = string(response)
		return []byte("Password:"), "", nil
	}
	x.over = true
	account, err = x.prove(ctx, x.user, string(response))
	return nil, account, err
}

type loginClient struct {
	credentials
	sent int
}

// LoginClient returns the client's side of LOGIN, for servers that have not
// even PLAIN. It answers the first challenge by user and the second by
// password, whatever the challenges say; neither may be empty or contain NUL,
// or Start fails. Use it inside TLS only.
func LoginClient(user, password string) Client {
	return &loginClient{credentials: credentials{user, password}}
}

func (*loginClient) Name() string { return "LOGIN" }

func (c *loginClient) Start() (initial []byte, has bool, err error) {
	c.sent = 0
	return nil, false, c.check()
}

func (c *loginClient) Next([]byte) ([]byte, error) {
	c.sent++
	switch c.sent {
	case 1:
		return []byte(c.user), nil
	case 2:
		return []byte(c.password), nil
	}
	return nil, errors.New("sasl: server asks for more than LOGIN has")
}

func (*loginClient) Done() error { return nil }
