package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postwain/postwain/sasl"
)

const (
	issuer   = "https://id.example.org"
	audience = "mail.example.org"
	account  = "bob@example.org"
)

// provider is an identity provider without a network, so that time stands still
// where a test wants it.
type provider struct {
	mu       sync.Mutex
	answer   any // of the introspection
	keys     []jose.JSONWebKey
	issuer   string
	handle   http.HandlerFunc // instead of all this, unless nil
	requests []*http.Request  // with their forms read
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	p.mu.Lock()
	p.requests = append(p.requests, r)
	answer, keys, handle, name := p.answer, p.keys, p.handle, p.issuer
	p.mu.Unlock()
	if name == "" {
		name = issuer
	}
	switch {
	case handle != nil:
		handle(w, r)
	case r.URL.Path == "/introspect":
		json.NewEncoder(w).Encode(answer)
	case r.URL.Path == "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(object{"issuer": name, "jwks_uri": "https://" + r.Host + "/keys"})
	case r.URL.Path == "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	default:
		http.NotFound(w, r)
	}
}

// RoundTrip has the provider answer in the goroutine of who asks, until the
// request is given up.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return w.Result(), nil
}

func (p *provider) set(change func(p *provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// asked gives how often a path was asked for.
func (p *provider) asked(path string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.URL.Path == path {
			n++
		}
	}
	return n
}

type object map[string]any

// with gives o with members changed; nil takes one away.
func (o object) with(changes object) object {
	all := object{}
	for k, v := range o {
		all[k] = v
	}
	for k, v := range changes {
		all[k] = v
		if v == nil {
			delete(all, k)
		}
	}
	return all
}

// active is an answer of RFC 7662 §2.2.
func active() object {
	return object{
		"active": true, "username": account, "scope": "openid mail.pop", "aud": audience, "iss": issuer,
		"token_type": "Bearer", "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Hour).Unix(),
		"email": "other@example.org",
	}
}

// payload are the claims of an access token (RFC 9068 §2.2).
func payload() object {
	return object{
		"iss": issuer, "aud": []string{"other", audience}, "email": account, "email_verified": true, "sub": "1",
		"exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Hour).Unix(), "scope": "openid mail.pop",
	}
}

func introspecting(p http.RoundTripper) Options {
	return Options{
		Introspection: issuer + "/introspect", ClientID: "client:1", ClientSecret: fixed("s3cr et%"),
		Issuer: issuer, Audiences: []string{audience}, Scopes: []string{"mail.pop"}, HTTP: p,
	}
}

func signing(p http.RoundTripper) Options {
	return Options{Issuer: issuer, Audiences: []string{audience}, Scopes: []string{"mail.pop"}, HTTP: p}
}

func fixed(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

func newVerifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signer is a private key with a name.
type signer struct {
	key crypto.Signer
	kid string
	alg jose.SignatureAlgorithm
}

func newSigner(t testing.TB, kid string, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	s := signer{kid: kid, alg: alg}
	var err error
	switch alg {
	case jose.ES256:
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		s.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		s.key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, s.key, err = ed25519.GenerateKey(rand.Reader)
	default:
		s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

// sign makes a JWT. headers are added to alg and kid.
func (s signer) sign(t testing.TB, claims any, headers object) string {
	t.Helper()
	body, ok := claims.(string)
	if !ok {
		raw, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
	}
	o := (&jose.SignerOptions{}).WithHeader("typ", "at+jwt")
	if s.kid != "" {
		o = o.WithHeader("kid", s.kid)
	}
	for k, v := range headers {
		o = o.WithHeader(jose.HeaderKey(k), v)
	}
	sig, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := sig.Sign([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// outcome is what becomes of a token.
type outcome string

const (
	good      outcome = "good"
	isRefused outcome = "refused"
	isOutage  outcome = "outage"
)

// verify gives the outcome, and the error for its text. No error may have
// anything of the token or of our secret.
func verify(t testing.TB, v *Verifier, user, token string) (outcome, string) {
	t.Helper()
	name, err := v.VerifyToken(t.Context(), user, token)
	if err == nil {
		if name != account {
			t.Errorf("account %q", name)
		}
		return good, ""
	}
	for _, part := range append(strings.Split(token, "."), "s3cr", "ech0") {
		if len(part) > 3 && strings.Contains(err.Error(), part) {
			t.Errorf("a secret in %q", err)
		}
	}
	if name != "" {
		t.Errorf("account %q beside %v", name, err)
	}
	if errors.Is(err, sasl.ErrRefused) {
		return isRefused, err.Error()
	}
	return isOutage, err.Error()
}

// expect checks the outcome, and that the text has a part.
func expect(t testing.TB, v *Verifier, user, token string, want outcome, part string) {
	t.Helper()
	if got, text := verify(t, v, user, token); got != want || !strings.Contains(text, part) {
		t.Errorf("%s (%s), want %s (…%s…)", got, text, want, part)
	}
}

// serve makes p a server in TLS on loopback, and gives what trusts it.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
