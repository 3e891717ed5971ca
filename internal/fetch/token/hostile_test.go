package token

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// secrets is what no error may have any part of.
var secrets = []string{"refresh-0", "client-secret", "access-", "the-code", "device-code"}

// mute fails the test if err tells a secret or has signs that a terminal would
// obey.
func mute(t *testing.T, err error) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(err.Error(), s) {
			t.Errorf("%v tells %q", err, s)
		}
	}
	for _, c := range []byte(err.Error()) {
		if c < ' ' || c > '~' {
			t.Errorf("%q has control characters", err)
			return
		}
	}
}

// What a provider, or something in its place, may answer to a refresh.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const (
		temporary = iota
		authorize
		settings
	)
	for _, tt := range []struct {
		status int
		kind   string
		body   string
		means  int
		want   string
	}{
		{400, "json", `{"error":"invalid_grant"}`, authorize, "(invalid_grant); run: postwain fetch authorize work"},
		{400, "json", `{"error":"invalid_grant","error_description":"refresh-0 client-secret \u001b[2J"}`, authorize, "not accept the grant"},
		{400, "json", `{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired. Trace ID: 1"}`, authorize, "90 days (invalid_grant, AADSTS700082); run: "},
		{400, "json", `{"error":"interaction_required","error_description":"AADSTS50076: Due to a configuration change"}`, authorize, "second factor"},
		{400, "json", `{"error":"invalid_grant","error_description":"AADSTS65001: The user or administrator has not consented"}`, authorize, "not consented"},
		{401, "json", `{"error":"invalid_client","error_description":"AADSTS7000222: expired"}`, settings, "secret has expired"},
		{400, "json", `{"error":"unauthorized_client","error_description":"AADSTS700016: Application"}`, settings, "check client_id and tenant"},
		{400, "json", `{"error":"invalid_grant","error_description":"AADSTS99: x"}`, authorize, "not accept the grant any more (invalid_grant)"},
		{400, "json", `{"error":"invalid_grant","error_description":"AADSTS: x"}`, authorize, "(invalid_grant)"},
		{401, "json", `{"error":"invalid_client"}`, settings, "client_secret_file (invalid_client)"},
		{200, "json", `{"error":"invalid_client"}`, settings, "client_secret_file"},
		{400, "json", `{"error":"refresh-0"}`, temporary, "no known name (HTTP status 400)"},
		{400, "json", `{"error":"secret"}`, temporary, "no known name (HTTP status 400)"}, // a part of client-secret
		{400, "json", `{"error":"some_new_error"}`, temporary, "no known name (some_new_error)"},
		{400, "json", `{"error":"\u001b[2J"}`, temporary, "no known name"},
		{400, "json", `{"error":{"code":1}}`, temporary, "HTTP status 400"},
		{400, "x-www-form-urlencoded", `error=invalid_grant`, authorize, "invalid_grant"},
		{400, "json", ``, temporary, "HTTP status 400"},
		{404, "html", `<html>refresh-0`, settings, "check its URLs (HTTP status 404)"},
		{429, "json", ``, temporary, "try again later (HTTP status 429)"},
		{503, "html", `<html>refresh-0`, temporary, "try again later (HTTP status 503)"},
		{200, "html", `<html>Sign in to the hotel refresh-0</html>`, temporary, "whether a proxy is in between"},
		{200, "json", `<html>refresh-0</html>`, temporary, "whether a proxy is in between"},
		{200, "json", `{}`, temporary, "not one that the provider should give"},
		{200, "json", `[]`, temporary, "not one that the provider should give"},
		{200, "json", `{"access_token":"access-1"`, temporary, "not one that the provider should give"},
		{200, "json", `{"access_token":"access-1","expires_in":"access-"}`, temporary, "not one that the provider should give"},
		{200, "json", `{"access_token":"access-1\r\nQUIT"}`, temporary, "characters that no token has"},
		{200, "json", `{"access_token":"access-1","refresh_token":"a\nb"}`, temporary, "characters that no token has"},
		{200, "json", `{"access_token":"access-1","token_type":"mac"}`, temporary, "no bearer token"},
		{200, "json", `{"access_token":"` + strings.Repeat("x", 17<<10) + `"}`, temporary, "17408 octets"},
		{200, "json", strings.Repeat(" ", maxAnswer+1), temporary, "more than 65536 octets"},
		{400, "json", strings.Repeat("refresh-0", 1<<20), temporary, "more than 65536 octets"},
	} {
		p := newProvider(t, func(w http.ResponseWriter, _ url.Values) {
			w.Header().Set("Content-Type", "application/"+tt.kind)
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		})
		c := p.client()
		c.Secret = fixed("client-secret")
		f := keep(t, faultfs.New().Root(), c, "refresh-0")
		got, err := c.Stored(f).Token(t.Context())
		if err == nil {
			t.Errorf("%.60q: %q", tt.body, got)
			continue
		}
		mute(t, err)
		if errors.Is(err, ErrAuthorize) != (tt.means == authorize) || errors.Is(err, ErrSettings) != (tt.means == settings) ||
			!strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "token: work: refreshing the token: ") {
			t.Errorf("%d %.60q: %v, want %q", tt.status, tt.body, err, tt.want)
		}
		if g, err := f.load(); err != nil || g.RefreshToken != "refresh-0" {
			t.Errorf("%.60q: the grant is gone: %v, %v", tt.body, g, err)
		}
		if n := len(p.requests()); n != 1 {
			t.Errorf("%.60q: %d requests", tt.body, n)
		}
	}
}

// Every known problem says something, and what to do about it.
func TestProblemsAreExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range append(standard[:len(standard):len(standard)], microsoft...) {
		if seen[p.name] || p.text == "" || strings.HasSuffix(p.text, ".") {
			t.Errorf("%+v", p)
		}
		seen[p.name] = true
	}
}

func TestGoogleTesting(t *testing.T) {
	t.Parallel()
	p := newProvider(t, func(w http.ResponseWriter, _ url.Values) {
		say(w, 400, map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
	})
	c := p.client()
	c.Provider.hint = Google().hint
	_, err := c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context())
	for _, want := range []string{`"Testing"`, "7 days", `"In production"`, "run: postwain fetch authorize work"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A redirect would carry the refresh token elsewhere.
func TestRedirect(t *testing.T) {
	t.Parallel()
	thief := newProvider(t, rotating())
	for _, status := range []int{301, 302, 303, 307, 308} {
		p := newProvider(t, func(w http.ResponseWriter, _ url.Values) {
			w.Header().Set("Location", thief.URL+"/refresh-0")
			w.WriteHeader(status)
		})
		c := p.client()
		_, err := c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context())
		if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "redirects") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := len(thief.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	c.HTTP = nil // with the system's certificates alone
	_, err := c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context())
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
	c.HTTP = p.Client().Transport
	c.Provider.TokenURL = strings.Replace(p.URL, "127.0.0.1", "localhost", 1) // the certificate does not have it
	_, err = c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context())
	if err == nil || !strings.Contains(err.Error(), `certificate is not that of "localhost"`) {
		t.Error(err)
	}
	if n := len(p.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	p.Close()
	_, err := c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context())
	if err == nil || !strings.Contains(err.Error(), "refused") || errors.Is(err, ErrAuthorize) {
		t.Error(err)
	}
}

// raw answers with text in the place of HTTP.
func TestNoHTTP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "+OK refresh-0 \x1b[2J\r\n")
			conn.Close()
		}
	}()
	c := &Client{Account: "work", ID: "client-id", Provider: Provider{TokenURL: "http://" + l.Addr().String()}}
	_, err = c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	mute(t, err)
}

// dribble gives an octet each second, for ever.
type dribble struct{ ctx context.Context }

func (d dribble) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (dribble) Close() error { return nil }

func TestSlow(t *testing.T) {
	t.Parallel()
	silent := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	slow := func(r *http.Request) (*http.Response, error) {
		a := answered(200, "")
		a.Body = dribble{r.Context()}
		return a, nil
	}
	for name, f := range map[string]roundTrip{"silent": silent, "slow": slow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &Client{Account: "work", ID: "client-id", HTTP: f, Provider: Provider{
					TokenURL: "https://id.example.org/token", DeviceURL: "https://id.example.org/device"}}
				file := keep(t, faultfs.New().Root(), c, "refresh-0")
				begin := time.Now()
				_, err := c.Stored(file).Token(t.Context())
				if err == nil || !strings.Contains(err.Error(), "does not answer in time") || time.Since(begin) != requestTime {
					t.Errorf("after %v: %v", time.Since(begin), err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begin = time.Now()
				err = c.AuthorizeDevice(ctx, file, func(Prompt) error { return nil })
				if err == nil || time.Since(begin) != time.Second {
					t.Errorf("after %v: %v", time.Since(begin), err)
				}
			})
		})
	}
}

func FuzzWord(f *testing.F) {
	for _, seed := range []string{"", "invalid_grant", "AADSTS50076: x", "AADSTS", "AADSTS5\x00", "refresh"} {
		f.Add(seed, "refresh-0")
	}
	f.Fuzz(func(t *testing.T, s, hidden string) {
		if w := word(s, []string{hidden}); w != "" && (w != s || len(w) > 40 || strings.Contains(hidden, w)) {
			t.Errorf("%q", w)
		}
		if n := aadsts(s); n != "" && !strings.HasPrefix(s, n) {
			t.Errorf("%q", n)
		}
	})
}
