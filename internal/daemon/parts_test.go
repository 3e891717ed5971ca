package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

func TestOverride(t *testing.T) {
	t.Parallel()
	policy := func(delay, expire time.Duration) rules {
		return rules{pop3server.Policy{LoginDelay: delay, Expire: expire}, config.Exclusive}
	}
	site := policy(time.Minute, 240*time.Hour)
	for _, c := range []struct {
		fields map[string]string
		want   rules
	}{
		{nil, site},
		{map[string]string{"nologin": "yes"}, site},
		{map[string]string{"login_delay": "300"}, policy(5*time.Minute, site.Expire)},
		{map[string]string{"login_delay": "0", "expire": "never"}, policy(0, 0)},
		{map[string]string{"login_delay": "1h", "expire": "30d"}, policy(time.Hour, 720*time.Hour)},
		{map[string]string{"expire": "after-retrieval"}, policy(time.Minute, pop3server.DeleteRetrieved)},
		{map[string]string{"lock": "snapshot"}, rules{site.Policy, config.Snapshot}},
	} {
		got := site
		if err := got.override(c.fields); err != nil || got != c.want {
			t.Errorf("%v: %+v, %v", c.fields, got, err)
		}
	}
	// Nothing is guessed that might remove mail.
	for _, fields := range []map[string]string{{"expire": "0"}, {"expire": ""}, {"expire": "yes"}, {"expire": "30"}, {"lock": "maybe"}, {"login_delay": "soon"}, {"login_delay": "-1"}} {
		got := site
		if err := got.override(fields); err == nil {
			t.Errorf("%v is taken for %+v", fields, got)
		}
	}
}

type directory map[string]error

func (d directory) Lookup(_ context.Context, name string) (string, error) {
	err, known := d[name]
	if !known {
		return "", fmt.Errorf("%w", sasl.ErrNoUser)
	}
	return name, err
}

func TestResolve(t *testing.T) {
	t.Parallel()
	outage := errors.New("no answer")
	r := &resolver{directory{"alice@example.org": nil, "bob": nil, "carol@example.org": outage, "carol": nil}, "mail.example.org"}
	for address, want := range map[string]string{
		"alice@example.org": "alice@example.org", "alice+x@example.org": "alice@example.org", "bob@mail.example.org": "bob", "bob+x@mail.example.org": "bob",
	} {
		if got, err := r.Resolve(t.Context(), address); got != want || err != nil {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	for address, want := range map[string]error{
		"bob@example.org": maildrop.ErrNoDrop, "nobody@mail.example.org": maildrop.ErrNoDrop, "../x": maildrop.ErrNoDrop, "carol@example.org": outage,
	} {
		if got, err := r.Resolve(t.Context(), address); !errors.Is(err, want) {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
}

func TestMailRoot(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/var/mail/vhosts/%d/%n": "/var/mail/vhosts", "/var/mail/u-%u/Maildir": "/var/mail", "/%u": "/", "/100%%/mail/%u": "/",
	} {
		if root := mailRoot(path); root != want {
			t.Errorf("%s: %q", path, root)
		}
	}
}

type passed struct {
	net.Listener
	addr net.Addr
}

func (p passed) Addr() net.Addr { return p.addr }

// Sockets of the service manager go by address first, then by name.
func TestMatch(t *testing.T) {
	t.Parallel()
	addr := func(s string) (a config.Addr) {
		if err := a.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return a
	}
	all := []config.Listen{
		{Proto: config.POP3, Addr: addr("127.0.0.1:110")},
		{Proto: config.POP3S, Addr: addr(":995")},
		{Proto: config.POP3S, Addr: addr("127.0.0.1:9950")},
		{Proto: config.LMTP, Addr: addr("unix:/run/lmtp.sock")},
	}
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	taken := make([]net.Listener, len(all))
	for _, c := range []struct {
		name string
		addr net.Addr
		want int
	}{
		{"", tcp("127.0.0.1:110"), 0},
		{"pop3", tcp("127.0.0.1:9950"), 2},
		{"x", tcp("[::]:995"), 1},
		{"x", tcp("0.0.0.0:995"), 1},
		{"pop3s", tcp("192.0.2.1:995"), 1},
		{"lmtp", &net.UnixAddr{Name: "/run/other.sock", Net: "unix"}, 3},
		{"", &net.UnixAddr{Name: "/run/lmtp.sock", Net: "unix"}, 3},
		{"smtp", tcp("127.0.0.1:25"), -1},
	} {
		if got := match(listen.Passed{Name: c.name, Listener: passed{addr: c.addr}}, all, taken); got != c.want {
			t.Errorf("%s %v: %d, want %d", c.name, c.addr, got, c.want)
		}
	}
	for i, a := range []string{"0.0.0.0:995", "[::]:995"} { // the manager's socket is for both families
		one := []config.Listen{{Proto: config.POP3S, Addr: addr(a)}}
		if got := match(listen.Passed{Name: "postwain.socket", Listener: passed{addr: tcp("[::]:995")}}, one, make([]net.Listener, 1)); got != 0 {
			t.Errorf("%s: %d", a, got)
		}
		both := []config.Listen{{Addr: addr("0.0.0.0:995")}, {Addr: addr("[::]:995")}}
		if got := match(listen.Passed{Listener: passed{addr: tcp(a)}}, both, make([]net.Listener, 2)); got != i {
			t.Errorf("%s of both: %d", a, got)
		}
	}
	taken[1] = passed{}
	if got := match(listen.Passed{Name: "pop3s", Listener: passed{addr: tcp("[::]:995")}}, all, taken); got != 2 {
		t.Errorf("a taken listener: %d", got)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"/a/b-c.d": "/a/b-c.d", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// A file that is a link to elsewhere is read again there.
func TestPathsOfLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config.Default()
	c.Accounts.PasswdFile = filepath.Join(dir, "users")
	if p := paths(c); slices.Contains(p.Read, c.Accounts.PasswdFile) || !slices.Contains(p.Read, dir) {
		t.Errorf("without a link: %q", p.Read)
	}
	if err := os.Symlink("/elsewhere/users", c.Accounts.PasswdFile); err != nil {
		t.Fatal(err)
	}
	if p := paths(c); !slices.Contains(p.Read, c.Accounts.PasswdFile) {
		t.Errorf("with a link: %q", p.Read)
	}
}
