package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Terminal asks for secrets where somebody sits, one question at a time.
type Terminal struct {
	In  *os.File  // where the answers are typed, without being shown
	Out io.Writer // where the questions are shown

	mu sync.Mutex
}

// Ask gives what is typed as the answer to question; limit is as in [File].
// It asks once: what was typed is given again later on. It is an error if In
// is no terminal.
//
// When ctx is done it gives up, and In cannot be read any more.
func (t *Terminal) Ask(question string, limit int) Source {
	var known string
	return func(ctx context.Context) (string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if known != "" {
			return known, nil
		}
		fd := int(t.In.Fd())
		if !term.IsTerminal(fd) {
			return "", errors.New("secret: there is nobody to ask for a password: standard input is no terminal; " +
				"give a file, a command or an environment variable")
		}
		text, err := t.read(ctx, fd, question)
		if err == nil {
			known, err = firstLine(text, limit)
		}
		if err != nil {
			return "", fmt.Errorf("secret: password: %w", err)
		}
		return known, nil
	}
}

func (t *Terminal) read(ctx context.Context, fd int, question string) ([]byte, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprint(t.Out, question); err != nil {
		return nil, err
	}
	defer fmt.Fprintln(t.Out) // the line end that was typed is not shown
	type answer struct {
		text []byte
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		typed <- answer{text, err}
	}()
	select {
	case a := <-typed:
		return a.text, a.err
	case <-ctx.Done():
		term.Restore(fd, state) // or what is typed next would not be shown
		return nil, ctx.Err()
	}
}
