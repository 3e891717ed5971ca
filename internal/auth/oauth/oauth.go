// Package oauth verifies the bearer tokens of OAUTHBEARER and XOAUTH2. Either it
// asks the provider of each token (RFC 7662), or the tokens are JSON Web Tokens
// (RFC 7519) that it verifies by the keys which the provider publishes.
//
// Tokens, secrets and what a provider writes never stand in errors.
package oauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/postwain/postwain/sasl"
)

// Verifier is a [sasl.TokenVerifier]. It may be used by many goroutines.
type Verifier struct {
	source source
	report func(error)
}

// source tells whose a token is, in the canonical spelling. The error wraps
// sasl.ErrRefused, or it is an outage.
type source interface {
	account(ctx context.Context, token string) (string, error)
}

// New returns a Verifier. It does not ask the provider yet. The error says what
// is wrong with o.
func New(o Options) (*Verifier, error) {
	o, err := o.checked()
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	v := &Verifier{report: o.Report}
	if o.Introspection != "" {
		v.source = newIntrospector(o)
	} else {
		v.source = newSigned(o)
	}
	return v, nil
}

// VerifyToken returns the account that token is for. user is who the client
// says it is; if it is not empty, it must be that account.
//
// The error wraps sasl.ErrRefused if the provider says that the token is not
// good, or if it is not good for this: it has expired or is not valid yet, is
// for another audience, lacks a scope, has no proved name, or is no token at
// all. It is an outage if the provider cannot be asked, does not know us, or
// answers what cannot be understood.
func (v *Verifier) VerifyToken(ctx context.Context, user, token string) (account string, err error) {
	account, err = v.verify(ctx, user, token)
	if errors.Is(err, sasl.ErrRefused) {
		v.report(err)
	}
	return account, err
}

func (v *Verifier) verify(ctx context.Context, user, token string) (account string, err error) {
	if !isToken(token) {
		return "", refused("it is no token")
	}
	account, err = v.source.account(ctx, token)
	if err != nil || user == "" {
		return account, err
	}
	name, err := sasl.PrepareUser(user)
	if err != nil || name != account {
		return "", refused("the token is somebody else's")
	}
	return account, nil
}

// maxToken is what sasl reads of a message with a token, in octets.
const maxToken = 16 << 10

// isToken reports whether s may be a token: visible ASCII (RFC 6750 §2.1 has
// less).
func isToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// refused is the error of a token that is not good. why is for the operator.
func refused(why string) error { return fmt.Errorf("oauth: %w: %s", sasl.ErrRefused, why) }
