package oauth

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	rsaKey := newSigner(t, "", jose.RS256).key
	all, defaults := allowed()
	for i, name := range all {
		alg := jose.SignatureAlgorithm(name)
		s := signer{rsaKey, "k", alg}
		if !strings.HasPrefix(name, "RS") && !strings.HasPrefix(name, "PS") {
			s = newSigner(t, "k", alg)
		}
		p := &provider{keys: []jose.JSONWebKey{s.public()}}
		token := s.sign(t, payload(), nil)
		want := isRefused
		if i < defaults {
			want = good
		}
		expect(t, newVerifier(t, signing(p)), account, token, want, "")
		o := signing(p)
		o.Algorithms = []string{name}
		expect(t, newVerifier(t, o), account, token, good, "")
		o.Algorithms = []string{all[(i+1)%len(all)]}
		expect(t, newVerifier(t, o), account, token, isRefused, "algorithm is not allowed")
	}
}

// TestKeyFits has no key verify what another kind of key, or one of another
// purpose, would.
func TestKeyFits(t *testing.T) {
	t.Parallel()
	s, curve := newSigner(t, "k", jose.RS256), newSigner(t, "k", jose.ES384)
	token := s.sign(t, payload(), nil)
	for name, tt := range map[string]struct {
		change func(k *jose.JSONWebKey)
		want   outcome
	}{
		"as it is":          {func(*jose.JSONWebKey) {}, good},
		"of any algorithm":  {func(k *jose.JSONWebKey) { k.Algorithm, k.Use = "", "" }, good},
		"of another":        {func(k *jose.JSONWebKey) { k.Algorithm = "PS256" }, isRefused},
		"of another name":   {func(k *jose.JSONWebKey) { k.KeyID = "K" }, isRefused},
		"without a name":    {func(k *jose.JSONWebKey) { k.KeyID = "" }, isRefused},
		"of another curve":  {func(k *jose.JSONWebKey) { k.Key, k.Algorithm = curve.key.Public(), "" }, isRefused},
		"for encryption":    {func(k *jose.JSONWebKey) { k.Use = "enc" }, isOutage},
		"a private one":     {func(k *jose.JSONWebKey) { k.Key = s.key }, isOutage},
		"a symmetric one":   {func(k *jose.JSONWebKey) { k.Key = []byte("secret"); k.Algorithm = "HS256" }, isOutage},
		"one that is short": {func(k *jose.JSONWebKey) { k.Key = short(t) }, isOutage},
	} {
		key := s.public()
		tt.change(&key)
		v := newVerifier(t, signing(&provider{keys: []jose.JSONWebKey{key}}))
		if got, text := verify(t, v, account, token); got != tt.want {
			t.Errorf("%s: %s (%s), want %s", name, got, text, tt.want)
		}
	}
}

func short(t *testing.T) crypto.PublicKey {
	t.Helper()
	// A modulus of 1024 bits; nothing is signed with it.
	n := newSigner(t, "", jose.RS256).key.Public().(*rsa.PublicKey)
	n.N.Rsh(n.N, 1024)
	return n
}

// forged are tokens for the provider's key s that nobody but s may make, and
// that it has not made.
func forged(t *testing.T, s signer) map[string]string {
	t.Helper()
	sound := s.sign(t, payload(), nil)
	parts := strings.Split(sound, ".")
	stranger := newSigner(t, s.kid, s.alg)
	own := func(headers object) string { return stranger.sign(t, payload(), headers) }
	jwk, err := json.Marshal(stranger.public())
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(header string) string { return encode(header) + "." + parts[1] + "." }
	withHMAC := func(header string, key []byte) string {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(encode(header) + "." + parts[1]))
		return encode(header) + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	published, err := json.Marshal(s.public())
	if err != nil {
		t.Fatal(err)
	}
	kid := `,"kid":"` + s.kid + `"}`
	object := `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
	return map[string]string{
		"none":                      unsigned(`{"alg":"none"` + kid),
		"None":                      unsigned(`{"alg":"None"` + kid),
		"nOnE with a signature":     encode(`{"alg":"nOnE"`+kid) + "." + parts[1] + "." + parts[2],
		"no algorithm":              encode(`{"kid":"k"}`) + "." + parts[1] + "." + parts[2],
		"no signature":              parts[0] + "." + parts[1] + ".",
		"HS256 with the PEM":        withHMAC(`{"alg":"HS256"`+kid, text),
		"HS256 with the DER":        withHMAC(`{"alg":"HS256"`+kid, der),
		"HS256 with the JWK":        withHMAC(`{"alg":"HS256"`+kid, published),
		"HS256 with nothing":        withHMAC(`{"alg":"HS256"`+kid, nil),
		"HS256 called RS256":        withHMAC(`{"alg":"RS256"`+kid, text),
		"two algorithms":            withHMAC(`{"alg":"RS256","alg":"HS256"`+kid, text),
		"another's key":             own(nil),
		"jwk":                       own(map[string]any{"jwk": json.RawMessage(jwk)}),
		"jku":                       own(map[string]any{"jku": "https://evil.example.org/keys"}),
		"x5u":                       own(map[string]any{"x5u": "https://evil.example.org/cert"}),
		"kid that is a path":        signer{stranger.key, "../../../../dev/null", s.alg}.sign(t, payload(), nil),
		"kid that is a URL":         signer{stranger.key, "https://evil.example.org/keys", s.alg}.sign(t, payload(), nil),
		"kid of a query":            signer{stranger.key, "k' UNION SELECT 'x", s.alg}.sign(t, payload(), nil),
		"kid of a number":           encode(`{"alg":"RS256","kid":1}`) + "." + parts[1] + "." + parts[2],
		"no kid":                    signer{stranger.key, "", s.alg}.sign(t, payload(), nil),
		"other claims":              parts[0] + "." + encode(`{"iss":"`+issuer+`"}`) + "." + parts[2],
		"as JSON":                   object,
		"as flat JSON in an object": `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"two parts":                 parts[0] + "." + parts[1],
		"four parts":                sound + ".",
		"five parts":                sound + "." + parts[1] + "." + parts[2],
		"padded":                    sound + "=",
		"with a dot before":         "." + sound,
		"opaque":                    opaque,
		"deep header":               encode(`{"alg":"RS256","x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+kid) + "." + parts[1] + "." + parts[2],
		"deep claims":               parts[0] + "." + encode(strings.Repeat(`{"a":`, 1000)) + "." + parts[2],
		"no header":                 "." + parts[1] + "." + parts[2],
		"header of a list":          encode("[]") + "." + parts[1] + "." + parts[2],
		"header of null":            encode("null") + "." + parts[1] + "." + parts[2],
		"huge":                      parts[0] + "." + strings.Repeat("A", maxToken) + "." + parts[2],
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		s := newSigner(t, "k", alg)
		p := &provider{keys: []jose.JSONWebKey{s.public()}}
		v := newVerifier(t, signing(p))
		expect(t, v, account, s.sign(t, payload(), nil), good, "")
		for name, token := range forged(t, s) {
			if got, text := verify(t, v, account, token); got != isRefused {
				t.Errorf("%s, %s: %s (%s)", alg, name, got, text)
			}
		}
		for _, r := range p.requests {
			if r.URL.Host != "id.example.org" {
				t.Errorf("asked %s", r.URL)
			}
		}
	}
}

func TestCompactForm(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"YQ.YQ.YQ": true, "": false, "..": false, "YQ.YQ": false, "YQ.YQ.": false, "YQ..YQ": false, "YQ.YQ.YQ.YQ": false,
		"YQ.YQ.YQ==": false, "YR.YQ.YQ": false, "YQ.Y Q.YQ": false, "Y+.YQ.YQ": false, "{.YQ.YQ": false,
	} {
		if got := isCompact(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// signedClaims are tokens that the provider has signed. Some are good.
func signedClaims() []struct {
	name    string
	claims  any
	headers object
	want    outcome
	part    string
} {
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	with := func(changes object) any { return payload().with(changes) }
	return []struct {
		name    string
		claims  any
		headers object
		want    outcome
		part    string
	}{
		{"sound", payload(), nil, good, ""},
		{"typ JWT", payload(), object{"typ": "JWT"}, good, ""},
		{"typ in full", payload(), object{"typ": "application/AT+jwt"}, good, ""},
		{"its own keys", payload(), object{"jku": "https://evil.example.org/", "x5u": "https://evil.example.org/"}, good, ""},
		{"fraction of a second", with(object{"exp": float64(in(time.Hour)) + 0.5}), nil, good, ""},
		{"expired within the skew", with(object{"exp": in(-59 * time.Second)}), nil, good, ""},
		{"not yet valid within the skew", with(object{"nbf": in(60 * time.Second)}), nil, good, ""},
		{"one audience", with(object{"aud": audience}), nil, good, ""},
		{"another case", with(object{"email": "BOB@example.ORG"}), nil, good, ""},
		{"never valid before", with(object{"nbf": nil}), nil, good, ""},

		{"expired", with(object{"exp": in(-60 * time.Second)}), nil, isRefused, "expired"},
		{"no end", with(object{"exp": nil}), nil, isRefused, "no end"},
		{"null for an end", with(object{"exp": json.RawMessage("null")}), nil, isRefused, ""},
		{"end in words", with(object{"exp": "2099-01-01"}), nil, isRefused, "malformed"},
		{"end in another case", with(object{"exp": nil, "Exp": in(time.Hour)}), nil, isRefused, "no end"},
		{"not valid yet", with(object{"nbf": in(61 * time.Second)}), nil, isRefused, "not valid yet"},
		{"not valid for 6 minutes", with(object{"nbf": in(6 * time.Minute)}), nil, isRefused, "not valid yet"},
		{"nbf in words", with(object{"nbf": "x"}), nil, isRefused, ""},
		{"another audience", with(object{"aud": []string{"other"}}), nil, isRefused, "audience"},
		{"beginning of the audience", with(object{"aud": "mail"}), nil, isRefused, "audience"},
		{"no audience", with(object{"aud": nil}), nil, isRefused, "audience"},
		{"audience in azp", with(object{"aud": nil, "azp": audience, "client_id": audience}), nil, isRefused, "audience"},
		{"audience of objects", with(object{"aud": object{}}), nil, isRefused, ""},
		{"another issuer", with(object{"iss": "https://id.example.org.evil"}), nil, isRefused, "issuer"},
		{"issuer with a slash", with(object{"iss": issuer + "/"}), nil, isRefused, "issuer"},
		{"no issuer", with(object{"iss": nil}), nil, isRefused, "issuer"},
		{"issuer in another case", with(object{"iss": nil, "Iss": issuer}), nil, isRefused, "issuer"},
		{"no scope", with(object{"scope": nil}), nil, isRefused, "scope"},
		{"another scope", with(object{"scope": "openid"}), nil, isRefused, "scope"},
		{"scope of a number", with(object{"scope": 1}), nil, isRefused, "form"},
		{"no name", with(object{"email": nil}), nil, isRefused, "claim"},
		{"name in another case", with(object{"email": nil, "Email": account}), nil, isRefused, "claim"},
		{"name of a list", with(object{"email": []string{account}}), nil, isRefused, "form"},
		{"Kelvin sign", with(object{"email": "\u212aate@example.org"}), nil, isRefused, "cannot be"},
		{"full-width name", with(object{"email": "bob＠example.org"}), nil, isRefused, "cannot be"},
		{"not verified", with(object{"email_verified": false}), nil, isRefused, "verified"},
		{"nothing said of verified", with(object{"email_verified": nil}), nil, isRefused, "verified"},
		{"bound to a key", with(object{"cnf": object{"jkt": "x"}}), nil, isRefused, "bound"},
		{"logout token", payload(), object{"typ": "logout+jwt"}, isRefused, "another type"},
		{"typ of a number", payload(), object{"typ": 1}, isRefused, ""},
		{"what it must understand", payload(), object{"crit": []string{"exp"}, "exp": 1}, isRefused, ""},
		{"claims of a list", "[]", nil, isRefused, ""},
		{"null for claims", "null", nil, isRefused, ""},
		{"claims of text", "hello", nil, isRefused, ""},
		{"no claims", "", nil, isRefused, ""},
		{"deep claims", `{"a":` + strings.Repeat("[", 11_000) + strings.Repeat("]", 11_000) + `}`, nil, isRefused, ""},
		{"claims elsewhere", with(object{"_claim_names": object{"email": "a"}, "_claim_sources": object{"a": object{"endpoint": "https://evil.example.org/"}}, "email": nil}), nil, isRefused, "claim"},
	}
}

func TestSignedClaims(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "k", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		p := &provider{keys: []jose.JSONWebKey{s.public()}}
		v := newVerifier(t, signing(p))
		for _, tt := range signedClaims() {
			got, text := verify(t, v, account, s.sign(t, tt.claims, tt.headers))
			if got != tt.want || !strings.Contains(text, tt.part) {
				t.Errorf("%s: %s (%s), want %s (…%s…)", tt.name, got, text, tt.want, tt.part)
			}
		}
		for _, r := range p.requests {
			if r.URL.Host != "id.example.org" {
				t.Errorf("asked %s", r.URL)
			}
		}
	})
}

// TestRulesMutants takes the rules away one by one: some token must notice.
func TestRulesMutants(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "k", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		for name, spoil := range map[string]func(v *signed){
			"":                 func(*signed) {},
			"any issuer":       func(v *signed) { v.rules.issuer = ""; v.config.SkipIssuerCheck = true },
			"any audience":     func(v *signed) { v.rules.audiences = nil },
			"any scope":        func(v *signed) { v.rules.scopes = nil },
			"any address":      func(v *signed) { v.rules.unverified = true },
			"no end needed":    func(v *signed) { v.rules.signed = false },
			"no skew":          func(v *signed) { v.rules.skew = 0 },
			"a second of skew": func(v *signed) { v.rules.skew += time.Second },
			"another claim":    func(v *signed) { v.rules.claim = "sub" },
		} {
			v := newVerifier(t, signing(&provider{keys: []jose.JSONWebKey{s.public()}}))
			spoil(v.source.(*signed))
			caught := false
			for _, tt := range signedClaims() {
				_, err := v.VerifyToken(t.Context(), account, s.sign(t, tt.claims, tt.headers))
				caught = caught || (err == nil) != (tt.want == good)
			}
			if caught != (name != "") {
				t.Errorf("%q: caught: %v", name, caught)
			}
		}
	})
}
