package passwdfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/auth/linefile"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/sasl"
)

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEdit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	if err := Add(path, "Alice@Example.org", "a secret"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new file has the mode %v, %v", info.Mode(), err)
	}
	f, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(user, password, want string) {
		t.Helper()
		f.look()
		if account, err := ask(f, user, password); account != want || (err == nil) != (want != "") {
			t.Errorf("%s, %s: got %q, %v", user, password, account, err)
		}
	}
	expect("alice@example.org", "a secret", "alice@example.org")
	if err := Add(path, "ALICE@example.org", "x"); !errors.Is(err, ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	if err := SetPassword(path, "ALICE@example.org", "pa\u0308ss"); err != nil {
		t.Error(err)
	}
	expect("alice@example.org", "a secret", "")
	expect("alice@example.org", "päss", "alice@example.org")
	for _, err := range []error{SetPassword(path, "bob", "x"), Remove(path, "bob")} {
		if !errors.Is(err, sasl.ErrNoUser) {
			t.Errorf("nobody: %v", err)
		}
	}
	if err := Add(path, "bob", "b secret"); err != nil {
		t.Error(err)
	}
	if names, err := List(path); !slices.Equal(names, []string{"alice@example.org", "bob"}) || err != nil {
		t.Errorf("List: %q, %v", names, err)
	}
	if err := Remove(path, "alice@example.org"); err != nil {
		t.Error(err)
	}
	expect("alice@example.org", "päss", "")
	expect("bob", "b secret", "bob")
	if err := Remove(path, "bob"); err != nil || text(t, path) != "" {
		t.Errorf("the last one leaves %q, %v", text(t, path), err)
	}
	if left, err := filepath.Glob(path + "?*"); len(left) > 0 || err != nil {
		t.Errorf("left behind: %q", left)
	}
}

// What is not edited stays as it is, octet by octet.
func TestEditKeeps(t *testing.T) {
	t.Parallel()
	const before = "# first\n\nZoe:{PLAIN}z:1:2:gecos:/home/zoe:/bin/sh:a=b c=d:e\n# between\nbob:{PLAIN}b\r\ncarol:{PLAIN}c\n\n# last, without an end"
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, before)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(path, "zoe", "new"); err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(text(t, path), "{ARGON2ID}")
	_, rest, _ = strings.Cut(rest, ":")
	if head != "# first\n\nZoe:" || rest != before[len("# first\n\nZoe:{PLAIN}z:"):]+"\n" {
		t.Errorf("SetPassword has made:\n%s", text(t, path))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v, %v; want it kept, but for others", info.Mode(), err)
	}
	write(t, path, before)
	if err := Remove(path, "bob"); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(before, "bob:{PLAIN}b\r\n", "", 1) + "\n"; text(t, path) != want {
		t.Errorf("Remove has made:\n%s", text(t, path))
	}
	write(t, path, before)
	if err := Add(path, "dave", "new"); err != nil {
		t.Fatal(err)
	}
	if after, ok := strings.CutPrefix(text(t, path), before+"\ndave:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"); !ok || !strings.HasSuffix(after, "\n") {
		t.Errorf("Add has made:\n%s", text(t, path))
	}
}

func TestEditRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	for _, tt := range []struct{ name, password, want string }{
		{"", "x", "name is empty"},
		{"a:b", "x", "a colon"},
		{"a\nb", "x", "a line end"},
		{"a\x00", "x", "a NUL"},
		{"a：b", "x", "a colon"}, // full width, which becomes one
		{"#a", "x", "begins with #"},
		{"a b", "x", "spaces or signs"},
		{"zo\xeb", "x", "spaces or signs"},
		{strings.Repeat("a", 256), "x", "longer than 255"},
		{"alice", "", "password is empty"},
		{"alice", "Canary\n", "a line end"},
		{"alice", "Canary\x00", "a NUL"},
		{"alice", strings.Repeat("Canary", 200), "longer than 1024"},
	} {
		err := Add(path, tt.name, tt.password)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Canary") {
			t.Errorf("Add(%q): %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused Add makes a file: %v", err)
	}
	if err := SetPassword(filepath.Join(path, "x", "y"), "alice", "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}

	const broken = "alice:{PLAIN}x\nAlice:{PLAIN}y\n"
	write(t, path, broken)
	for _, err := range []error{Add(path, "bob", "x"), SetPassword(path, "alice", "x"), Remove(path, "alice")} {
		if err == nil || !strings.Contains(err.Error(), "users:2") {
			t.Errorf("a broken file is edited: %v", err)
		}
	}
	if text(t, path) != broken {
		t.Error("a broken file was changed")
	}
}

// Edits at the same time all happen.
func TestEditParallel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	var want []string
	var wg sync.WaitGroup
	for i := range 12 {
		name := fmt.Sprintf("user%02d", i)
		want = append(want, name)
		wg.Go(func() {
			if err := Add(path, name, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	names, err := List(path)
	slices.Sort(names)
	if !slices.Equal(names, want) || err != nil {
		t.Errorf("of 12 edits %d are left: %q, %v", len(names), names, err)
	}
}

// Who waits too long for another edit is told.
func TestEditBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "alice:{PLAIN}x\n")
	d, err := fsx.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	other, err := d.OpenUpdate("users", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if locked, err := other.TryLock(); !locked || err != nil {
		t.Fatal(locked, err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Remove(path, "alice"); !errors.Is(err, ErrBusy) || time.Since(began) != linefile.LockWait {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
	if text(t, path) != "alice:{PLAIN}x\n" {
		t.Error("the file was changed")
	}
}
