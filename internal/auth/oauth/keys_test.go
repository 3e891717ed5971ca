package oauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

func down(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

func published(signers ...signer) (list []jose.JSONWebKey) {
	for _, s := range signers {
		list = append(list, s.public())
	}
	return list
}

// TestRotation has the provider change its keys, with and without the old one,
// while it may be down.
func TestRotation(t *testing.T) {
	t.Parallel()
	first, second := newSigner(t, "1", jose.EdDSA), newSigner(t, "2", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		p := &provider{keys: published(first)}
		var told []error
		o := signing(p)
		o.Report = func(err error) { told = append(told, err) }
		v := newVerifier(t, o)
		long := payload().with(object{"exp": time.Now().Add(100 * time.Hour).Unix()})
		old, current := first.sign(t, long, nil), second.sign(t, long, nil)
		expect(t, v, account, old, good, "")
		expect(t, v, account, current, isRefused, "no key of the provider") // too early to ask again
		if n := p.asked("/keys"); n != 1 {
			t.Errorf("%d requests", n)
		}
		time.Sleep(pause)
		p.set(func(p *provider) { p.handle = down })
		expect(t, v, account, current, isOutage, "HTTP status 502")
		expect(t, v, account, old, good, "") // what is known stays known
		expect(t, v, account, current, isOutage, "HTTP status 502")
		p.set(func(p *provider) { p.handle, p.keys = nil, published(first, second) })
		time.Sleep(pause)
		expect(t, v, account, current, good, "")
		expect(t, v, account, old, good, "")
		p.set(func(p *provider) { p.keys = published(second) })
		time.Sleep(fresh - time.Second)
		expect(t, v, account, old, good, "") // nobody has looked
		time.Sleep(time.Second)
		expect(t, v, account, old, isRefused, "no key of the provider")
		expect(t, v, account, current, good, "")

		// The provider goes away for days.
		told = nil
		p.set(func(p *provider) { p.handle, p.requests = down, nil })
		time.Sleep(50 * time.Hour)
		for range 10 {
			expect(t, v, account, current, good, "")
			time.Sleep(time.Second)
		}
		if n := len(p.requests); n != 1 || len(told) != 1 || !strings.Contains(told[0].Error(), "stay in force") {
			t.Errorf("%d requests, told %v", n, told)
		}
		// All keys are withdrawn.
		p.set(func(p *provider) { p.handle, p.keys = nil, []jose.JSONWebKey{} })
		time.Sleep(stalePause)
		expect(t, v, account, current, isOutage, "no keys of id.example.org are loaded: the provider has published no key")
	})
}

// TestUnknownKeys sends tokens of keys that do not exist, twenty a second.
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	known := newSigner(t, "known", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		p := &provider{keys: published(known)}
		v := newVerifier(t, signing(p))
		for i := range 20 * 60 {
			unknown := signer{known.key, "x" + strings.Repeat("y", i%7), jose.EdDSA}
			expect(t, v, account, unknown.sign(t, payload(), nil), isRefused, "no key of the provider")
			time.Sleep(time.Second / 20)
		}
		if n := p.asked("/keys"); n < 11 || n > 12 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}

// TestFirstUse has many come at once before there are keys.
func TestFirstUse(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "k", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		p := &provider{keys: published(s)}
		v := newVerifier(t, signing(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-wait
			return p.RoundTrip(r)
		})))
		token := s.sign(t, payload(), nil)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { expect(t, v, account, token, good, "") })
		}
		// One does not want to wait, and is not who the others wait for.
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := v.VerifyToken(ctx, account, token); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(wait)
		all.Wait()
		if n := p.asked("/keys"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestNoKeys checks what is said where there have never been keys, and that the
// provider is not asked for each login.
func TestNoKeys(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "k", jose.EdDSA)
	say := func(description, keys string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				io.WriteString(w, keys)
				return
			}
			io.WriteString(w, description)
		}
	}
	const described = `{"issuer":"` + issuer + `","jwks_uri":"` + issuer + `/keys"}`
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		part   string
	}{
		{"down", down, "asking for the description: the provider is out of order"},
		{"not found", http.NotFound, "nothing at this address"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example.org", http.StatusFound)
		}, "redirects"},
		{"no JSON", say("<html>", ""), "description is not JSON"},
		{"null", say("null", ""), "description is not JSON"},
		{"another issuer", say(`{"issuer":"`+issuer+`/","jwks_uri":"https://x/"}`, ""), "of another issuer"},
		{"issuer in capitals", say(`{"ISSUER":"`+issuer+`","jwks_uri":"https://x/"}`, ""), "of another issuer"},
		{"no address", say(`{"issuer":"`+issuer+`"}`, ""), "jwks_uri in the description is no https:// address"},
		{"address in clear", say(`{"issuer":"`+issuer+`","jwks_uri":"http://id.example.org/keys"}`, ""), "no https:// address"},
		{"address of this machine", say(`{"issuer":"`+issuer+`","jwks_uri":"http://127.0.0.1/keys"}`, ""), "no https:// address"},
		{"address of a file", say(`{"issuer":"`+issuer+`","jwks_uri":"file:///etc/passwd"}`, ""), "no https:// address"},
		{"address of a number", say(`{"issuer":"`+issuer+`","jwks_uri":1}`, ""), "form"},
		{"long description", say(strings.Repeat(" ", defaultAnswer)+described, ""), "more than"},
		{"keys: no JSON", say(described, "ech0"), "not a set of keys"},
		{"keys: a list", say(described, "[]"), "not a set of keys"},
		{"keys: none", say(described, "{}"), "not a set of keys"},
		{"keys: empty", say(described, `{"keys":[]}`), "no key that can be used"},
		{"keys: unknown", say(described, `{"keys":[{"kty":"LWE"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{},7,null,[]]}`), "no key that can be used"},
		{"keys: too many", say(described, `{"keys":[`+strings.Repeat("{},", maxKeys)+`{}]}`), "too many keys"},
		{"keys: too long", say(described, strings.Repeat(" ", defaultAnswer)+`{"keys":[]}`), "more than"},
		{"keys: deep", say(described, `{"keys":`+strings.Repeat("[", 20_000)), "not a set of keys"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &provider{handle: tt.handle}
			v := newVerifier(t, signing(p))
			token := s.sign(t, payload(), nil)
			for range 3 {
				if got, text := verify(t, v, account, token); got != isOutage || !strings.Contains(text, tt.part) || !strings.Contains(text, "no keys of id.example.org are loaded") {
					t.Errorf("%s: %s (%s), want …%s…", tt.name, got, text, tt.part)
				}
			}
			if n := p.asked("/.well-known/openid-configuration"); n != 1 {
				t.Errorf("%s: %d requests", tt.name, n)
			}
			p.set(func(p *provider) { p.handle, p.keys = nil, published(s) })
			time.Sleep(pause)
			expect(t, v, account, token, good, "")
		})
	}
}

// TestKeysAtAddress has no description, and keys of which some cannot be used.
func TestKeysAtAddress(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "", jose.ES256)
	key, err := s.public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{handle: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "https://keys.example.org/v1?x=1" {
			t.Errorf("asked %s", r.URL)
		}
		io.WriteString(w, `{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed448","x":"AA"},`+string(key)+`],"other":1}`)
	}}
	o := signing(p)
	o.JWKS = "https://keys.example.org/v1?x=1"
	v := newVerifier(t, o)
	expect(t, v, account, s.sign(t, payload(), nil), good, "")
	expect(t, v, account, newSigner(t, "", jose.ES256).sign(t, payload(), nil), isRefused, "no key")
}

func FuzzKeys(f *testing.F) {
	key, err := newSigner(f, "k", jose.ES256).public().MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"keys":[` + string(key) + `]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := parseKeys(body)
		if err != nil && list != nil {
			t.Errorf("%v beside %v", list, err)
		}
		for _, k := range list {
			if !k.IsPublic() {
				t.Errorf("%T", k.Key)
			}
		}
	})
}
