package token

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/fsx"
)

// provider is an identity provider. reply answers the requests to its token
// endpoint, which it keeps.
type provider struct {
	*httptest.Server
	reply func(w http.ResponseWriter, form url.Values)

	mu    sync.Mutex
	forms []url.Values
}

func newProvider(t *testing.T, reply func(http.ResponseWriter, url.Values)) *provider {
	t.Helper()
	p := &provider{reply: reply}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		if id, password, ok := r.BasicAuth(); ok {
			r.PostForm.Set("basic", id+" "+password)
		}
		r.PostForm.Set("path", r.URL.Path)
		p.mu.Lock()
		p.forms = append(p.forms, r.PostForm)
		p.mu.Unlock()
		p.reply(w, r.PostForm)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *provider) requests() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forms
}

// client is a client of the provider p.
func (p *provider) client() *Client {
	return &Client{
		Account: "work", ID: "client-id", HTTP: p.Client().Transport,
		Provider: Provider{
			AuthURL: p.URL + "/auth?tenant=x", DeviceURL: p.URL + "/device", TokenURL: p.URL + "/token",
			Scopes: []string{"mail", "offline_access"}, AppScopes: []string{"mail/.default"},
		},
	}
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// rotating gives access-N and refresh-N for refresh-(N-1), of which it knows
// only the last, as the strictest providers do.
func rotating() func(http.ResponseWriter, url.Values) {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, form url.Values) {
		mu.Lock()
		defer mu.Unlock()
		if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != fmt.Sprintf("refresh-%d", n) {
			say(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": form.Get("refresh_token")})
			return
		}
		n++
		say(w, http.StatusOK, map[string]any{
			"access_token": fmt.Sprintf("access-%d", n), "refresh_token": fmt.Sprintf("refresh-%d", n),
			"token_type": "Bearer", "expires_in": 3600,
		})
	}
}

// keep puts a grant of c with the refresh token into a file.
func keep(t *testing.T, dir fsx.Dir, c *Client, refresh string) File {
	t.Helper()
	f := File{Dir: dir, Name: "work.token"}
	if err := f.save(grant{TokenURL: c.Provider.TokenURL, ClientID: c.ID, RefreshToken: refresh}); err != nil {
		t.Fatal(err)
	}
	return f
}

func fixed(s string) secret.Source {
	return func(context.Context) (string, error) { return s, nil }
}

// roundTrip is a provider without a network, for bubbles.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answered(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	p, err := Microsoft("")
	if err != nil || p.TokenURL != "https://login.microsoftonline.com/common/oauth2/v2.0/token" {
		t.Errorf("%q, %v", p.TokenURL, err)
	}
	if p, err = Microsoft("example.org"); err != nil || !strings.Contains(p.AuthURL, "/example.org/") {
		t.Errorf("%q, %v", p.AuthURL, err)
	}
	for _, bad := range []string{"a/b", "..", ".", "a?b", "a b", "a%2fb", strings.Repeat("a", 254)} {
		if _, err := Microsoft(bad); err == nil {
			t.Errorf("%q is taken for a tenant", bad)
		}
	}
	for _, p := range []Provider{p, Google()} {
		c := &Client{ID: "x", Provider: p}
		if err := c.check(p.AuthURL, p.TokenURL); err != nil {
			t.Error(err)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"https://id.example.org/token":         true,
		"https://id.example.org/token?x=y":     true,
		"http://127.0.0.1:8080/token":          true,
		"http://[::1]:8080/token":              true,
		"http://localhost/token":               true,
		"http://id.example.org/token":          false,
		"http://localhost.example.org/token":   false,
		"https://alice:pw@id.example.org/":     false,
		"https://id.example.org/#x":            false,
		"file:///etc/passwd":                   false,
		"//id.example.org":                     false,
		"":                                     false,
		"https://":                             false,
		"https://id.example.org/\x00":          false,
		"HTTPS://id.example.org/is-lower-here": true,
	} {
		if err := (&Client{ID: "x"}).check(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	if err := (&Client{}).check(); err == nil || !strings.Contains(err.Error(), "client_id") {
		t.Error(err)
	}
}
