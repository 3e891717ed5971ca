//go:build unix

package pam

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/auth/command"
	"github.com/postwain/postwain/sasl"
)

// helper writes a script that stands for postwain-pam, which is compiled only
// where its tests are.
func helper(t *testing.T, script string) Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	syscall.ForkLock.RLock() // a child that is begun meanwhile would hold the file: text file busy
	err := os.WriteFile(path, []byte("#!/bin/sh\ncd '"+filepath.Dir(path)+"'\n"+script+"\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Helper: path, Limits: command.Limits{RefusedAfter: -1}}
}

func login(t *testing.T, o Options, l sasl.Login) (string, error) {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p.Authenticate(t.Context(), l)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	o := helper(t, `cat <&3 >in; printf '%s|' "$@" >args; printf bob`)
	for _, tt := range []struct {
		service string
		l       sasl.Login
		want    string
	}{
		{"", sasl.Login{User: "Bob", Password: "se cret", Remote: netip.MustParseAddr("192.0.2.1")}, "postwain\x00bob\x00se cret\x00192.0.2.1\x00"},
		{"pop3", sasl.Login{User: "bob", Password: "x"}, "pop3\x00bob\x00x\x00\x00"},
		{"a.b-c_D9", sasl.Login{User: "bob@example.org", Password: "ä", Remote: netip.MustParseAddr("::ffff:192.0.2.1")}, "a.b-c_D9\x00bob@example.org\x00ä\x00192.0.2.1\x00"},
		{"", sasl.Login{User: strings.Repeat("u", sasl.MaxUser), Password: strings.Repeat("p", sasl.MaxPassword)}, "postwain\x00" + strings.Repeat("u", sasl.MaxUser) + "\x00" + strings.Repeat("p", sasl.MaxPassword) + "\x00\x00"},
	} {
		o.Service = tt.service
		if _, err := login(t, o, tt.l); err != nil {
			t.Fatal(err)
		}
		in, err := os.ReadFile(filepath.Join(filepath.Dir(o.Helper), "in"))
		if err != nil || string(in) != tt.want {
			t.Errorf("the helper reads %q, %v", in, err)
		}
		if args, err := os.ReadFile(filepath.Join(filepath.Dir(o.Helper), "args")); err != nil || string(args) != "|" {
			t.Errorf("arguments %q, %v", args, err)
		}
	}
}

func TestNotAsked(t *testing.T) {
	t.Parallel()
	o := helper(t, "touch ran; printf bob")
	for _, l := range []sasl.Login{
		{User: "bob"}, {Password: "x"}, {User: "bob\x00", Password: "x"}, {User: "bob", Password: "x\x00y"},
		{User: "b ob", Password: "x"}, {User: "bob", Password: strings.Repeat("x", sasl.MaxPassword+1)},
	} {
		if _, err := login(t, o, l); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%.40q %.40q: %v", l.User, l.Password, err)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(o.Helper), "ran")); err == nil {
		t.Error("PAM was asked")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script, account string
		refuses         bool
		says            string
	}{
		{"printf bob", "bob", false, ""},
		{"printf Robert", "robert", false, ""},
		{"printf bob; exit 1", "", true, ""},
		{"", "", false, "name that cannot be one"},
		{"echo bob", "", false, "name that cannot be one"}, // the line end belongs to no name
		{"printf '%0300d' 0", "", false, "name that cannot be one"},
		{"echo no secret >&2; exit 111", "", false, `exit code 111: "no secret"`},
		{"exit 2", "", false, "exit code 2"},
		{"exit 3", "", false, "exit code 3"},
		{"kill -9 $$", "", false, "killed"},
	} {
		account, err := login(t, helper(t, tt.script), sasl.Login{User: "bob", Password: "secret word"})
		if account != tt.account || (err == nil) != (tt.account != "") || errors.Is(err, sasl.ErrRefused) != tt.refuses {
			t.Errorf("%s: %q, %v", tt.script, account, err)
		}
		if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v", tt.script, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{}, {Helper: "/no/such/program"}, {Helper: "/bin/true", Service: "../shadow"}, {Helper: "/bin/true", Service: ".."},
		{Helper: "/bin/true", Service: "a b"}, {Helper: "/bin/true", Service: "a\x00"}, {Helper: "/bin/true", Service: strings.Repeat("a", 65)},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%q, service %q: taken", o.Helper, o.Service)
		}
	}
}
