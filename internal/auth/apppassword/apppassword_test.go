package apppassword

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

var phone = netip.MustParseAddr("192.0.2.7")

func add(t *testing.T, path, account, device string) string {
	t.Helper()
	secret, err := Add(path, account, device)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func open(t *testing.T, path string, o Options) *File {
	t.Helper()
	if o.Report == nil {
		o.Report = func(err error) { t.Error(err) }
	}
	f, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func login(f *File, user, password string) (string, error) {
	return f.Authenticate(context.Background(), sasl.Login{User: user, Password: password, Remote: phone})
}

func expect(t *testing.T, f *File, user, password, want string) {
	t.Helper()
	account, err := login(f, user, password)
	if account != want || (err == nil) != (want != "") || err != nil && err != errRefused {
		t.Errorf("%q, %q: %q, %v", user, password, account, err)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	one := add(t, path, "Bob@Example.org", "Bob's telephone: the old one")
	two := add(t, path, "bob@example.org", "Tablet")
	alice := add(t, path, "alice@example.org", "Tablet")
	if !regexp.MustCompile(`^([a-hjkmnp-z]{5}-){3}[a-hjkmnp-z]{5}$`).MatchString(one) || one == two {
		t.Errorf("passwords %q and %q", one, two)
	}
	f := open(t, path, Options{})
	const bob = "bob@example.org"
	for _, secret := range []string{one, two} {
		plain := strings.ReplaceAll(secret, "-", "")
		for _, typed := range []string{secret, plain, strings.ToUpper(secret), strings.ReplaceAll(secret, "-", " "), " " + secret + " "} {
			expect(t, f, bob, typed, bob)
		}
		expect(t, f, "BOB@example.ORG", secret, bob)
		for _, typed := range []string{"", plain[1:], plain + "a", plain[:19] + "o", plain[:19] + "1", plain + "\x00", secret + strings.Repeat(" ", 100), strings.Repeat("a", 5000)} {
			expect(t, f, bob, typed, "")
		}
		last := alphabet[(strings.IndexByte(alphabet, plain[19])+1)%len(alphabet)]
		expect(t, f, bob, plain[:19]+string(last), "")
		expect(t, f, "alice@example.org", secret, "")
		expect(t, f, "nobody@example.org", secret, "")
		expect(t, f, "", secret, "")
		expect(t, f, "bob\n", secret, "")
	}
	expect(t, f, "alice@example.org", alice, "alice@example.org")

	before, of := f.Version(bob), f.Version("alice@example.org")
	if err := Remove(path, "BOB@example.org", "Tablet"); err != nil {
		t.Fatal(err)
	}
	expect(t, f, bob, two, "")
	expect(t, f, bob, one, bob)
	if f.Version(bob) == before || f.Version("alice@example.org") != of || f.Version("nobody") != 0 || f.Version("\n") != 0 {
		t.Error("versions do not follow the lines of an account")
	}
	add(t, path, "carol", "Tablet")
	expect(t, f, "carol", alice, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Authenticate(ctx, sasl.Login{User: bob, Password: one}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An account with all the passwords that it can have: each counts, and one more
// is not made.
func TestMany(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	var secrets []string
	for i := range maxDevices {
		secrets = append(secrets, add(t, path, "bob", fmt.Sprint("device ", i)))
	}
	if _, err := Add(path, "bob", "one more"); !errors.Is(err, errTooMany) {
		t.Error(err)
	}
	f := open(t, path, Options{})
	for _, s := range secrets {
		expect(t, f, "bob", s, "bob")
	}
}

// There is a hash of zeros where an account has no more passwords.
func TestDecoyProvesNothing(t *testing.T) {
	t.Parallel()
	t0 := &table{accounts: map[string]*account{"bob": {}}}
	if t0.find("bob", hash{}) != nil || t0.find("nobody", hash{}) != nil {
		t.Error("the decoy is somebody's password")
	}
}

// accounts knows some accounts, or has an outage.
type accounts struct {
	known string
	err   error
}

func (a accounts) Lookup(_ context.Context, name string) (string, error) {
	if a.err != nil {
		return "", a.err
	}
	if name != a.known {
		return "", sasl.ErrNoUser
	}
	return name, nil
}

// A password does not outlive its account.
func TestAccountIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	bob, alice := add(t, path, "bob", "Tablet"), add(t, path, "alice", "Tablet")
	f := open(t, path, Options{Accounts: accounts{known: "bob"}})
	expect(t, f, "bob", bob, "bob")
	expect(t, f, "alice", alice, "")
	down := errors.New("down")
	f = open(t, path, Options{Accounts: accounts{err: down}})
	if _, err := login(f, "bob", bob); !errors.Is(err, down) || errors.Is(err, sasl.ErrRefused) {
		t.Error(err)
	}
	expect(t, f, "bob", alice, "") // who does not know the password is not looked up
}

type proves struct{ account string }

func (p proves) Authenticate(context.Context, sasl.Login) (string, error) {
	if p.account == "" {
		return "", sasl.ErrRefused
	}
	return p.account, nil
}

func (p proves) Secret(context.Context, string, string) (string, []byte, error) {
	return p.account, []byte("secret"), nil
}

func TestOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	secret := add(t, path, "bob", "Tablet")
	f := open(t, path, Options{})
	check := func(account string, refused bool) {
		t.Helper()
		if got, err := f.Others(proves{account}).Authenticate(t.Context(), sasl.Login{}); errors.Is(err, sasl.ErrRefused) != refused || !refused && got != account {
			t.Errorf("%s: %q, %v", account, got, err)
		}
		if got, key, err := f.OtherSecrets(proves{account}).Secret(t.Context(), account, "PLAIN"); errors.Is(err, sasl.ErrRefused) != refused || (string(key) == "secret") == refused || !refused && got != account {
			t.Errorf("%s: %q, %q, %v", account, got, key, err)
		}
		expect(t, f, "bob", secret, "bob")
	}
	set := func(account string, only bool) {
		t.Helper()
		if err := SetOnly(path, account, only); err != nil {
			t.Fatal(err)
		}
	}
	check("bob", false)
	before := f.Version("bob")
	for range 2 {
		set("Bob", true)
	}
	set("carol", true)
	check("bob", true)
	check("BOB", true)
	check("carol", true)
	check("alice", false)
	if names, err := Only(path); err != nil || fmt.Sprint(names) != "[bob carol]" {
		t.Errorf("%q, %v", names, err)
	}
	set("bob", false)
	check("bob", false)
	if v := f.Version("bob"); v != before {
		t.Error("another version of the same lines")
	}
	if _, err := f.Others(proves{}).Authenticate(t.Context(), sasl.Login{}); !errors.Is(err, sasl.ErrRefused) {
		t.Error(err)
	}
}

// A file that cannot be used leaves those in force that were there before.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	secret := add(t, path, "bob", "Tablet")
	if err := SetOnly(path, "alice", true); err != nil {
		t.Fatal(err)
	}
	var told []error
	f := open(t, path, Options{Report: func(err error) { told = append(told, err) }})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, damage := range []func() error{
		func() error { return os.WriteFile(path, append(good, "carol"...), 0o600) },
		func() error { return os.WriteFile(path, append(good, "carol:{SHA256}x:y\n"...), 0o600) },
		func() error { return os.Remove(path) },
	} {
		told = nil
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			expect(t, f, "bob", secret, "bob")
			if !f.refuses("alice") {
				t.Error("the mark is forgotten")
			}
		}
		if len(told) != 1 {
			t.Errorf("damage %d: told %v", i, told)
		}
	}
	if _, err := Open(path, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	f = open(t, path, Options{MayBeMissing: true})
	expect(t, f, "bob", secret, "")
	secret = add(t, path, "bob", "Tablet")
	expect(t, f, "bob", secret, "bob")
}
