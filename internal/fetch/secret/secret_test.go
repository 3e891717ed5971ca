package secret

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want, err string }{
		{"sesame", "sesame", ""},
		{"sesame\n", "sesame", ""},
		{"sesame\r\n", "sesame", ""},
		{" se same \n", " se same ", ""},
		{"sésame\n", "sésame", ""},
		{"sesame\nuser: alice\n", "sesame", ""},
		{strings.Repeat("x", 64), strings.Repeat("x", 64), ""},
		{strings.Repeat("x", 64) + "\r\n", strings.Repeat("x", 64), ""},
		{strings.Repeat("x", 65), "", "more than 64 octets"},
		{strings.Repeat("x", 1<<20), "", "more than 64 octets"},
		{"", "", "nothing in it"},
		{"\n", "", "first line is empty"},
		{"\r\n", "", "first line is empty"},
		{"\nsesame\n", "", "first line is empty"},
		{"se\x00same\n", "", "NUL"},
		{"se\rsame\n", "", "carriage return"},
		{"sesame\r\r\n", "", "carriage return"},
	} {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := File(path, 64)(t.Context())
		if got != tt.want || (err == nil) != (tt.err == "") {
			t.Errorf("%.20q: %q, %v", tt.text, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), path) ||
			strings.Contains(err.Error(), "same") || strings.Contains(err.Error(), "xxx")) {
			t.Errorf("%.20q: %v, want path and %q", tt.text, err, tt.err)
		}
	}
}

// A changed file counts at the next sign-in.
func TestFileIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	source := File(path, MaxPassword)
	if _, err := source(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := source(t.Context()); got != want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := File(t.TempDir(), MaxPassword)(t.Context()); err == nil {
		t.Error("a directory gave a password")
	}
}

func TestCheckMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	if err := CheckMode(path); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(path, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, exposed := range map[os.FileMode]bool{0o400: false, 0o600: false, 0o640: false, 0o604: true, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		err := CheckMode(path)
		if errors.Is(err, ErrExposed) != exposed {
			t.Errorf("%o: %v", mode, err)
		}
		if exposed && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%v does not say what to do", err)
		}
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string { return map[string]string{"A": "sesame", "LONG": "sesame sesame"}[name] }
	if got, err := Env("A", getenv, 6)(t.Context()); got != "sesame" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"LONG", "UNSET"} {
		got, err := Env(name, getenv, 6)(t.Context())
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "same") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		argv      []string
		want, err string
	}{
		{[]string{"echo", "open sesame"}, "open sesame", ""},
		{[]string{"echo", "$HOME;`id`"}, "$HOME;`id`", ""}, // no shell
		{[]string{"sh", "-c", "echo sesame; echo user: alice"}, "sesame", ""},
		{[]string{"sh", "-c", "echo careful >&2; echo sesame"}, "sesame", ""},
		{[]string{"sh", "-c", "cat; echo sesame"}, "sesame", ""}, // no input
		{[]string{"sh", "-c", "exit 3"}, "", `"sh": exit status 3`},
		{[]string{"sh", "-c", "echo sesame; exit 3"}, "", "exit status 3"},
		{[]string{"sh", "-c", `printf 'locked\033[2J\n' >&2; exit 1`}, "", `exit status 1; it says "locked\x1b[2J"`},
		{[]string{"true"}, "", "nothing in it"},
		{[]string{"echo", strings.Repeat("x", MaxPassword)}, strings.Repeat("x", MaxPassword), ""},
		{[]string{"echo", strings.Repeat("x", MaxPassword+1)}, "", "more than 1024 octets"},
		{[]string{"/does/not/exist", "sesame"}, "", `"/does/not/exist"`},
		{[]string{"postwain-does-not-exist"}, "", "executable file not found"},
		{[]string{""}, "", "no command"},
		{nil, "", "no command"},
	} {
		got, err := Command(tt.argv, MaxPassword)(t.Context())
		if got != tt.want || (err == nil) != (tt.err == "") {
			t.Errorf("%.60q: %q, %v", tt.argv, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "same")) {
			t.Errorf("%.60q: %v, want %q", tt.argv, err, tt.err)
		}
	}
}

// A command that prints without end is stopped, and so is what it may write to
// its standard error.
func TestCommandFloods(t *testing.T) {
	t.Parallel()
	_, err := Command([]string{"sh", "-c", "exec yes sesame"}, MaxPassword)(t.Context())
	if err == nil || !strings.Contains(err.Error(), "prints more than 65536 octets") {
		t.Errorf("%v", err)
	}
	_, err = Command([]string{"sh", "-c", "yes complaint | head -c 3000000 >&2; exit 1"}, MaxPassword)(t.Context())
	if err == nil || len(err.Error()) > 2*maxComplaint {
		t.Errorf("%v", err)
	}
}

func TestCommandEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Command([]string{"sleep", "600"}, MaxPassword)(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzFirstLine(f *testing.F) {
	for _, seed := range []string{"", "a", "a\n", "a\r\n", "\n", "a\x00b", "a\rb\nc", "a\r\r\n"} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		s, err := firstLine(text, limit)
		if err != nil {
			if s != "" {
				t.Error("both a secret and an error")
			}
			return
		}
		if s == "" || len(s) > limit || strings.ContainsAny(s, "\x00\r\n") || !strings.HasPrefix(string(text), s) {
			t.Errorf("%q", s)
		}
	})
}
