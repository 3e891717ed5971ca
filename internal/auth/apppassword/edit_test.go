package apppassword

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/fsx"
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
	path := filepath.Join(t.TempDir(), "app")
	if _, err := List(path, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, device := range []string{"", " x", "a\nb", strings.Repeat("x", 65), "\x1b[2J", "\xff"} {
		if _, err := Add(path, "bob", device); err == nil {
			t.Errorf("%q is taken", device)
		}
	}
	for _, name := range []string{"", "a:b", "#a", "a b", "a\n", strings.Repeat("x", 256)} {
		if _, err := Add(path, name, "Tablet"); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("what cannot be added makes a file")
	}
	secret := add(t, path, "Bob", "Tablet")
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("a new file has the mode %v, %v", info.Mode(), err)
	}
	if got := text(t, path); strings.Contains(got, secret) || strings.Contains(got, strings.ReplaceAll(secret, "-", "")) || !strings.HasPrefix(got, "bob:{SHA256}") {
		t.Errorf("the file has %q", got)
	}
	if _, err := Add(path, "BOB", "Tablet"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	for _, err := range []error{Remove(path, "bob", "tablet"), Remove(path, "alice", "Tablet"), RemoveAll(path, "alice")} {
		if !errors.Is(err, ErrNone) {
			t.Error(err)
		}
	}
	add(t, path, "alice", "Ä 1")
	add(t, path, "bob", "Telephone")
	if err := os.WriteFile(path, []byte("# ours\n"+text(t, path)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := SetOnly(path, "bob", true); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("an edit leaves the mode %v, %v", info.Mode(), err)
	}
	list := func(account, want string) {
		t.Helper()
		all, err := List(path, account)
		var got []string
		for _, p := range all {
			got = append(got, p.Account+"/"+p.Device)
			if age := time.Since(p.Made); age < -time.Second || age > time.Minute || !p.Used.IsZero() || p.From.IsValid() {
				t.Errorf("%+v", p)
			}
		}
		if fmt.Sprint(got) != want || err != nil {
			t.Errorf("%q: %q, %v", account, got, err)
		}
	}
	list("", "[bob/Tablet alice/Ä 1 bob/Telephone]")
	list("BOB", "[bob/Tablet bob/Telephone]")
	list("carol", "[]")
	if err := RemoveAll(path, "bob"); err != nil {
		t.Fatal(err)
	}
	list("", "[alice/Ä 1]")
	if err := Remove(path, "alice", "Ä 1"); err != nil || text(t, path) != "# ours\n" {
		t.Errorf("%v; left: %q", err, text(t, path))
	}
	if left, err := filepath.Glob(path + "?*"); len(left) > 0 || err != nil {
		t.Errorf("left behind: %q", left)
	}
}

// Edits at the same time all count.
func TestEditTogether(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := Add(path, "bob", fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if list, err := List(path, ""); len(list) != 8 || err != nil {
		t.Errorf("%d, %v", len(list), err)
	}
}

// A file that cannot be read is not edited.
func TestEditBroken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte(good+"\nbroken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Add(path, "bob", "x"); err == nil || !strings.Contains(err.Error(), "app:2:") || text(t, path) != good+"\nbroken\n" {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Mkdir(link, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Add(link, "bob", "x"); !errors.Is(err, fsx.ErrNotRegular) {
		t.Error(err)
	}
}
