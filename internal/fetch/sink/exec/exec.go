// Package exec hands fetched mail to a program, one run for each message.
//
// The program is run without a shell, with fixed arguments. It gets the message
// on its standard input, once the whole of it is here, and says by its exit
// code what has become of it.
package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fetch/sink/spool"
)

const (
	defaultTimeout = 5 * time.Minute
	// linger is how long the pipes of a program are read that has ended: a
	// child of it may have them still.
	linger = time.Second
	// maxComplaint bounds what is kept of the standard error.
	maxComplaint = 1 << 10
)

// Exit codes of sysexits.h that are about the message or its recipient.
const (
	exitDataErr = 65
	exitNoUser  = 67
)

// inherited is what of the environment a program gets.
var inherited = []string{
	"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER",
	"SystemRoot", "TEMP", "USERPROFILE",
}

// Options says which program is run. Argv must be set.
type Options struct {
	// Argv is the program and its arguments. Without a separator in it the
	// program is looked up in PATH, once.
	Argv []string
	// Env, entries NAME=value, is added to HOME, LANG, LC_ALL, LC_CTYPE,
	// LOGNAME, PATH, SHELL, TMPDIR, TZ and USER of this process. Nothing else
	// of its environment is handed on.
	Env []string
	// Dir is where it runs. Empty: where this process does.
	Dir string
	// Timeout is how long it may run; then it and its children are killed
	// (on Windows it alone). Zero: 5 minutes.
	Timeout time.Duration
	// CRLF leaves the line ends as they are received. Otherwise CRLF becomes
	// LF, as delivery agents expect, unless another CR stands before it.
	CRLF bool
	// Stored are the exit codes that mean success. Empty: 0.
	Stored []int
	// Refused are those of sink.ErrRefused. Empty: 65 (EX_DATAERR) and 67
	// (EX_NOUSER). All others, 75 (EX_TEMPFAIL) among them, are an outage.
	Refused []int
	// Spool is the directory of the file that a message waits in until it is
	// whole. Empty: the system's directory for such files.
	Spool string
}

type program struct{ o Options }

// New returns the sink that runs a program.
func New(o Options) (sink.Sink, error) {
	if len(o.Argv) == 0 || o.Argv[0] == "" {
		return nil, errors.New("exec: no program to run")
	}
	for _, s := range slices.Concat(o.Argv, o.Env, []string{o.Dir}) {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("exec: %q has a NUL", s)
		}
	}
	o.Argv = slices.Clone(o.Argv)
	if filepath.Base(o.Argv[0]) == o.Argv[0] {
		path, err := exec.LookPath(o.Argv[0])
		if err != nil {
			return nil, fmt.Errorf("exec: %w", err)
		}
		o.Argv[0] = path
	}
	var env []string
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	o.Env = append(env, o.Env...)
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if len(o.Stored) == 0 {
		o.Stored = []int{0}
	}
	if len(o.Refused) == 0 {
		o.Refused = []int{exitDataErr, exitNoUser}
	}
	return &program{o}, nil
}

// Parallel is 1: after a crash nobody can say whether the message that was
// under way was stored.
func (*program) Parallel() int { return 1 }
func (*program) Exact() bool   { return false }
func (*program) Sync() error   { return nil }
func (*program) Close() error  { return nil }

func (p *program) Put(ctx context.Context, _ sink.Message, r io.Reader) error {
	if !p.o.CRLF {
		r = &unixLines{r: r}
	}
	// A program that got half a message might keep it. A pipe would end where
	// this process dies, which its reader takes for the end of the message.
	message, err := spool.TakeFile(ctx, p.o.Spool, r)
	if err != nil {
		return err
	}
	defer message.Close()
	if err := p.run(ctx, message.File); err != nil {
		return fmt.Errorf("exec: %s: %w", p.o.Argv[0], err)
	}
	return nil
}

// run runs the program and judges its end.
func (p *program) run(ctx context.Context, message *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.o.Argv[0], p.o.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = p.o.Env, p.o.Dir, linger
	isolate(cmd)
	var said complaint
	cmd.Stdin, cmd.Stderr = message, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	return p.judge(ctx, cmd, cmd.Wait(), &said)
}

// judge says what the end of the program means. One that did not come to it
// may have stored the message.
func (p *program) judge(ctx context.Context, cmd *exec.Cmd, err error, said *complaint) error {
	code := -1
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	switch {
	case code < 0 && ctx.Err() == context.DeadlineExceeded:
		return fmt.Errorf("%w: not done within %v%s", sink.ErrUnknownOutcome, p.o.Timeout, said)
	case code < 0 && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", sink.ErrUnknownOutcome, ctx.Err())
	case code < 0:
		return fmt.Errorf("%w: %w%s", sink.ErrUnknownOutcome, err, said)
	case slices.Contains(p.o.Stored, code):
		return nil
	case slices.Contains(p.o.Refused, code):
		return fmt.Errorf("%w: exit code %d%s", sink.ErrRefused, code, said)
	}
	return fmt.Errorf("exit code %d%s", code, said)
}

// complaint keeps the beginning of what a program writes to its standard error.
type complaint struct{ text []byte }

func (c *complaint) Write(p []byte) (int, error) {
	c.text = append(c.text, p[:min(len(p), maxComplaint-len(c.text))]...)
	return len(p), nil
}

// String is what an error shows of it.
func (c *complaint) String() string {
	text := strings.TrimSpace(string(c.text))
	if text == "" {
		return ""
	}
	return fmt.Sprintf(": %q", text)
}
