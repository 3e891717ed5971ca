package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pseudoterminal gives both ends of one: what is written to keyboard is typed at
// screen.
func pseudoterminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Error(err)
		return false
	}
	return state.Lflag&unix.ECHO != 0
}

// asked types an answer as soon as the question is shown.
type asked struct {
	bytes.Buffer
	types func()
}

func (a *asked) Write(p []byte) (int, error) {
	if strings.HasSuffix(string(p), "? ") {
		a.types()
	}
	return a.Buffer.Write(p)
}

func TestAsk(t *testing.T) {
	t.Parallel()
	keyboard, screen := pseudoterminal(t)
	questions := 0
	out := &asked{types: func() { questions++; io.WriteString(keyboard, "sesame\n") }}
	ask := (&Terminal{In: screen, Out: out}).Ask("Password? ", MaxPassword)
	for range 2 {
		if got, err := ask(t.Context()); got != "sesame" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if questions != 1 || out.String() != "Password? \n" {
		t.Errorf("asked %d times, shown %q", questions, out.String())
	}
	if !echoes(t, screen) {
		t.Error("the terminal stays mute")
	}
}

func TestAskGivesUp(t *testing.T) {
	t.Parallel()
	_, screen := pseudoterminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &asked{types: func() {
		go func() {
			for echoes(t, screen) {
				runtime.Gosched()
			}
			cancel()
		}()
	}}
	_, err := (&Terminal{In: screen, Out: out}).Ask("Password? ", MaxPassword)(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !echoes(t, screen) {
		t.Error("the terminal stays mute")
	}
}

func TestAskWithoutTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out bytes.Buffer
	_, err = (&Terminal{In: null, Out: &out}).Ask("Password? ", MaxPassword)(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no terminal") || out.Len() > 0 {
		t.Errorf("%v, shown %q", err, out.String())
	}
}
