package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// exchange answers a code whose verifier fits the challenge of the URL shown.
type exchange struct {
	challenge, redirect string
	reply               map[string]any
	used                bool
}

func (e *exchange) serve(w http.ResponseWriter, form url.Values) {
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	fits := base64.RawURLEncoding.EncodeToString(sum[:]) == e.challenge
	if e.used || !fits || form.Get("code") != "the-code" || form.Get("redirect_uri") != e.redirect ||
		form.Get("grant_type") != "authorization_code" {
		say(w, 400, map[string]any{"error": "invalid_grant", "error_description": form.Encode()})
		return
	}
	e.used = true
	say(w, 200, e.reply)
}

// visit asks the waiting port for path?query by the host name that the redirect
// has, or by another.
func visit(t *testing.T, p Prompt, host, pathQuery string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.Listen+pathQuery, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if strings.Contains(string(text), "the-code") {
		t.Errorf("the page tells %q", text)
	}
	return resp.StatusCode, string(text)
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "localhost"} {
		e := &exchange{reply: map[string]any{"access_token": "access-1", "refresh_token": "refresh-0", "token_type": "Bearer", "expires_in": 3600}}
		p := newProvider(t, e.serve)
		c := p.client()
		c.Provider.Params = Google().Params
		c.Provider.RedirectHost = host
		f := File{faultfs.New().Root(), "work.token"}
		shown := 0
		err := c.AuthorizeCode(t.Context(), f, func(prompt Prompt) error {
			shown++
			u, err := url.Parse(prompt.URL)
			if err != nil {
				return err
			}
			q := u.Query()
			for name, want := range map[string]string{
				"tenant": "x", "response_type": "code", "client_id": "client-id", "scope": "mail offline_access",
				"code_challenge_method": "S256", "access_type": "offline", "prompt": "consent",
			} {
				if q.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, q.Get(name), want)
				}
			}
			e.challenge, e.redirect = q.Get("code_challenge"), q.Get("redirect_uri")
			back, err := url.Parse(e.redirect)
			if err != nil {
				return err
			}
			if !strings.HasPrefix(prompt.Listen, "127.0.0.1:") || len(q.Get("state")) < 43 || prompt.Code != "" {
				t.Error(prompt)
			}
			good := "/?code=the-code&state=" + q.Get("state")
			for _, other := range []struct{ host, path string }{
				{back.Host, "/favicon.ico"}, {back.Host, "/"}, {back.Host, "/?state=" + q.Get("state")},
				{back.Host, "/x" + good[1:]}, {"rebound.example.org", good}, {"", "/"},
			} {
				if status, _ := visit(t, prompt, other.host, other.path); status != 404 {
					t.Errorf("%s %s: %d", other.host, other.path, status)
				}
			}
			if status, text := visit(t, prompt, back.Host, good); status != 200 || !strings.Contains(text, "close this page") {
				t.Errorf("%d %q", status, text)
			}
			if status, _ := visit(t, prompt, back.Host, good); status == 200 { // replayed
				t.Error("a second answer was taken")
			}
			return nil
		})
		if err != nil || shown != 1 {
			t.Fatal(err)
		}
		g, err := f.load()
		if err != nil || g.RefreshToken != "refresh-0" {
			t.Error(g, err)
		}
		if got, err := c.Stored(f).Token(t.Context()); got != "access-1" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if n := len(p.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	}
}

func TestCodeFails(t *testing.T) {
	t.Parallel()
	whole := map[string]any{"access_token": "access-1", "refresh_token": "refresh-0", "token_type": "Bearer", "expires_in": 3600}
	for name, tt := range map[string]struct {
		answer string // STATE stands for the state
		reply  map[string]any
		needs  string
		kind   error
		want   string
	}{
		"wrong state":    {"/?code=the-code&state=x", whole, "", ErrAuthorize, "another authorization"},
		"no state":       {"/?code=the-code", whole, "", ErrAuthorize, "another authorization"},
		"declined":       {"/?error=access_denied&state=STATE", whole, "", ErrAuthorize, "declined (access_denied)"},
		"forged decline": {"/?error=access_denied&state=x", whole, "", ErrAuthorize, "another authorization"},
		"no consent":     {"/?error=access_denied&error_description=AADSTS65004:+x&state=STATE", whole, "", ErrAuthorize, "AADSTS65004"},
		"strange error":  {"/?error=%1b[2J&state=STATE", whole, "", nil, "no known name"},
		"used code":      {"/?code=other-code&state=STATE", whole, "", ErrAuthorize, "invalid_grant"},
		"no refresh":     {"/?code=the-code&state=STATE", map[string]any{"access_token": "access-1"}, "", ErrSettings, "no refresh token"},
		"a box not ticked": {"/?code=the-code&state=STATE", map[string]any{"access_token": "access-1", "refresh_token": "refresh-0", "scope": "openid"},
			"https://mail.google.com/", ErrAuthorize, "tick its box"},
		"no token": {"/?code=the-code&state=STATE", map[string]any{"refresh_token": "refresh-0"}, "", nil, "not one that the provider should give"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &exchange{reply: tt.reply}
			p := newProvider(t, e.serve)
			c := p.client()
			c.Provider.needs = tt.needs
			f := File{faultfs.New().Root(), "work.token"}
			err := c.AuthorizeCode(t.Context(), f, func(prompt Prompt) error {
				u, _ := url.Parse(prompt.URL)
				e.challenge, e.redirect = u.Query().Get("code_challenge"), u.Query().Get("redirect_uri")
				visit(t, prompt, prompt.Listen, strings.Replace(tt.answer, "STATE", u.Query().Get("state"), 1))
				return nil
			})
			if err == nil {
				t.Fatal("no error")
			}
			mute(t, err)
			if tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if _, err := f.load(); err == nil {
				t.Error("there is a grant")
			}
		})
	}
}

func TestCodeGivesUp(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	ctx, cancel := context.WithCancel(t.Context())
	var port Prompt
	err := p.client().AuthorizeCode(ctx, File{faultfs.New().Root(), "work.token"}, func(prompt Prompt) error {
		port = prompt
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if status, _ := visit(t, port, port.Listen, "/?code=x"); status != 0 {
		t.Errorf("the port is still open: %d", status)
	}
	broken := errors.New("no terminal")
	err = p.client().AuthorizeCode(t.Context(), File{faultfs.New().Root(), "work.token"}, func(Prompt) error { return broken })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

// Nobody is asked to sign in where the grant could not be kept.
func TestNowhereToKeepIt(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	disk := faultfs.New()
	disk.FailWhen(func(faultfs.Op) error { return fs.ErrPermission })
	f := File{disk.Root(), "work.token"}
	show := func(Prompt) error { t.Error("somebody was asked"); return nil }
	for _, err := range []error{p.client().AuthorizeCode(t.Context(), f, show), p.client().AuthorizeDevice(t.Context(), f, show)} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
	}
}

// device is a provider of device flows in a bubble. Its answers are taken in
// turn; the last one stays.
type device struct {
	grant   string
	answers []string
	polls   []time.Duration // since the one before
	last    time.Time
}

func (d *device) RoundTrip(r *http.Request) (*http.Response, error) {
	r.ParseForm()
	if r.URL.Path == "/device" {
		d.last = time.Now()
		return answered(200, d.grant), nil
	}
	d.polls = append(d.polls, time.Since(d.last).Round(time.Second))
	d.last = time.Now()
	if r.PostForm.Get("device_code") != "device-code" || r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" {
		return answered(400, `{"error":"invalid_request"}`), nil
	}
	next := d.answers[0]
	if len(d.answers) > 1 {
		d.answers = d.answers[1:]
	}
	switch {
	case next == "lost":
		return nil, errors.New("lost on its way")
	case strings.Contains(next, "access_token"):
		return answered(200, next), nil
	}
	return answered(400, `{"error":"`+next+`"}`), nil
}

const deviceGrant = `{"device_code":"device-code","user_code":"ABCD-EFGH","verification_uri":"https://id.example.org/code","expires_in":900,"interval":5}`

func TestDevice(t *testing.T) {
	t.Parallel()
	const token = `{"access_token":"access-1","refresh_token":"refresh-0","expires_in":3600}`
	for name, tt := range map[string]struct {
		grant   string
		answers []string
		polls   string
		kind    error
		want    string // of the error
	}{
		"at once":          {deviceGrant, []string{token}, "[5s]", nil, ""},
		"pending":          {deviceGrant, []string{"authorization_pending", "authorization_pending", token}, "[5s 5s 5s]", nil, ""},
		"slow down":        {deviceGrant, []string{"slow_down", "authorization_pending", token}, "[5s 10s 10s]", nil, ""},
		"lost":             {deviceGrant, []string{"lost", "lost", token}, "[5s 10s 20s]", nil, ""},
		"always lost":      {deviceGrant, []string{"lost"}, "[5s 10s 20s 40s 1m0s 1m0s]", nil, "not one that the provider should give"},
		"declined":         {deviceGrant, []string{"authorization_pending", "access_denied"}, "[5s 5s]", ErrAuthorize, "declined"},
		"too late":         {deviceGrant, []string{"expired_token"}, "[5s]", ErrAuthorize, "not entered in time"},
		"other name":       {strings.Replace(deviceGrant, "verification_uri", "verification_url", 1), []string{token}, "[5s]", nil, ""},
		"no interval":      {strings.Replace(deviceGrant, `,"interval":5`, "", 1), []string{token}, "[5s]", nil, ""},
		"endless interval": {strings.Replace(deviceGrant, `"interval":5`, `"interval":9223372036`, 1), []string{token}, "[1m0s]", nil, ""},
		"no address":       {`{"device_code":"device-code","user_code":"A"}`, nil, "[]", nil, "no address came"},
		"hostile address":  {strings.Replace(deviceGrant, "/code", `/\u001b[2J`, 1), nil, "[]", nil, "no address came"},
		"clear address":    {strings.Replace(deviceGrant, "https:", `http:`, 1), nil, "[]", nil, "no address came"},
		"hostile code":     {strings.Replace(deviceGrant, "ABCD", `\r\n`, 1), nil, "[]", nil, "no address came"},
		"html":             {"<html>", nil, "[]", nil, "not one that the provider should give"},
		"null":             {"null", nil, "[]", nil, "not one that the provider should give"},
		"nothing":          {"{}", nil, "[]", nil, "no address came"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &device{grant: tt.grant, answers: tt.answers}
				c := &Client{Account: "work", ID: "client-id", HTTP: d, Provider: Provider{
					DeviceURL: "https://id.example.org/device", TokenURL: "https://id.example.org/token"}}
				f := File{faultfs.New().Root(), "work.token"}
				var shown Prompt
				err := c.AuthorizeDevice(t.Context(), f, func(p Prompt) error { shown = p; return nil })
				if got := fmt.Sprint(d.polls); got != tt.polls {
					t.Errorf("polls after %v, want %v", got, tt.polls)
				}
				if tt.want != "" {
					if err == nil || !strings.Contains(err.Error(), tt.want) || tt.kind != nil && !errors.Is(err, tt.kind) {
						t.Fatalf("%v, want %q", err, tt.want)
					}
					mute(t, err)
					return
				}
				if g, loadErr := f.load(); err != nil || loadErr != nil || g.RefreshToken != "refresh-0" {
					t.Error(err, loadErr)
				}
				if shown.Code != "ABCD-EFGH" || shown.URL != "https://id.example.org/code" || shown.Listen != "" {
					t.Error(shown)
				}
			})
		})
	}
}

// However long the provider says, the flow ends.
func TestDeviceEnds(t *testing.T) {
	t.Parallel()
	for _, grant := range []string{
		strings.Replace(deviceGrant, "900", "9223372036854775807", 1),
		strings.Replace(deviceGrant, `,"expires_in":900`, "", 1),
		deviceGrant,
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &device{grant: grant, answers: []string{"authorization_pending"}}
			c := &Client{Account: "work", ID: "client-id", HTTP: d, Provider: Provider{
				DeviceURL: "https://id.example.org/device", TokenURL: "https://id.example.org/token"}}
			begin := time.Now()
			err := c.AuthorizeDevice(t.Context(), File{faultfs.New().Root(), "work.token"}, func(Prompt) error { return nil })
			if err == nil || time.Since(begin) > patience {
				t.Errorf("after %v: %v", time.Since(begin), err)
			}
		})
	}
}

func TestNoDevice(t *testing.T) {
	t.Parallel()
	c := &Client{ID: "x", Provider: Google()}
	if err := c.AuthorizeDevice(t.Context(), File{}, nil); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), `flow "code"`) {
		t.Error(err)
	}
}

func TestOwn(t *testing.T) {
	t.Parallel()
	p := newProvider(t, func(w http.ResponseWriter, form url.Values) {
		if form.Get("grant_type") != "client_credentials" || form.Get("client_secret") != "client-secret" || form.Get("scope") != "mail/.default" {
			say(w, 401, map[string]any{"error": "invalid_client"})
			return
		}
		say(w, 200, map[string]any{"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600})
	})
	c := p.client()
	if _, err := c.Own().Token(t.Context()); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "client_secret_file") {
		t.Error(err)
	}
	c.Secret = fixed("client-secret")
	source := c.Own()
	for range 2 {
		if got, err := source.Token(t.Context()); got != "access-1" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := len(p.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	c.Secret = fixed("client-secret-of-old")
	_, err := c.Own().Token(t.Context())
	if !errors.Is(err, ErrSettings) {
		t.Error(err)
	}
	mute(t, err)
	c.Provider, _ = Microsoft("")
	if _, err := c.Own().Token(t.Context()); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "needs the tenant") {
		t.Error(err)
	}
}
