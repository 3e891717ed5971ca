//go:build unix

package command

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postwain/postwain/sasl"
)

// fifo makes a pipe with a name in the directory of o.
func fifo(t *testing.T, o Options, name string) string {
	t.Helper()
	path := filepath.Join(o.Dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// gone waits until nobody has the pipe open for writing any more.
func gone(t *testing.T, o Options, name string) (wait func()) {
	t.Helper()
	path := fifo(t, o, name)
	own, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for the other end
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return func() {
		own.Close()
		r.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("somebody lives on: %v", err)
		}
	}
}

// At the end of its time the program dies, and what it has started with it.
func TestTimeout(t *testing.T) {
	t.Parallel()
	o := shell(t, "echo slow >&2; sleep 300 >pipe & exec sleep 300 >pipe")
	o.Timeout = 300 * time.Millisecond
	wait := gone(t, o, "pipe")
	_, err := login(t, o, "bob", "x")
	if err == nil || errors.Is(err, sasl.ErrRefused) || !strings.Contains(err.Error(), `not done within 300ms: "slow"`) {
		t.Error(err)
	}
	wait()
}

func TestCancel(t *testing.T) {
	t.Parallel()
	o := shell(t, "echo >ready; exec sleep 300 >pipe")
	wait, ready := gone(t, o, "pipe"), fifo(t, o, "ready")
	c := newCommand(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Authenticate(ctx, sasl.Login{User: "bob", Password: "x"})
		done <- err
	}()
	if _, err := os.ReadFile(ready); err != nil { // it runs
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, sasl.ErrRefused) {
		t.Error(err)
	}
	wait()
}

// What a program leaves running does not hold up the login for long.
func TestChildLivesOn(t *testing.T) {
	t.Parallel()
	if _, err := login(t, shell(t, "sleep 5 & exit 0"), "bob", "x"); err != nil {
		t.Error(err)
	}
}

// What the program says is shown, but not all of it, not as it is, and not if
// it tells the password.
func TestComplaint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ script, want string }{
		{`printf 'no: \033[2J\377' >&2; exit 111`, `exit code 111: "no: \x1b[2J\xff"`},
		{`echo "password fail (pass: 'hunter two')" >&2; exit 111`, "the password in it"},
		{`printf '%01020dhunter two' 0 >&2; exit 111`, "the password in it"},
		{`i=0; while [ $i -lt 20000 ]; do echo "a line of text" >&2; i=$((i+1)); done; exit 111`, "a line of text"},
	} {
		_, err := login(t, shell(t, tt.script), "bob", "hunter two")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunt") || len(err.Error()) > 2*maxComplaint {
			t.Errorf("%s: %.200v", tt.script, err)
		}
	}
}

// Only so many run at once, only so many wait, and one who is refused keeps
// nobody from running while it waits to hear it.
func TestParallel(t *testing.T) {
	t.Parallel()
	o := shell(t, `tr '\000' '\n' <&3 >in; read -r user <in; [ $user = bob ] || { echo >eve; exit 1; }; read -r word <pipe; exec "$@"`)
	o.Limits = Limits{Timeout: time.Minute, Parallel: 1, Queue: 1, RefusedAfter: time.Hour}
	pipe, eve := fifo(t, o, "pipe"), fifo(t, o, "eve")
	c := newCommand(t, o)
	type answer struct {
		user string
		err  error
	}
	answers := make(chan answer, 10)
	try := func(ctx context.Context, user string) {
		go func() {
			_, err := c.Authenticate(ctx, sasl.Login{User: user, Password: "x"})
			answers <- answer{user, err}
		}()
	}
	ctx, cancel := context.WithCancel(t.Context())
	try(ctx, "eve")                             // refused, but does not know it for an hour
	if _, err := os.ReadFile(eve); err != nil { // it is her turn, not later
		t.Fatal(err)
	}
	try(t.Context(), "bob")
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // one of bob's runs has it open
	if err != nil {
		t.Fatal(err)
	}
	try(t.Context(), "bob")
	try(t.Context(), "bob") // one of the two finds the queue full
	if a := <-answers; a.user != "bob" || !errors.Is(a.err, sasl.ErrBusy) {
		t.Errorf("%s: %v", a.user, a.err)
	}
	for range 2 {
		if _, err := io.WriteString(w, "go\n"); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if a := <-answers; a.user != "bob" || a.err != nil {
			t.Errorf("%s: %v", a.user, a.err)
		}
		if len(c.runner.slots) == 1 || len(c.runner.queue) == 1 {
			if w, err = os.OpenFile(pipe, os.O_WRONLY, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	if a := <-answers; a.user != "eve" || !errors.Is(a.err, context.Canceled) {
		t.Errorf("%s: %v", a.user, a.err)
	}
	if len(c.runner.slots)+len(c.runner.queue) != 0 {
		t.Error("slots are not given back")
	}
}

// The unknown take as long to refuse as those with a wrong password.
func TestRefusedAfter(t *testing.T) {
	t.Parallel()
	o := shell(t, "exit 1")
	o.RefusedAfter = 300 * time.Millisecond
	began := time.Now()
	if _, err := login(t, o, "bob", "x"); !errors.Is(err, sasl.ErrRefused) {
		t.Error(err)
	}
	if d := time.Since(began); d < o.RefusedAfter {
		t.Errorf("refused after %v", d)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script, want string
		ok           bool
	}{
		{"cat <&3", "input", true},
		{"printf '%04096d' 0", strings.Repeat("0", 4096), true},
		{"printf '%04097d' 0", "", false},
	} {
		r, err := NewRunner(Program{Argv: []string{"/bin/sh", "-c", tt.script}, Output: true}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		input := []byte("input")
		got, err := r.Run(t.Context(), Question{Input: input})
		if (err == nil) != tt.ok || string(got) != tt.want {
			t.Errorf("%s: %.40q, %v", tt.script, got, err)
		}
		if string(input) != "\x00\x00\x00\x00\x00" {
			t.Error("the request is not wiped")
		}
	}
	r, err := NewRunner(Program{Argv: []string{"/bin/true"}}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), Question{Input: make([]byte, maxRequest+1)}); err == nil {
		t.Error("a request that a pipe may not hold is taken")
	}
}
