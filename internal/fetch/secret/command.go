package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

const (
	// commandTime is how long a command may take. Somebody may have to type
	// the passphrase of a password store.
	commandTime = 2 * time.Minute
	// killTime is how long what a killed command has started may hold its
	// output open.
	killTime = 2 * time.Second
	// maxOutput bounds what a command may print, of which the first line counts.
	maxOutput = 64 << 10
	// maxComplaint bounds what is shown of its standard error.
	maxComplaint = 512
)

// Command gives the first line that a program prints, without its line end;
// limit is as in [File]. argv is the program, looked up in PATH, and its
// arguments; no shell is run. It is killed when ctx is done and after two
// minutes.
//
// The program has no standard input and stays in the terminal's foreground, so
// that it can ask for a passphrase at /dev/tty. An error shows the beginning
// of what it wrote to its standard error, escaped, and none of its arguments.
func Command(argv []string, limit int) Source {
	return func(ctx context.Context) (string, error) {
		if len(argv) == 0 || argv[0] == "" {
			return "", errors.New("secret: there is no command")
		}
		text, err := output(ctx, argv)
		if err != nil {
			return "", fmt.Errorf("secret: command %q: %w", argv[0], err)
		}
		s, err := firstLine(text, limit)
		if err != nil {
			return "", fmt.Errorf("secret: output of command %q: %w", argv[0], err)
		}
		return s, nil
	}
}

// output runs argv and gives what it prints.
func output(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime, fmt.Errorf("no answer within %v", commandTime))
	defer cancel()
	run, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	out := &beginning{limit: maxOutput, full: func() { kill(fmt.Errorf("it prints more than %d octets", maxOutput)) }}
	complaint := &beginning{limit: maxComplaint, full: func() {}}
	cmd := exec.CommandContext(run, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, complaint, killTime
	err := cmd.Run()
	if cause := context.Cause(run); cause != nil {
		err = cause
	} else if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and something that it left behind lives on
	}
	var pathless *exec.Error // its text has the program's name again
	if errors.As(err, &pathless) {
		err = pathless.Err
	}
	if err != nil && complaint.buf.Len() > 0 {
		text := bytes.TrimSpace(complaint.buf.Bytes())
		err = fmt.Errorf("%w; it says %s", err, strconv.QuoteToASCII(string(text)))
	}
	return out.buf.Bytes(), err
}

// beginning keeps the first limit octets that are written to it, and calls
// full when there are more.
type beginning struct {
	buf   bytes.Buffer
	limit int
	full  func()
}

func (b *beginning) Write(p []byte) (int, error) {
	room := b.limit - b.buf.Len()
	b.buf.Write(p[:min(room, len(p))])
	if len(p) > room {
		b.full()
	}
	return len(p), nil
}
