package oauth

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postwain/postwain/sasl"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	introspection := func(change func(o *Options)) Options {
		o := Options{Introspection: issuer, ClientID: "c", ClientSecret: fixed("s")}
		change(&o)
		return o
	}
	jwt := func(change func(o *Options)) Options {
		o := Options{Issuer: issuer, Audiences: []string{audience}}
		change(&o)
		return o
	}
	for i, tt := range []struct {
		o    Options
		part string // of the error; empty: none
	}{
		{introspection(func(*Options) {}), ""},
		{introspection(func(o *Options) { o.Introspection = "http://127.0.0.1:8080/i" }), ""},
		{introspection(func(o *Options) { o.Introspection = "http://[::1]/i" }), ""},
		{introspection(func(o *Options) { o.Introspection = "http://localhost/i" }), ""},
		{introspection(func(o *Options) { o.ClientID, o.ClientSecret, o.Bearer = "", nil, fixed("b") }), ""},
		{introspection(func(o *Options) {
			o.ClientID, o.ClientSecret, o.TLS = "", nil, &tls.Config{Certificates: make([]tls.Certificate, 1)}
		}), ""},
		{jwt(func(*Options) {}), ""},
		{jwt(func(o *Options) { o.JWKS = "https://keys.example.org" }), ""},
		{jwt(func(o *Options) { o.Issuer, o.JWKS = "any name", "https://keys.example.org" }), ""},
		{jwt(func(o *Options) { o.Audiences, o.AnyAudience = nil, true }), ""},
		{jwt(func(o *Options) { o.Skew, o.Remember, o.Timeout, o.MaxAnswer = -1, -1, -1, -1 }), ""},

		{Options{}, "URL or an issuer"},
		{introspection(func(o *Options) { o.Introspection = "http://id.example.org/i" }), "introspection is no https:// address"},
		{introspection(func(o *Options) { o.Introspection = "http://127.0.0.1.example.org/i" }), "no https:// address"},
		{introspection(func(o *Options) { o.Introspection = "https://u:p@id.example.org/i" }), "no https:// address"},
		{introspection(func(o *Options) { o.Introspection = "https://id.example.org/#i" }), "no https:// address"},
		{introspection(func(o *Options) { o.Introspection = "ftp://id.example.org/" }), "no https:// address"},
		{introspection(func(o *Options) { o.ClientSecret = nil }), "go together"},
		{introspection(func(o *Options) { o.ClientID = "" }), "go together"},
		{introspection(func(o *Options) { o.Bearer = fixed("b") }), "exclude"},
		{introspection(func(o *Options) { o.ClientID, o.ClientSecret, o.TLS = "", nil, &tls.Config{} }), "needs a client id"},
		{introspection(func(o *Options) { o.JWKS = issuer }), "for JWTs"},
		{introspection(func(o *Options) { o.AnyAudience = true }), "for JWTs"},
		{introspection(func(o *Options) { o.Scopes = []string{""} }), "may be empty"},
		{jwt(func(o *Options) { o.Issuer = "id.example.org" }), "issuer is no https:// address"},
		{jwt(func(o *Options) { o.Issuer, o.JWKS = "", issuer }), "JWKS needs an issuer"},
		{jwt(func(o *Options) { o.JWKS = "http://keys.example.org" }), "JWKS is no https:// address"},
		{jwt(func(o *Options) { o.Audiences = nil }), "for whom the tokens are made out"},
		{jwt(func(o *Options) { o.Audiences = []string{""} }), "may be empty"},
		{jwt(func(o *Options) { o.AnyAudience = true }), "exclude"},
		{jwt(func(o *Options) { o.Algorithms = []string{} }), "none is left"},
		{jwt(func(o *Options) { o.Algorithms = []string{"none"} }), `"none" is not one of`},
		{jwt(func(o *Options) { o.Algorithms = []string{"RS256", "HS256"} }), `"HS256" is not one of`},
		{jwt(func(o *Options) { o.Algorithms = []string{"rs256"} }), "is not one of"},
		{jwt(func(o *Options) { o.Skew = 11 * time.Minute }), "skew: at most"},
		{jwt(func(o *Options) { o.Remember = time.Hour }), "remember: at most"},
	} {
		v, err := New(tt.o)
		if (err == nil) != (tt.part == "") || err != nil && !strings.Contains(err.Error(), tt.part) || (v == nil) != (err != nil) {
			t.Errorf("%d: %v, want …%s…", i, err, tt.part)
		}
	}
}

// TestLoopback has a provider on this machine say that its keys are on another.
func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"http://127.0.0.1:1/k": true, "https://keys.example.org/": true, "http://keys.example.org/": false, "": false, "%": false,
	} {
		if err := checkURL("x", address, true); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func reply(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

// FuzzAnswer has a provider that answers whatever there is.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"active":true,"username":"bob@example.org","aud":["a"],"scope":"s","exp":1e9}`)
	f.Add(`{"active":true,"username":"bob@example.org","aud":null,"scp":["s"],"nbf":-1e400}`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &provider{handle: reply(body)}
		o := Options{Introspection: issuer + "/introspect", ClientID: "c", ClientSecret: fixed("s3cr"), HTTP: p}
		name, err := newVerifier(t, o).VerifyToken(t.Context(), "", opaque)
		if (name == "") == (err == nil) || err != nil && strings.Contains(err.Error(), opaque) {
			t.Errorf("%q, %v", name, err)
		}
		if err == nil && !strings.Contains(body, "true") {
			t.Errorf("%q is good", body)
		}
	})
}

// FuzzToken has a provider whose key has signed nothing.
func FuzzToken(f *testing.F) {
	key, stranger := newSigner(f, "k", jose.ES256), newSigner(f, "k", jose.ES256)
	v := newVerifier(f, signing(&provider{keys: published(key)}))
	f.Add(stranger.sign(f, payload(), nil))
	f.Add(encode(`{"alg":"none"}`) + "." + encode(`{}`) + "." + encode("x"))
	f.Add(encode(`{"alg":"ES256","crit":["b64"],"b64":false}`) + "." + encode(`{}`) + "." + encode("x"))
	f.Fuzz(func(t *testing.T, token string) {
		if name, err := v.VerifyToken(t.Context(), "", token); name != "" || !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%q, %v", name, err)
		}
	})
}
