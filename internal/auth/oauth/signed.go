package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	jose "github.com/go-jose/go-jose/v4"
)

// signed verifies JWTs.
type signed struct {
	issuer     string
	config     *oidc.Config
	algorithms []jose.SignatureAlgorithm
	keys       *keys
	rules      rules
}

func newSigned(o Options) *signed {
	s := &signed{issuer: o.Issuer, keys: newKeys(o), rules: newRules(o, true)}
	// Audience and time have rules of their own: several audiences, and skew.
	s.config = &oidc.Config{SupportedSigningAlgs: o.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true}
	for _, a := range o.Algorithms {
		s.algorithms = append(s.algorithms, jose.SignatureAlgorithm(a))
	}
	return s
}

func (s *signed) account(ctx context.Context, token string) (string, error) {
	c, err := s.verified(ctx, token)
	if err != nil {
		return "", err
	}
	account, _, err := s.rules.judge(c)
	if errors.Is(err, errForm) {
		return "", refused("a claim of the token does not have the form that it must have")
	}
	return account, err
}

// verified gives the claims of a token with a good signature.
func (s *signed) verified(ctx context.Context, token string) (claims, error) {
	if !isCompact(token) {
		return nil, refused("it is no JWT")
	}
	sig := &signature{signed: s}
	t, err := oidc.NewVerifier(s.issuer, sig, s.config).Verify(ctx, token)
	switch {
	case sig.err != nil:
		return nil, sig.err
	case err != nil && !sig.good:
		return nil, refused("it is no JWT, or its algorithm is not allowed")
	case err != nil:
		return nil, refused("the token is of another issuer, or its claims are malformed")
	}
	var c claims
	if t.Claims(&c) != nil || c == nil {
		return nil, refused("the claims of the token are malformed")
	}
	return c, nil
}

// isCompact reports whether s has the parts of a JWS in its compact form (RFC
// 7515 §3.1), which is the only one for JWTs (RFC 7519 §1). Parsers that take
// others too are not asked about these. s is visible ASCII.
func isCompact(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return false
	}
	for _, p := range parts {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(p); err != nil || p == "" {
			return false
		}
	}
	return true
}

// signature is the keys for one token. Package oidc passes on no cause of what
// goes wrong, so that it is kept here.
type signature struct {
	*signed
	good bool
	err  error
}

// VerifySignature is what package oidc asks, once, of a token whose algorithm is
// allowed.
func (s *signature) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, s.err = s.payload(ctx, token)
	s.good = s.err == nil
	return payload, s.err
}

// payload gives the payload of a token if one of the provider's keys has signed
// it. If none has, the keys may be new since they were fetched.
//
// Nothing but kid is looked for in the header: keys that a token brings along
// or refers to (jwk, x5c, jku, x5u) are those of whoever has made it (RFC 8725
// §3.10).
func (s *signed) payload(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, s.algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, refused("it is no JWT")
	}
	header := jws.Signatures[0].Protected
	if !isAccessType(header) {
		return nil, refused("the JWT is of another type than that of access tokens")
	}
	current, err := s.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	if payload, ok := verifyBy(current, jws); ok {
		return payload, nil
	}
	newer, err := s.keys.newer(ctx, current)
	if err != nil {
		return nil, err
	}
	if newer != current {
		if payload, ok := verifyBy(newer, jws); ok {
			return payload, nil
		}
	}
	return nil, refused("no key of the provider has signed the token")
}

// isAccessType looks at typ, which says of logout tokens and the like that they
// give no access (RFC 8725 §3.11, RFC 9068 §2.1).
func isAccessType(h jose.Header) bool {
	typ, has := h.ExtraHeaders[jose.HeaderType]
	if !has {
		return true
	}
	s, _ := typ.(string)
	switch strings.TrimPrefix(lower(s), "application/") {
	case "jwt", "at+jwt":
		return true
	}
	return false
}

// verifyBy gives the payload if one of the keys has signed it. A token that does
// not name its key may be of each that fits.
func verifyBy(k *keySet, jws *jose.JSONWebSignature) (payload []byte, ok bool) {
	header := jws.Signatures[0].Protected
	for _, key := range k.keys {
		if header.KeyID != "" && header.KeyID != key.KeyID || !fits(key, header.Algorithm) {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, json.Valid(payload)
		}
	}
	return nil, false
}
