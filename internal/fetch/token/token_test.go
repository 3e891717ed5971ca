package token

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

func TestCommand(t *testing.T) {
	t.Parallel()
	source := Command(secret.Command([]string{"echo", "access-1"}, secret.MaxToken))
	if got, err := source.Token(t.Context()); got != "access-1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"access\x01", "zug\u00e4nge", strings.Repeat("x", secret.MaxToken+1)} {
		got, err := Command(fixed(bad)).Token(t.Context())
		if err == nil || got != "" || strings.Contains(err.Error(), bad[:3]) {
			t.Errorf("%.10q: %q, %v", bad, got, err)
		}
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	c.Secret = fixed("client-secret")
	f := keep(t, faultfs.New().Root(), c, "refresh-0")
	source := c.Stored(f)
	for range 3 {
		if got, err := source.Token(t.Context()); got != "access-1" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	// Another process finds the token in the file.
	if got, err := c.Stored(f).Token(t.Context()); got != "access-1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if len(p.requests()) != 1 {
		t.Fatal(p.requests())
	}
	form := p.requests()[0]
	if form.Get("client_id") != "client-id" || form.Get("client_secret") != "client-secret" || form.Get("basic") != "" {
		t.Error(form)
	}
	// A token that a server refused is not given again, not even out of the file.
	source.Forget("access-0")
	if got, _ := source.Token(t.Context()); got != "access-1" {
		t.Errorf("%q after another token was refused", got)
	}
	source.Forget("access-1")
	if got, err := source.Token(t.Context()); got != "access-2" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if g, err := f.load(); err != nil || g.RefreshToken != "refresh-2" {
		t.Error(g, err)
	}
}

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	c.Provider.BasicAuth, c.Secret = true, fixed("client-secret")
	if _, err := c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0")).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if form := p.requests()[0]; form.Get("basic") != "client-id client-secret" || form.Has("client_secret") {
		t.Error(form)
	}
}

// A hundred who ask at once make one request.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	source := c.Stored(keep(t, faultfs.New().Root(), c, "refresh-0"))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got, err := source.Token(t.Context()); got != "access-1" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := len(p.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Two processes with one file do not use a refresh token twice.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	path := t.TempDir()
	var all sync.WaitGroup
	for i := range 4 {
		dir, err := fsx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if i == 0 {
			keep(t, dir, c, "refresh-0")
		}
		all.Go(func() {
			if got, err := c.Stored(File{dir, "work.token"}).Token(t.Context()); got != "access-1" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := len(p.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A token is renewed a minute before its end, and at any time if the clock
// makes no sense.
func TestRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := &Client{Account: "work", ID: "x", Secret: fixed("s"), Provider: Provider{TokenURL: "https://id.example.org/", AppScopes: []string{"mail"}}}
		c.HTTP = roundTrip(func(*http.Request) (*http.Response, error) {
			n++
			return answered(200, fmt.Sprintf(`{"access_token":"access-%d","token_type":"bearer","expires_in":3600}`, n)), nil
		})
		source := c.Own()
		want := func(token string) {
			t.Helper()
			if got, err := source.Token(t.Context()); got != token || err != nil {
				t.Errorf("%q, %v, want %q", got, err, token)
			}
		}
		want("access-1")
		time.Sleep(59*time.Minute - time.Second)
		want("access-1")
		time.Sleep(time.Second)
		want("access-2")
		own := source.(*cache)
		own.have.until = time.Now().Add(25 * time.Hour) // it was longer when the clock was right
		want("access-3")
	})
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for field, want := range map[string]time.Duration{
			"":                         margin + unsaid,
			`,"expires_in":0`:          margin + unsaid,
			`,"expires_in":"1800"`:     30 * time.Minute,
			`,"expires_in":1800`:       30 * time.Minute,
			`,"expires_in":-5`:         -5 * time.Second,
			`,"expires_in":9999999999`: longest,
		} {
			c := &Client{ID: "x", Secret: fixed("s"), Provider: Provider{TokenURL: "https://id.example.org/", AppScopes: []string{"mail"}}}
			c.HTTP = roundTrip(func(*http.Request) (*http.Response, error) {
				return answered(200, `{"access_token":"a","token_type":"Bearer"`+field+`}`), nil
			})
			a, err := c.own(t.Context())
			if err != nil || time.Until(a.until) != want {
				t.Errorf("%q: %v, %v, want %v", field, time.Until(a.until), err, want)
			}
		}
	})
}

// Who gives up does not end the renewing for the others, nor lose a new
// refresh token.
func TestGivingUpLosesNothing(t *testing.T) {
	t.Parallel()
	asked, go_on := make(chan bool), make(chan bool)
	rotate := rotating()
	p := newProvider(t, func(w http.ResponseWriter, form url.Values) {
		asked <- true
		<-go_on
		rotate(w, form)
	})
	c := p.client()
	f := keep(t, faultfs.New().Root(), c, "refresh-0")
	source := c.Stored(f)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := source.Token(ctx)
		gone <- err
	}()
	<-asked
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(go_on)
	if got, err := source.Token(t.Context()); got != "access-1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if g, err := f.load(); err != nil || g.RefreshToken != "refresh-1" {
		t.Error(g, err)
	}
}

// A full disk costs neither the new refresh token nor a second request.
func TestUnsaved(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	disk := faultfs.New()
	f := keep(t, disk.Root(), c, "refresh-0")
	full := true
	disk.FailWhen(func(op faultfs.Op) error {
		if full && op.Kind == faultfs.Write {
			return fsx.ErrNoSpace
		}
		return nil
	})
	source := c.Stored(f)
	for range 3 {
		if got, err := source.Token(t.Context()); got != "" || !errors.Is(err, fsx.ErrNoSpace) {
			t.Errorf("%q, %v", got, err)
		}
	}
	full = false
	if got, err := source.Token(t.Context()); got != "access-1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if g, err := f.load(); err != nil || g.RefreshToken != "refresh-1" || len(p.requests()) != 1 {
		t.Error(g, err, p.requests())
	}
}

// If the owner authorizes again meanwhile, that grant counts.
func TestUnsavedIsOvertaken(t *testing.T) {
	t.Parallel()
	p := newProvider(t, rotating())
	c := p.client()
	f := keep(t, faultfs.New().Root(), c, "refresh-0")
	s := &stored{client: c, file: f, unsaved: &grant{RefreshToken: "old"}, instead: "older"}
	if a, err := s.renew(t.Context(), ""); a.token != "access-1" || err != nil {
		t.Error(a.token, err)
	}
}

// crash runs two renewals on a disk that crashes. What a caller was given is
// not forgotten, and the file is whole.
func crash(t *testing.T, c faultfs.Config, explore func(run func(*faultfs.FS), check func(*faultfs.FS) error)) {
	given, served := 0, 0
	client := &Client{Account: "work", ID: "client-id", Provider: Provider{TokenURL: "https://id.example.org/token"}}
	client.HTTP = roundTrip(func(r *http.Request) (*http.Response, error) {
		served++
		return answered(200, fmt.Sprintf(`{"access_token":"access-%d","refresh_token":"refresh-%[1]d","expires_in":3600}`, served)), nil
	})
	explore(func(disk *faultfs.FS) {
		given, served = 0, 0
		source := client.Stored(File{disk.Root(), "work.token"})
		for n := 1; n <= 2; n++ {
			token, err := source.Token(t.Context())
			if err != nil {
				return
			}
			given = n
			source.Forget(token)
		}
	}, func(disk *faultfs.FS) error {
		g, err := File{disk.Root(), "work.token"}.load()
		if err != nil {
			return err
		}
		var n int
		fmt.Sscanf(g.RefreshToken, "refresh-%d", &n)
		if n < given || n > served {
			return fmt.Errorf("%s after %d tokens were given", g.RefreshToken, given)
		}
		return nil
	})
}

func crashConfig(t *testing.T, skip faultfs.Kind) faultfs.Config {
	return faultfs.Config{Max: 40, New: func() *faultfs.FS {
		disk := faultfs.New()
		c := &Client{ID: "client-id", Provider: Provider{TokenURL: "https://id.example.org/token"}}
		keep(t, disk.Root(), c, "refresh-0")
		if skip != "" {
			disk.FailWhen(func(op faultfs.Op) error {
				if op.Kind == skip {
					return faultfs.ErrSkip
				}
				return nil
			})
		}
		return disk
	}}
}

func TestCrash(t *testing.T) {
	t.Parallel()
	config := crashConfig(t, "")
	crash(t, config, func(run func(*faultfs.FS), check func(*faultfs.FS) error) {
		faultfs.Explore(t, config, run, check)
	})
	for _, kind := range []faultfs.Kind{faultfs.Sync, faultfs.SyncDir} {
		config := crashConfig(t, kind)
		crash(t, config, func(run func(*faultfs.FS), check func(*faultfs.FS) error) {
			if faultfs.Find(config, run, check) == nil {
				t.Errorf("nothing is noticed without %s", kind)
			}
		})
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	dir, err := fsx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	p := newProvider(t, rotating())
	c := p.client()
	_, err = c.Stored(File{dir, "work.token"}).Token(t.Context())
	if !errors.Is(err, ErrAuthorize) || !strings.Contains(err.Error(), "run: postwain fetch authorize work") {
		t.Errorf("without a file: %v", err)
	}
	f := keep(t, dir, c, "refresh-0")
	name := path + "/work.token"
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o604, 0o640, 0o660, 0o601} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Stored(f).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for _, other := range []func(*Client){
		func(c *Client) { c.ID = "other" },
		func(c *Client) { c.Provider.TokenURL += "2" },
	} {
		c := p.client()
		other(c)
		os.Chmod(name, 0o600)
		if _, err := c.Stored(f).Token(t.Context()); !errors.Is(err, ErrAuthorize) {
			t.Errorf("a grant of another client: %v", err)
		}
	}
	for _, text := range []string{"", "{}", "refresh-0", `{"version":2,"refresh_token":"refresh-0"}`, `{"version":1,"refresh_token":"re\nfresh"}`,
		`{"version":1,"refresh_token":` + strings.Repeat(" ", maxGrant) + `"refresh-0"}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Stored(f).Token(t.Context()); err == nil || strings.Contains(err.Error(), "fresh-") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	if n := len(p.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
