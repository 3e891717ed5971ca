//go:build unix

package exec

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
)

// shell gives options that run a script, with a directory of its own.
func shell(t *testing.T, script string) Options {
	t.Helper()
	return Options{Argv: []string{"/bin/sh", "-c", script}, Dir: t.TempDir()}
}

func put(t *testing.T, o Options, text string) error {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Put(t.Context(), sink.Message{Key: "k"}, strings.NewReader(text))
}

// What an exit code means.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script  string
		change  func(*Options)
		stored  bool
		refused bool
		unknown bool
	}{
		{"cat >/dev/null", nil, true, false, false},
		{"exit 0", nil, true, false, false},
		{"exit 65", nil, false, true, false},
		{"exit 67", nil, false, true, false},
		{"exit 1", nil, false, false, false},
		{"exit 75", nil, false, false, false},
		{"exit 127", nil, false, false, false},
		{"kill -9 $$", nil, false, false, true},
		{"exit 99", func(o *Options) { o.Stored = []int{0, 99} }, true, false, false},
		{"exit 65", func(o *Options) { o.Refused = []int{100} }, false, false, false},
		{"exit 100", func(o *Options) { o.Refused = []int{100} }, false, true, false},
	} {
		t.Run(tt.script, func(t *testing.T) {
			t.Parallel()
			o := shell(t, tt.script)
			if tt.change != nil {
				tt.change(&o)
			}
			err := put(t, o, strings.Repeat("x\r\n", 100_000)) // more than a pipe holds
			if (err == nil) != tt.stored || errors.Is(err, sink.ErrRefused) != tt.refused || errors.Is(err, sink.ErrUnknownOutcome) != tt.unknown {
				t.Error(err)
			}
		})
	}
}

// Every text over {a . CR LF} of up to 3 octets, and some longer ones, gets to
// the program as it is, or with LF line ends from which it can be told.
func TestBytes(t *testing.T) {
	t.Parallel()
	for _, crlf := range []bool{false, true} {
		o := shell(t, "cat >out")
		o.CRLF = crlf
		try := func(w []byte) {
			if err := put(t, o, string(w)); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(o.Dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			if crlf && !bytes.Equal(got, w) || !bytes.Equal(wire(got), wire(w)) {
				t.Fatalf("CRLF %t: %q becomes %q", crlf, w, got)
			}
		}
		words(3, try)
		try([]byte(strings.Repeat("a line\r\n.\r\n", 20_000)))
		try([]byte(strings.Repeat("\r\r\n\r", 20_000)))
	}
}

// A message that breaks off, or of which the caller despairs, starts no program.
func TestBreaksOff(t *testing.T) {
	t.Parallel()
	o := shell(t, "touch ran")
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := s.Put(t.Context(), sink.Message{}, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, sink.Message{}, strings.NewReader("x")); !errors.Is(err, context.Canceled) || errors.Is(err, sink.ErrUnknownOutcome) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "ran")); err == nil {
		t.Error("the program was run")
	}
}

// What the program reads does not end early if this process dies: it is a file,
// and the whole message.
func TestMessageIsFile(t *testing.T) {
	t.Parallel()
	o := shell(t, "test -f /dev/stdin && cat >out")
	o.Spool = t.TempDir()
	text := strings.Repeat("a line\n", 100_000)
	if err := put(t, o, text); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(o.Dir, "out")); err != nil || string(got) != text {
		t.Errorf("%d octets of %d, %v", len(got), len(text), err)
	}
}

// fifo makes a pipe with a name, whose reader learns when the last process that
// writes to it is gone.
func fifo(t *testing.T, dir string) (wait func() error) {
	t.Helper()
	path := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for the other end
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return func() error {
		f.Close()
		r.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := io.Copy(io.Discard, r)
		return err
	}
}

// At the end of its time the program dies, and what it has started with it.
func TestTimeout(t *testing.T) {
	t.Parallel()
	o := shell(t, "sleep 300 >fifo & exec sleep 300 >fifo")
	o.Timeout = 300 * time.Millisecond
	gone := fifo(t, o.Dir)
	if err := put(t, o, strings.Repeat("x\r\n", 100_000)); !errors.Is(err, sink.ErrUnknownOutcome) {
		t.Error(err)
	}
	if err := gone(); err != nil {
		t.Errorf("somebody lives on: %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	o := shell(t, "echo >fifo; exec sleep 300 >fifo")
	gone := fifo(t, o.Dir)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Put(ctx, sink.Message{}, strings.NewReader("x")) }()
	f, err := os.Open(filepath.Join(o.Dir, "fifo"))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(f, make([]byte, 1)) // it runs
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !errors.Is(err, sink.ErrUnknownOutcome) {
		t.Error(err)
	}
	f.Close()
	if err := gone(); err != nil {
		t.Errorf("it lives on: %v", err)
	}
}

// What a program leaves running does not hold up the next message for long.
func TestChildLivesOn(t *testing.T) {
	t.Parallel()
	o := shell(t, "cat >/dev/null; sleep 5 &")
	if err := put(t, o, "x\r\n"); err != nil {
		t.Error(err)
	}
}

// What the program says is shown, but not all of it, and not as it is.
func TestComplaint(t *testing.T) {
	t.Parallel()
	o := shell(t, `printf 'no: \033[2J\377' >&2; exit 1`)
	if err := put(t, o, "x"); err == nil || !strings.Contains(err.Error(), `exit code 1: "no: \x1b[2J\xff"`) {
		t.Error(err)
	}
	o = shell(t, `i=0; while [ $i -lt 20000 ]; do echo "a line of text" >&2; i=$((i+1)); done; exit 1`)
	if err := put(t, o, "x"); err == nil || len(err.Error()) > 2*maxComplaint {
		t.Errorf("an error of %d octets", len(err.Error()))
	}
}

// The program gets no more of the environment than was said, and arguments as
// they are.
func TestEnvironment(t *testing.T) {
	t.Setenv("POSTWAIN_PASSWORD", "secret")
	t.Setenv("LANG", "C")
	o := shell(t, `env >env; printf '%s|' "$@" >args`)
	o.Argv = append(o.Argv, "sh", "$HOME `id`", "a b", "")
	o.Env = []string{"EXTRA=1"}
	if err := put(t, o, "x"); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(filepath.Join(o.Dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := append(slices.Clone(inherited), "EXTRA", "PWD", "OLDPWD", "SHLVL", "_")
	for _, line := range strings.Split(strings.TrimSpace(string(env)), "\n") {
		if name, _, _ := strings.Cut(line, "="); !slices.Contains(allowed, name) {
			t.Errorf("the program gets %s", line)
		}
	}
	if !strings.Contains(string(env), "EXTRA=1\n") || !strings.Contains(string(env), "LANG=C\n") {
		t.Errorf("the program gets %s", env)
	}
	if args, err := os.ReadFile(filepath.Join(o.Dir, "args")); err != nil || string(args) != "$HOME `id`|a b||" {
		t.Errorf("arguments %q, %v", args, err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{}, {Argv: []string{""}}, {Argv: []string{"no such program of this name"}}, {Argv: []string{"/bin/sh", "a\x00b"}},
		{Argv: []string{"/bin/sh"}, Env: []string{"A=\x00"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%q is taken", o.Argv)
		}
	}
	s, err := New(Options{Argv: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Parallel() != 1 || s.Exact() {
		t.Errorf("Parallel() = %d, Exact() = %t", s.Parallel(), s.Exact())
	}
	if err := put(t, Options{Argv: []string{"/no/such/program"}}, "x"); err == nil || errors.Is(err, sink.ErrRefused) || errors.Is(err, sink.ErrUnknownOutcome) {
		t.Error(err)
	}
}
