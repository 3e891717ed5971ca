package sasl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// prover is what the mechanisms share that give the password itself.
type prover struct {
	accounts Authenticator
	from     Login // Remote and TLS
}

// prove asks the account source, after what can be refused without it.
func (p *prover) prove(ctx context.Context, user, password string) (account string, err error) {
	switch {
	case user == "" || password == "":
		return "", fmt.Errorf("sasl: %w: empty user name or password", ErrMalformed)
	case strings.IndexByte(user, 0) >= 0 || strings.IndexByte(password, 0) >= 0:
		return "", fmt.Errorf("sasl: %w: NUL in user name or password", ErrMalformed)
	case !utf8.ValidString(user):
		return "", fmt.Errorf("sasl: %w: user name is not UTF-8", ErrMalformed)
	case len(user) > MaxUser || len(password) > MaxPassword:
		return "", fmt.Errorf("sasl: %w: user name or password too long", ErrRefused)
	}
	l := p.from
	l.User, l.Password = user, password
	account, err = p.accounts.Authenticate(ctx, l)
	if err != nil {
		return "", err
	}
	if account == "" {
		return "", errors.New("sasl: account source proved an account without a name")
	}
	return account, nil
}

// credentials is what the clients share that give the password itself.
type credentials struct{ user, password string }

// check refuses what the server's side of prove must refuse.
func (c credentials) check() error {
	if c.user == "" || c.password == "" {
		return errors.New("sasl: user name or password is empty")
	}
	if strings.IndexByte(c.user, 0) >= 0 || strings.IndexByte(c.password, 0) >= 0 {
		return errors.New("sasl: NUL in user name or password")
	}
	return nil
}

// errOver says that an exchange went on after its end.
func errOver() error {
	return fmt.Errorf("sasl: %w: the exchange is over", ErrMalformed)
}
