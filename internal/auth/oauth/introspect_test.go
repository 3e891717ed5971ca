package oauth

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const opaque = "0paque-T0ken"

func TestIntrospectionRequest(t *testing.T) {
	t.Parallel()
	p := &provider{answer: active()}
	expect(t, newVerifier(t, introspecting(p)), account, "a+b/c=&x=1", good, "")
	r := p.requests[0]
	id, secret, _ := r.BasicAuth()
	if r.Method != http.MethodPost || r.PostForm.Get("token") != "a+b/c=&x=1" || r.PostForm.Get("token_type_hint") != "access_token" ||
		len(r.PostForm) != 2 || r.URL.RawQuery != "" || r.Header.Get("Accept") != "application/json" ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%v %v %v", r.Method, r.PostForm, r.Header)
	}
	if id != "client%3A1" || secret != "s3cr+et%25" { // RFC 6749 §2.3.1
		t.Errorf("Basic %q %q", id, secret)
	}
	o := introspecting(p)
	o.ClientID, o.ClientSecret, o.Bearer = "", nil, fixed("0wn")
	expect(t, newVerifier(t, o), "", opaque, good, "")
	if a := p.requests[1].Header.Get("Authorization"); a != "Bearer 0wn" {
		t.Errorf("Authorization: %s", a)
	}
}

// inactive are answers, by what is changed in a good one. Some are good.
func inactive() []struct {
	name    string
	changes object
	want    outcome
	part    string
} {
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	return []struct {
		name    string
		changes object
		want    outcome
		part    string
	}{
		{"sound", nil, good, ""},
		{"only what it must have", object{"exp": nil, "nbf": nil, "iss": nil, "token_type": nil}, good, ""},
		{"other spellings", object{"username": "Bob@EXAMPLE.org", "aud": []string{"x", audience}, "scope": nil, "scp": []string{"mail.pop"}}, good, ""},
		{"scopes in scp", object{"scope": nil, "scp": "a mail.pop"}, good, ""},
		{"list of scopes", object{"scope": []string{"a", "mail.pop"}}, good, ""},
		{"access_token", object{"token_type": "access_token", "token_use": "access"}, good, ""},
		{"expired within the skew", object{"exp": ago(50 * time.Second)}, good, ""},
		{"not yet valid within the skew", object{"nbf": ago(-50 * time.Second)}, good, ""},

		{"inactive", object{"active": false}, isRefused, "not active"},
		{"expired", object{"exp": ago(60 * time.Second)}, isRefused, "expired"},
		{"expired in 1938", object{"exp": -1e9}, isRefused, "expired"},
		{"not yet valid", object{"nbf": ago(-70 * time.Second)}, isRefused, "not valid yet"},
		{"never valid", object{"nbf": 1e300}, isRefused, "not valid yet"},
		{"another audience", object{"aud": "mail.example.org.evil"}, isRefused, "audience"},
		{"no audience", object{"aud": nil}, isRefused, "audience"},
		{"another issuer", object{"iss": issuer + "/"}, isRefused, "issuer"},
		{"no scope", object{"scope": nil}, isRefused, "scope"},
		{"part of a scope", object{"scope": "mail.pop3 xmail.pop"}, isRefused, "scope"},
		{"another case of scope", object{"scope": "MAIL.POP"}, isRefused, "scope"},
		{"no name", object{"username": nil}, isRefused, "claim"},
		{"null for a name", object{"username": json.RawMessage("null")}, isRefused, "claim"},
		{"empty name", object{"username": ""}, isRefused, "claim"},
		{"name in another case", object{"username": nil, "Username": account}, isRefused, "claim"},
		{"full-width name", object{"username": "bob＠example.org"}, isRefused, "cannot be"},
		{"name with a blank", object{"username": "bob @example.org"}, isRefused, "cannot be"},
		{"name too long", object{"username": strings.Repeat("a", 256)}, isRefused, "cannot be"},
		{"refresh token", object{"token_use": "refresh_token"}, isRefused, "access token"},
		{"refresh token of Keycloak", object{"typ": "Refresh"}, isRefused, "access token"},
		{"DPoP", object{"token_type": "DPoP"}, isRefused, "access token"},
		{"bound to a key", object{"cnf": object{"jkt": "x"}}, isRefused, "bound"},

		{"no active", object{"active": nil}, isOutage, "RFC 7662"},
		{"active in words", object{"active": "true"}, isOutage, "RFC 7662"},
		{"active in capitals", object{"active": nil, "Active": true}, isOutage, "RFC 7662"},
		{"exp in words", object{"exp": "tomorrow"}, isOutage, "form"},
		{"aud of numbers", object{"aud": 7}, isOutage, "form"},
		{"scope of objects", object{"scope": object{}}, isOutage, "form"},
		{"username of a list", object{"username": []string{account}}, isOutage, "form"},
		{"token type of a number", object{"token_type": 1}, isOutage, "form"},
	}
}

func TestIntrospectionAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // a second may not pass meanwhile
		for _, tt := range inactive() {
			p := &provider{answer: active().with(tt.changes)}
			var told []error
			o := introspecting(p)
			o.Report = func(err error) { told = append(told, err) }
			got, text := verify(t, newVerifier(t, o), account, opaque)
			if got != tt.want || !strings.Contains(text, tt.part) {
				t.Errorf("%s: %s (%s), want %s (…%s…)", tt.name, got, text, tt.want, tt.part)
			}
			if (len(told) == 1) != (got == isRefused) {
				t.Errorf("%s: told %v", tt.name, told)
			}
		}
	})
}

func TestWhoseToken(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, introspecting(&provider{answer: active()}))
	for range 2 { // asked, and remembered
		for user, want := range map[string]outcome{
			"": good, account: good, "BOB@Example.ORG": good, "ｂob@example.org": good,
			"alice@example.org": isRefused, "bob": isRefused, "bob@example.org.": isRefused, "b\x00b": isRefused, strings.Repeat("b", 300): isRefused,
		} {
			if got, text := verify(t, v, user, opaque); got != want {
				t.Errorf("%q: %s (%s), want %s", user, got, text, want)
			}
		}
	}
	for _, token := range []string{"", "a b", "tök", "a\x00b", "a\r\nb", strings.Repeat("a", maxToken+1)} {
		expect(t, v, account, token, isRefused, "no token")
	}
	expect(t, v, account, strings.Repeat("a", maxToken), good, "")
}

// TestVerifiedAddress has the claim "email" count only if the provider says that
// it has verified it.
func TestVerifiedAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		verified   any
		unverified bool
		want       outcome
	}{
		{true, false, good}, {"true", false, good}, {nil, false, isRefused}, {false, false, isRefused}, {"false", false, isRefused},
		{1, false, isRefused}, {[]bool{true}, false, isRefused}, {nil, true, good}, {false, true, good},
	} {
		o := introspecting(&provider{answer: active().with(object{"email": account, "email_verified": tt.verified})})
		o.Claim, o.UnverifiedEmail = "email", tt.unverified
		if got, text := verify(t, newVerifier(t, o), "", opaque); got != tt.want {
			t.Errorf("%v, %v: %s (%s), want %s", tt.verified, tt.unverified, got, text, tt.want)
		}
	}
}

// TestIntrospectionOutages checks that whatever keeps the provider from an
// answer is no refusal, and that the text says what it is.
func TestIntrospectionOutages(t *testing.T) {
	t.Parallel()
	code := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(n)
			io.WriteString(w, `{"active":true,"error":"`+r.PostFormValue("token")+`"}`)
		}
	}
	say := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
	}
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		part   string
	}{
		{"400", code(400), "refuses to answer (HTTP status 400)"},
		{"401", code(401), "our own credentials"},
		{"403", code(403), "our own credentials"},
		{"404", code(404), "nothing at this address"},
		{"429", code(429), "too often"},
		{"500", code(500), "out of order"},
		{"503", code(503), "out of order"},
		{"204", code(204), "HTTP status 204"},
		{"302", code(302), "redirects"},
		{"empty", say(""), "RFC 7662"},
		{"null", say("null"), "RFC 7662"},
		{"a list", say(`[{"active":true}]`), "RFC 7662"},
		{"a page", say("<html>ech0</html>"), "RFC 7662"},
		{"two answers", say(`{"active":true}{"active":true}`), "RFC 7662"},
		{"broken off", say(`{"active":true,"username":"` + account), "RFC 7662"},
		{"too deep", say(strings.Repeat(`{"active":`, 20_000)), "RFC 7662"},
		{"deep beside", say(`{"active":true,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`), "RFC 7662"},
		{"too long", say(`{"active":true,"username":"` + account + `"` + strings.Repeat(" ", defaultAnswer) + `}`), "more than 262144 octets"},
	} {
		v := newVerifier(t, introspecting(&provider{handle: tt.handle}))
		if got, text := verify(t, v, account, opaque); got != isOutage || !strings.Contains(text, tt.part) || !strings.Contains(text, "id.example.org") {
			t.Errorf("%s: %s (%s), want …%s…", tt.name, got, text, tt.part)
		}
	}
	o := introspecting(&provider{})
	o.ClientSecret = func(context.Context) (string, error) { return "", errors.New("no such file") }
	expect(t, newVerifier(t, o), account, opaque, isOutage, "our own secret: no such file")
	o.ClientID, o.ClientSecret, o.Bearer = "", nil, fixed("a\nb")
	expect(t, newVerifier(t, o), account, opaque, isOutage, "our own token")
}

// TestBlanks has an answer with all the blanks that JSON allows.
func TestBlanks(t *testing.T) {
	t.Parallel()
	const body = "\r\n{ \"active\"\t: true ,\n\"username\" : \"" + account + "\" , \"aud\" : [ \"" + audience + "\" ] ,\"scope\":\"mail.pop\", \"exp\" : null }\n"
	expect(t, newVerifier(t, introspecting(&provider{handle: reply(body)})), account, opaque, good, "")
}

// TestManyAsk has no more requests run at once than may, while all are answered
// in the end.
func TestManyAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		var asked atomic.Int32
		p := &provider{answer: active()}
		o := introspecting(roundTrip(func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			<-wait
			return p.RoundTrip(r)
		}))
		v := newVerifier(t, o)
		var all sync.WaitGroup
		for i := range 3 * atOnce {
			all.Go(func() { expect(t, v, account, opaque+fmt.Sprint(i), good, "") })
		}
		synctest.Wait()
		if n := asked.Load(); n != atOnce {
			t.Errorf("%d at once", n)
		}
		close(wait)
		all.Wait()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSlowProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &provider{handle: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		v := newVerifier(t, introspecting(p))
		start := time.Now()
		expect(t, v, account, opaque, isOutage, "does not answer within 10s")
		if d := time.Since(start); d != defaultTimeout {
			t.Errorf("after %v", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := v.VerifyToken(ctx, "", opaque); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestNetwork asks by real connections.
func TestNetwork(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("redirected, with %v", r.Header)
	}))
	redirect := http.StatusTemporaryRedirect
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			json.NewEncoder(w).Encode(active())
		case "/redirect":
			http.Redirect(w, r, elsewhere.URL, redirect)
		case "/breaks":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"active":true,`)
		}
	}))
	trust := &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	o := introspecting(nil)
	o.HTTP, o.TLS = nil, trust
	at := func(address string) *Verifier {
		o.Introspection = address
		return newVerifier(t, o)
	}
	expect(t, at(s.URL+"/good"), account, opaque, good, "")
	expect(t, at(s.URL+"/redirect"), account, opaque, isOutage, "redirects")
	expect(t, at(s.URL+"/breaks"), account, opaque, isOutage, "breaks off")
	expect(t, at(echo(t)), account, opaque, isOutage, "cannot be read")
	expect(t, at("http://127.0.0.1:1/"), account, opaque, isOutage, "connect")
	o.TLS = &tls.Config{ServerName: "other.example.org", RootCAs: trust.RootCAs}
	expect(t, at(s.URL+"/good"), account, opaque, isOutage, "certificate is not that of")
	o.TLS = nil
	expect(t, at(s.URL+"/good"), account, opaque, isOutage, "cannot be trusted")
}

// echo gives the address of a server that answers by what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		done.Wait()
	})
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			n, _ := conn.Read(b)
			conn.Write(b[:n])
			conn.Close()
		}
	})
	return "http://" + l.Addr().String() + "/"
}

// TestIdleConnection checks that a connection which the provider closes while it
// is idle is nobody's failure.
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, &provider{answer: active()})
	o := introspecting(nil)
	o.HTTP, o.TLS, o.Remember = nil, &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}, -1
	o.Introspection = s.URL + "/introspect"
	v := newVerifier(t, o)
	for range 20 {
		expect(t, v, account, opaque, good, "")
		s.CloseClientConnections()
	}
}
