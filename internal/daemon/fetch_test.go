package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// fetchSection is a [[fetch]] that needs nothing from outside.
func fetchSection(t *testing.T, source, to string) config.Fetch {
	t.Helper()
	f := config.NewFetch()
	if err := errors.Join(f.Source.UnmarshalText([]byte(source)), f.To.UnmarshalText([]byte(to))); err != nil {
		t.Fatal(err)
	}
	return f
}

func fetchOptions(t *testing.T, sections ...config.Fetch) FetchOptions {
	t.Helper()
	dir := t.TempDir()
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	return FetchOptions{
		Mailboxes: sections, File: filepath.Join(dir, "postwain.toml"), State: filepath.Join(dir, "state"),
		Stderr: io.Discard, Stdin: stdin, Terminal: io.Discard, Once: true,
		Getenv: func(key string) string { return map[string]string{"HOME": dir, "SECRET": "hunter2"}[key] },
	}
}

// Everything that stands in the way is told at once, for each mailbox.
func TestOpenFetchTellsAll(t *testing.T) {
	t.Parallel()
	absent := fetchSection(t, "pops://alice@example.org", "maildir:absent/box")
	absent.CA = "absent.pem"
	bob := fetchSection(t, "pops://bob@example.org", "exec:/no/such/program x")
	bob.Name = "bob"
	home := fetchSection(t, "pops://carol@example.org", "maildir:~/box")
	home.PasswordEnv = "SECRET"
	o := fetchOptions(t, absent, bob, home)
	f, err := OpenFetch(t.Context(), o)
	if err == nil {
		t.Fatal(f.Close())
	}
	for _, want := range []string{
		"alice@example.org: certificates: open ", "absent is not there; make the directory, or mount its disk",
		"there is no password, and nobody to ask for it; write password_file or password_command",
		"bob: there is no password",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "carol") {
		t.Errorf("there is nothing wrong with carol:\n%v", err)
	}
}

// Mailboxes that go to one Maildir share it, and a dry run opens none.
func TestFetchSharesDestinations(t *testing.T) {
	t.Parallel()
	var all []config.Fetch
	for _, name := range []string{"a", "b", "c"} {
		s := fetchSection(t, "pops://"+name+"@example.org", "maildir:box")
		s.PasswordEnv = "SECRET"
		all = append(all, s)
	}
	all[2].To.Path = "other"
	f, err := OpenFetch(t.Context(), fetchOptions(t, all...))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.maildirs) != 2 || f.boxes[0].Sink == f.boxes[1].Sink {
		t.Errorf("%d Maildirs are open", len(f.maildirs))
	}
	for i, want := range []string{"a@example.org", "b@example.org", "c@example.org"} {
		if f.boxes[i].Mailbox != want {
			t.Errorf("mailbox %q", f.boxes[i].Mailbox)
		}
	}
	o := fetchOptions(t, all...)
	o.DryRun = true
	dry, err := OpenFetch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer dry.Close()
	if _, ok := dry.boxes[0].Sink.(nowhere); !ok {
		t.Errorf("a dry run has opened %T", dry.boxes[0].Sink)
	}
}

// The state is where the option, or the environment, says.
func TestFetchState(t *testing.T) {
	t.Parallel()
	env := map[string]string{"STATE_DIRECTORY": "/run/x"}
	if dir, err := fetchState(func(key string) string { return env[key] }); dir != "/run/x/fetch" || err != nil {
		t.Errorf("%q, %v", dir, err)
	}
	if os.Geteuid() == 0 {
		return
	}
	if dir, err := fetchState(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("%q, %v", dir, err)
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for _, text := range []string{"helpdesk", "bob@example.org", "Bob@example.org", ".hidden", "..", "a/b", "a\x00b", "ü", strings.Repeat("x", 300)} {
		name := fileName(text)
		if other, twice := seen[strings.ToLower(name)]; twice {
			t.Errorf("%q and %q are both %q", text, other, name)
		}
		seen[strings.ToLower(name)] = text
		if name != filepath.Base(name) || name[0] == '.' || len(name) > 100 {
			t.Errorf("%q becomes %q", text, name)
		}
	}
}

// A password goes in clear only where that was asked for, and CRAM-MD5, which
// can be guessed against, inside TLS only.
func TestDestinationAuth(t *testing.T) {
	t.Parallel()
	secret := func(context.Context) (string, error) { return "hunter2", nil }
	for _, c := range []struct {
		offered    string
		tls, clear bool
		want       string
	}{
		{"PLAIN LOGIN SCRAM-SHA-1 scram-sha-256", true, false, "SCRAM-SHA-256"},
		{"PLAIN LOGIN SCRAM-SHA-1", false, false, "SCRAM-SHA-1"},
		{"LOGIN PLAIN CRAM-MD5", true, false, "PLAIN"},
		{"LOGIN PLAIN CRAM-MD5", false, false, ""},
		{"LOGIN", false, true, "LOGIN"},
		{"CRAM-MD5", true, false, "CRAM-MD5"},
		{"CRAM-MD5", false, true, ""},
		{"", true, true, ""},
	} {
		var channel *tls.ConnectionState
		if c.tls {
			channel = new(tls.ConnectionState)
		}
		m, err := destinationAuth("bob", secret, c.clear)(strings.Fields(c.offered), channel)
		if c.want == "" && err == nil || c.want != "" && (err != nil || m.Name() != c.want) {
			t.Errorf("%+v: %v, %v", c, m, err)
		}
	}
}

// Advice is found behind whatever wraps the error, and none of it is the
// server's.
func TestFetchAdvice(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b[2Jcanary"
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New(hostile), ""},
		{fmt.Errorf("%w: %w", fetch.ErrSignIn, &pop3.Error{Code: pop3.CodeAuth, Text: hostile}), "check the user and the password"},
		{&pop3.Error{Code: pop3.CodeInUse, Text: hostile}, "another session has the mailbox"},
		{&pop3.Error{Code: pop3.CodeLoginDelay}, "fetch less often"},
		{pop3client.ErrNoTLS, "nothing was sent in clear"},
		{pop3client.ErrDataBeforeTLS, "tampered"},
		{x509.UnknownAuthorityError{}, "give it as ca"},
		{x509.HostnameError{}, "by the name that its certificate has"},
		{x509.CertificateInvalidError{}, "renew its certificate"},
		{tls.RecordHeaderError{Msg: hostile}, "there is no TLS at that port"},
		{&net.DNSError{IsNotFound: true}, "spelling"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "nothing listens"},
		{fsx.ErrNoSpace, "make room"},
		{maildrop.ErrFull, "make room"},
		{fetch.ErrLocked, "wait until the other one has ended"},
		{context.Canceled, "told to stop"},
		{context.DeadlineExceeded, "too slow or silent"},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("fetch: a (b): connecting: %w", err)
		}
		got := FetchAdvice(err)
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") || strings.Contains(got, "canary") {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}

// provider is an OAuth 2 provider that gives a grant for any code.
func provider(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "access-canary", "refresh_token": "refresh-canary", "token_type": "Bearer", "expires_in": 3600,
		})
	}))
	t.Cleanup(s.Close)
	return s
}

// What Authorize has got is what the mailbox signs in with, and lies where only
// its owner can read it.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	s := provider(t)
	section := fetchSection(t, "pops://alice@example.org", "maildir:box")
	section.OAuth = config.OAuth{
		ClientID: "client", Flow: config.Code, AuthURL: s.URL + "/auth", TokenURL: s.URL + "/token", Scopes: []string{"pop offline_access"},
	}
	o := fetchOptions(t, section)
	err := Authorize(t.Context(), o, func(p Prompt) error {
		u, err := url.Parse(p.URL)
		if err != nil {
			return err
		}
		q := u.Query()
		if q.Get("scope") != "pop offline_access" || q.Get("client_id") != "client" {
			t.Errorf("asked for %q by %q", q.Get("scope"), q.Get("client_id"))
		}
		resp, err := http.Get(q.Get("redirect_uri") + "/?code=x&state=" + url.QueryEscape(q.Get("state")))
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.State, "token", "alice@example.org")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	f, err := OpenFetch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	resolved, err := f.resolved(&section)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := f.tokens(resolved)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := tokens.Token(t.Context()); text != "access-canary" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// A password that everybody can read is used, and the log says so.
func TestExposedPassword(t *testing.T) {
	t.Parallel()
	section := fetchSection(t, "pops://alice@example.org", "maildir:box")
	section.PasswordFile = "password"
	o := fetchOptions(t, section)
	var log bytes.Buffer
	o.Stderr = &log
	for _, mode := range []fs.FileMode{0o644, 0o600} {
		log.Reset()
		file := filepath.Join(filepath.Dir(o.File), "password")
		if err := errors.Join(os.WriteFile(file, []byte("hunter2\n"), mode), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFetch(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if warned := strings.Contains(log.String(), "chmod 600"); warned != (mode == 0o644) || strings.Contains(log.String(), "hunter2") {
			t.Errorf("mode %o: %s", mode, log.String())
		}
	}
}
