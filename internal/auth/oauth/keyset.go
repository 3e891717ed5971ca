package oauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// keySet are the keys that a provider has published at one time.
type keySet struct {
	keys    []jose.JSONWebKey
	fetched time.Time
}

const (
	maxKeys = 100
	// RSA keys have no fewer bits than RFC 7518 §3.3 wants, and not so many
	// that a signature costs a noticeable time.
	minBits, maxBits = 2048, 8192
)

// parseKeys gives the public keys for signatures that a JWK set has. Others are
// passed over (RFC 7517 §5): private keys are everybody's by now, and symmetric
// ones are everybody's too.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var c claims
	var raw []json.RawMessage
	if json.Unmarshal(body, &c) != nil || !c.has("keys") || json.Unmarshal(c["keys"], &raw) != nil {
		return nil, errors.New("the answer is not a set of keys")
	}
	if len(raw) > maxKeys {
		return nil, errors.New("the set has too many keys")
	}
	var list []jose.JSONWebKey
	for _, r := range raw {
		var key jose.JSONWebKey
		if json.Unmarshal(r, &key) == nil && usable(key) {
			list = append(list, key)
		}
	}
	return list, nil
}

func usable(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minBits && k.N.BitLen() <= maxBits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// fits reports whether key is for the algorithm: of its kind and curve, and not
// set aside for another (RFC 8725 §3.1).
func fits(key jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		switch algorithm {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			return true
		}
	case *ecdsa.PublicKey:
		bits := k.Curve.Params().BitSize
		return algorithm == "ES256" && bits == 256 || algorithm == "ES384" && bits == 384 || algorithm == "ES512" && bits == 521
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}
