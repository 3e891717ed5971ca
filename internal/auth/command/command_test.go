//go:build unix

package command

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/sasl"
)

// shell gives options that run a script, with a directory of its own. What
// comes behind the script are its arguments.
func shell(t *testing.T, script string) Options {
	t.Helper()
	return Options{
		Argv: []string{"/bin/sh", "-c", script, "sh"}, Dir: t.TempDir(),
		Limits: Limits{RefusedAfter: -1, Timeout: time.Minute},
	}
}

func newCommand(t *testing.T, o Options) *Command {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func login(t *testing.T, o Options, user, password string) (string, error) {
	t.Helper()
	return newCommand(t, o).Authenticate(t.Context(), sasl.Login{User: user, Password: password, Remote: netip.MustParseAddr("192.0.2.7")})
}

// check is a checkpassword program for one user, as those for Dovecot are.
const check = `
tr '\000' '\n' <&3 >in; exec 3<&-
{ read -r user; read -r password; read -r stamp; } <in
[ "$user" = bob@example.org ] && [ "$password" = "right \$(id) '" ] && [ -n "$stamp" ] || exit 1
USER=root HOME=/ EXTRA=userdb_uid userdb_uid=0 exec "$@"
`

func TestCheckpassword(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ user, password, account string }{
		{"bob@example.org", "right $(id) '", "bob@example.org"},
		{"Bob@Example.ORG", "right $(id) '", "bob@example.org"},
		{"bob@example.org", "wrong", ""},
		{"alice@example.org", "right $(id) '", ""},
		{"bob@example.org", "", ""},
		{"", "right $(id) '", ""},
		{"bob@example.org\x00", "right $(id) '", ""},
		{"bob@example.org", "right $(id) '\x00", ""},
		{"bob@example.org\nright", "right $(id) '", ""},
		{"bob@example.org", "right $(id) '" + strings.Repeat("x", 500), ""},
	} {
		account, err := login(t, shell(t, check), tt.user, tt.password)
		if account != tt.account || (err == nil) != (tt.account != "") || err != nil && !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%.40q %.40q: %q, %v", tt.user, tt.password, account, err)
		}
	}
}

// What an exit code means. Nobody but who is wrong is refused.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script         string
		refused        []int
		right, refuses bool
		says           string
	}{
		{`exec "$@"`, nil, true, false, ""},
		{"exit 0", nil, true, false, ""}, // does not read what it is asked
		{"exit 1", nil, false, true, ""},
		{"exit 3", nil, false, true, ""},
		{"exit 3", []int{1}, false, false, "exit code 3"},
		{"exit 20", []int{1, 20}, false, true, ""},
		{`echo "no such option" >&2; exit 2`, nil, false, false, `wrongly used; see whether its arguments are right: "no such option"`},
		{"exit 111", nil, false, false, "exit code 111"},
		{"exit 127", nil, false, false, "exit code 127"},
		{"kill -9 $$", nil, false, false, "killed"},
		{"kill -15 $$", nil, false, false, "terminated"},
	} {
		o := shell(t, tt.script)
		o.Refused = tt.refused
		account, err := login(t, o, "bob", "secret")
		if (account == "bob" && err == nil) != tt.right || errors.Is(err, sasl.ErrRefused) != tt.refuses {
			t.Errorf("%s: %q, %v", tt.script, account, err)
		}
		if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v", tt.script, err)
		}
	}
}

// descriptors are those that every program gets here: this process has had them
// from the beginning.
func descriptors(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return nil
	}
	list, err := exec.Command("/bin/ls", "/proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(list))
}

// The program gets the request on descriptor 3, and the password nowhere else.
func TestWhatItGets(t *testing.T) {
	t.Setenv("POSTWAIN_SECRET", "canary")
	t.Setenv("USER", "canary")
	t.Setenv("LANG", "C")
	before := descriptors(t)
	for range 12 {
		f, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	o := shell(t, `cat <&3 >in; env >env; printf '%s|' "$@" >args; [ -d /proc/self/fd ] && ls /proc/self/fd >fds; exit 0`)
	o.Argv = append(o.Argv, "$HOME `id`", "a b", "")
	o.Env = []string{"TCPLOCALPORT=995", "TCPREMOTEIP=198.51.100.1"}
	if _, err := login(t, o, "bob", "päss wörd"); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(o.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	in := read("in")
	rest, ok := strings.CutPrefix(in, "bob\x00päss wörd\x00")
	if !ok || len(rest) != 17 || strings.IndexByte(rest, 0) != 16 {
		t.Errorf("it reads %q", in)
	}
	if args := read("args"); !strings.HasPrefix(args, "$HOME `id`|a b||/") || !strings.HasSuffix(args, "/true|") {
		t.Errorf("arguments %q", args)
	}
	allowed := slices.Concat(inherited, []string{"PROTO", "SERVICE", "TCPLOCALPORT", "TCPREMOTEIP", "PWD", "OLDPWD", "SHLVL", "_"})
	env := strings.Split(strings.TrimSpace(read("env")), "\n")
	for _, line := range env {
		if name, _, _ := strings.Cut(line, "="); !slices.Contains(allowed, name) {
			t.Errorf("it gets %s", line)
		}
	}
	for _, line := range []string{"PROTO=TCP", "SERVICE=pop3", "TCPLOCALPORT=995", "TCPREMOTEIP=192.0.2.7", "LANG=C"} {
		if !slices.Contains(env, line) {
			t.Errorf("no %s in %q", line, env)
		}
	}
	if len(before) > 0 {
		for _, fd := range strings.Fields(read("fds")) {
			// 4 is that with which ls lists them, and 10 is the shell's.
			if !slices.Contains(append(before, "3", "4", "10"), fd) {
				t.Errorf("it gets descriptor %s", fd)
			}
		}
	}
	if _, err := login(t, o, "bob", "päss wörd"); err != nil {
		t.Fatal(err)
	}
	if read("in") == in {
		t.Error("the timestamp is the same again")
	}
}

// A client without an address, and one whose address has a zone or is mapped.
func TestAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from netip.Addr
		want string
	}{
		{netip.Addr{}, "none"},
		{netip.MustParseAddr("::ffff:192.0.2.1"), "192.0.2.1"},
		{netip.MustParseAddr("fe80::1%eth0"), "fe80::1"},
	} {
		o := shell(t, `printf %s "${TCPREMOTEIP-none}" >ip`)
		if _, err := newCommand(t, o).Authenticate(t.Context(), sasl.Login{User: "bob", Password: "x", Remote: tt.from}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(o.Dir, "ip")); err != nil || string(got) != tt.want {
			t.Errorf("%v: %q, %v", tt.from, got, err)
		}
	}
}

// What cannot be asked is refused without a run.
func TestNotAsked(t *testing.T) {
	t.Parallel()
	o := shell(t, "touch ran")
	fits := strings.Repeat("x", maxInput-len("bob")-1-1-17)
	for _, l := range [][2]string{{"bob", fits + "x"}, {"bob", "x\x00y"}, {"bob", ""}, {"", "x"}, {"b\x00b", "x"}, {strings.Repeat("b", 500), "x"}} {
		if _, err := login(t, o, l[0], l[1]); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%.40q: %v", l, err)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "ran")); err == nil {
		t.Error("it was run")
	}
	if _, err := login(t, o, "bob", fits); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{}, {Argv: []string{""}}, {Argv: []string{"no such program of this name"}}, {Argv: []string{"/no/such/program"}},
		{Argv: []string{"/etc/passwd"}}, {Argv: []string{"/bin/sh", "a\x00b"}}, {Argv: []string{"/bin/sh"}, Env: []string{"A=\x00"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%q is taken", o.Argv)
		}
	}
}

// A program that is gone is an outage.
func TestGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newCommand(t, Options{Argv: []string{path}, Limits: Limits{RefusedAfter: -1}})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 20 { // more than may run at once: slots are given back
		if _, err := c.Authenticate(t.Context(), sasl.Login{User: "bob", Password: "x"}); err == nil || errors.Is(err, sasl.ErrRefused) || errors.Is(err, sasl.ErrBusy) {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Authenticate(ctx, sasl.Login{User: "bob", Password: "x"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
