package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/postwain/postwain/sasl"
)

var (
	errNoUser   = fmt.Errorf("auth: %w", sasl.ErrNoUser)
	errNameless = errors.New("auth: an account source proved an account without a name")
)

// chain asks sources in order.
type chain []Source

// chained returns the source that sources make together.
func chained(sources []Source) Source {
	c := chain(sources)
	has := func(f func(Source) bool) bool { return slices.ContainsFunc(sources, f) }
	var s Source
	if has(func(s Source) bool { return s.Authenticator != nil }) {
		s.Authenticator = c
	}
	if has(func(s Source) bool { return s.Looker != nil }) {
		s.Looker = c
	}
	if has(func(s Source) bool { return s.Secrets != nil }) {
		s.Secrets = c
	}
	if has(func(s Source) bool { return s.Tokens != nil }) {
		s.Tokens = c
	}
	if has(func(s Source) bool { return s.Fields != nil }) {
		s.Fields = c.fields
	}
	if has(func(s Source) bool { return s.Version != nil }) {
		s.Version = c.version
	}
	return s
}

// first asks one source after the other until one answers. no is what to say
// when none does and none has failed; what it wraps is what such a source says.
func (c chain) first(ctx context.Context, no error, ask func(s Source) (account string, asked bool, err error)) (string, error) {
	var outage error
	for _, s := range c {
		account, asked, err := ask(s)
		switch {
		case !asked:
		case err == nil && account == "":
			outage = cmp.Or(outage, errNameless)
		case err == nil:
			return account, nil
		case !errors.Is(err, errors.Unwrap(no)):
			outage = cmp.Or(outage, err)
		}
		if ctx.Err() != nil {
			outage = cmp.Or(outage, ctx.Err())
			break
		}
	}
	if outage != nil {
		return "", outage
	}
	return "", no
}

func (c chain) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	return c.first(ctx, errRefused, func(s Source) (string, bool, error) {
		if s.Authenticator == nil {
			return "", false, nil
		}
		account, err := s.Authenticator.Authenticate(ctx, l)
		return account, true, err
	})
}

func (c chain) Lookup(ctx context.Context, name string) (string, error) {
	return c.first(ctx, errNoUser, func(s Source) (string, bool, error) {
		if s.Looker == nil {
			return "", false, nil
		}
		account, err := s.Looker.Lookup(ctx, name)
		return account, true, err
	})
}

func (c chain) Secret(ctx context.Context, name, scheme string) (account string, secret []byte, err error) {
	account, err = c.first(ctx, errRefused, func(s Source) (account string, _ bool, err error) {
		if s.Secrets == nil {
			return "", false, nil
		}
		account, secret, err = s.Secrets.Secret(ctx, name, scheme)
		return account, true, err
	})
	if err != nil {
		secret = nil
	}
	return account, secret, err
}

func (c chain) VerifyToken(ctx context.Context, user, token string) (string, error) {
	return c.first(ctx, errRefused, func(s Source) (string, bool, error) {
		if s.Tokens == nil {
			return "", false, nil
		}
		account, err := s.Tokens.VerifyToken(ctx, user, token)
		return account, true, err
	})
}

// fields of an account that no source has some for are none, if it may be that
// of a source without.
func (c chain) fields(ctx context.Context, account string) (fields map[string]string, err error) {
	_, err = c.first(ctx, errNoUser, func(s Source) (string, bool, error) {
		if s.Fields == nil {
			return "", false, nil
		}
		fields, err = s.Fields(ctx, account)
		return account, true, err
	})
	if errors.Is(err, sasl.ErrNoUser) && slices.ContainsFunc(c, Source.proves) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return fields, nil
}

// proves reports whether s can prove accounts that it has no fields of.
func (s Source) proves() bool {
	return s.Fields == nil && !s.Borrowed && (s.Authenticator != nil || s.Secrets != nil || s.Tokens != nil)
}

// version mixes the versions of all sources: who comes earlier in the chain
// may have learned of the name.
func (c chain) version(name string) uint64 {
	var v uint64
	for _, s := range c {
		v *= 0x9E3779B97F4A7C15 // odd: nothing is lost
		if s.Version != nil {
			v += s.Version(name)
		}
	}
	return v
}
