package sasl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

type plain struct{ prover }

// NewPlain returns the server's side of PLAIN (RFC 4616). It asks a for each
// password; from says where the client is (Remote, TLS), its User and Password
// are not used. The user name and password reach a as the client sent them.
//
// The authorization identity must be empty or the user name itself: acting
// for another account is refused. Names beyond MaxUser and passwords beyond
// MaxPassword are refused without asking a.
func NewPlain(a Authenticator, from Login) Mechanism {
	return &plain{prover{a, from}}
}

func (*plain) Name() string { return "PLAIN" }

func (p *plain) Start() Exchange { return &plainExchange{prover: &p.prover} }

type plainExchange struct {
	*prover
	asked, over bool
}

// Next takes [authzid] NUL authcid NUL password (RFC 4616 §2).
func (x *plainExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	if x.over {
		return nil, "", errOver()
	}
	if response == nil && !x.asked {
		x.asked = true
		return []byte{}, "", nil
	}
	x.over = true
	authzid, rest, ok := bytes.Cut(response, []byte{0})
	user, password, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 {
		return nil, "", fmt.Errorf("sasl: %w: PLAIN takes three parts", ErrMalformed)
	}
	if len(authzid) > 0 && string(authzid) != string(user) {
		return nil, "", fmt.Errorf("sasl: %w: acting for another account", ErrRefused)
	}
	account, err = x.prove(ctx, string(user), string(password))
	return nil, account, err
}

type plainClient struct{ credentials }

// PlainClient returns the client's side of PLAIN (RFC 4616). It sends user and
// password as they are, without an authorization identity; neither may be
// empty or contain NUL, or Start fails. Use it inside TLS only.
func PlainClient(user, password string) Client {
	return plainClient{credentials{user, password}}
}

func (plainClient) Name() string { return "PLAIN" }

func (c plainClient) Start() (initial []byte, has bool, err error) {
	if err := c.check(); err != nil {
		return nil, false, err
	}
	return []byte("\x00" + c.user + "\x00" + c.password), true, nil
}

// Next fails: everything was said in the initial response.
func (plainClient) Next([]byte) ([]byte, error) {
	return nil, errors.New("sasl: server asks for more than PLAIN has")
}

func (plainClient) Done() error { return nil }
