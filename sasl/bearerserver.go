package sasl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// BearerOptions are what NewOAUTHBEARER and NewXOAUTH2 tell a client whose
// token is refused, so that it may get another. The zero value tells nothing.
type BearerOptions struct {
	// Scope is the OAuth scope that a token needs.
	Scope string
	// OpenIDConfiguration is the URL of the provider's description (RFC 7628
	// §3.2.2). XOAUTH2 does not have it.
	OpenIDConfiguration string
}

// failure is the challenge to who is refused (RFC 7628 §3.2.2).
func (o BearerOptions) failure(status string, configuration bool) []byte {
	f := struct {
		Status        string `json:"status"`
		Schemes       string `json:"schemes"`
		Scope         string `json:"scope,omitempty"`
		Configuration string `json:"openid-configuration,omitempty"`
	}{Status: status, Schemes: "bearer", Scope: o.Scope}
	if configuration {
		f.Configuration = o.OpenIDConfiguration
	}
	b, err := json.Marshal(f)
	if err != nil {
		return []byte(`{"status":"` + status + `"}`)
	}
	return b
}

// bearerServer is the mechanisms that take a bearer token.
type bearerServer struct {
	name    string
	tokens  TokenVerifier
	parse   func(message string) (user, token string, err error)
	failure []byte
}

func (m *bearerServer) Name() string { return m.name }

func (m *bearerServer) Start() Exchange { return &bearerExchange{bearerServer: m} }

type bearerExchange struct {
	*bearerServer
	asked, over bool
	refused     error // what the client is told next
}

// Next takes the token. After a refusal it takes one response more, which has
// nothing to say.
func (x *bearerExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	switch {
	case x.over:
		return nil, "", errOver()
	case x.refused != nil:
		x.over = true
		return nil, "", x.refused
	case response == nil && !x.asked:
		x.asked = true
		return []byte{}, "", nil
	}
	account, err = x.judge(ctx, response)
	if errors.Is(err, ErrRefused) {
		x.refused = err
		return x.failure, "", nil
	}
	x.over = true
	return nil, account, err
}

// Refused is why the client is refused, once it was told so by a challenge: it
// may end the exchange there instead of answering.
func (x *bearerExchange) Refused() error { return x.refused }

func (x *bearerExchange) judge(ctx context.Context, response []byte) (account string, err error) {
	if len(response) > maxBearer {
		return "", fmt.Errorf("sasl: %w: message is too long", ErrMalformed)
	}
	user, token, err := x.parse(string(response))
	if err != nil {
		return "", err
	}
	if token == "" { // the client asks what it needs (RFC 7628 §4.3)
		return "", errWrong
	}
	return named(x.tokens.VerifyToken(ctx, user, token))
}

// bearerFields reads key=value pairs, each with 0x01 behind, and 0x01 behind
// all. The token is empty if there is no authorization; keys that are not known
// are passed over.
func bearerFields(message string) (user, token string, err error) {
	fault := fmt.Errorf("sasl: %w: not fields with 0x01 behind", ErrMalformed)
	pairs, ok := strings.CutSuffix(message, "\x01")
	if !ok || pairs != "" && !strings.HasSuffix(pairs, "\x01") {
		return "", "", fault
	}
	var hasUser, hasAuth bool
	for pairs != "" {
		var pair string
		pair, pairs, _ = strings.Cut(pairs, "\x01")
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || key == "" || hasUser && key == "user" || hasAuth && key == "auth":
			return "", "", fault
		case key == "user":
			user, hasUser = value, true
		case key == "auth":
			hasAuth = true
			if token, ok = bearerToken(value); !ok {
				return "", "", fault
			}
		}
	}
	return user, token, nil
}

// bearerToken reads Bearer and a token (RFC 6750 §2.1). Empty is no token.
func bearerToken(auth string) (token string, ok bool) {
	if auth == "" {
		return "", true
	}
	const scheme = "bearer "
	if len(auth) <= len(scheme) || !isPrintable(auth[len(scheme):]) {
		return "", false
	}
	for i := range len(scheme) { // in any case (RFC 9110 §11.1)
		c := auth[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != scheme[i] {
			return "", false
		}
	}
	return auth[len(scheme):], true
}
