package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/sasl"
)

const (
	// linger is how long the pipes of a program are read that has ended or was
	// killed: a child of it may have them still. One that cannot be killed,
	// since it is somebody else by now, is not waited for any longer.
	linger = time.Second
	// maxRequest fits into any pipe, so that writing it never waits.
	maxRequest = 4 << 10
	// maxOutput bounds the answer on standard output.
	maxOutput = 4 << 10
)

// inherited is what of the environment a program gets.
var inherited = []string{"PATH", "LANG", "LC_ALL", "TZ"}

// Limits bound the runs of a program. The zero value of each is its default.
type Limits struct {
	// Timeout is how long a run may take; then the program is killed with its
	// process group (on systems without, it alone). Zero: 15 s.
	Timeout time.Duration
	// Parallel is how many runs there may be at once. Zero: 16.
	Parallel int
	// Queue is how many more may wait for that, each for Timeout; who comes
	// then gets sasl.ErrBusy. Zero: 64 for each that may run.
	Queue int
	// RefusedAfter is how long it takes at least to be refused. A program may
	// find out that there is no such user sooner than that a password is wrong,
	// and this keeps it from those who ask. Others run meanwhile; but sources
	// behind this one in a chain are asked that much later. Zero: 2 s.
	// Negative: as long as the program takes.
	RefusedAfter time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Timeout <= 0 {
		l.Timeout = 15 * time.Second
	}
	if l.Parallel <= 0 {
		l.Parallel = 16
	}
	if l.Queue <= 0 {
		l.Queue = 64 * l.Parallel
	}
	if l.RefusedAfter == 0 {
		l.RefusedAfter = 2 * time.Second
	}
	return l
}

// Program says what a Runner runs.
type Program struct {
	Argv    []string // the program and its arguments
	Env     []string // beside PATH, LANG, LC_ALL and TZ of this process
	Dir     string   // where it runs; empty: where this process does
	Refused []int    // exit codes that say that the credentials are wrong
	Output  bool     // standard output is wanted
}

// Question is one login put to a program.
type Question struct {
	// Input is what it reads on descriptor 3, at most 4096 octets. It is
	// wiped.
	Input []byte
	// Env is added to the program's.
	Env []string
	// Secret is the password in it. A complaint in which the program repeats
	// it is not shown.
	Secret string
}

// ExitError is an exit code that says neither yes nor no.
type ExitError struct {
	Code int
	Said string // on standard error, quoted, behind ": "; may be empty
}

// Error implements error.
func (e ExitError) Error() string { return fmt.Sprintf("exit code %d%s", e.Code, e.Said) }

// Runner runs a program for each login, so many at once. The program has no
// standard input, descriptor 3 for its request, and no other descriptor that
// this process has opened.
type Runner struct {
	program Program
	limits  Limits
	slots   chan struct{}
	queue   chan struct{} // of those who wait for a slot
}

// NewRunner looks the program up. It fails if there is none that can be run.
func NewRunner(p Program, l Limits) (*Runner, error) {
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		return nil, errors.New("no program to run")
	}
	for _, s := range slices.Concat(p.Argv, p.Env, []string{p.Dir}) {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("%q has a NUL", s)
		}
	}
	path, err := exec.LookPath(p.Argv[0])
	if err != nil {
		return nil, err
	}
	p.Argv = append([]string{path}, p.Argv[1:]...)
	var env []string
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	p.Env = append(env, p.Env...)
	l = l.withDefaults()
	return &Runner{program: p, limits: l, slots: make(chan struct{}, l.Parallel), queue: make(chan struct{}, l.Queue)}, nil
}

// Run runs the program once. It returns what it has written to standard
// output, if that is wanted, when the program ended with 0. The error wraps
// sasl.ErrRefused or sasl.ErrBusy, is an ExitError, or is another outage.
func (r *Runner) Run(ctx context.Context, q Question) (output []byte, err error) {
	defer clear(q.Input)
	if len(q.Input) > maxRequest {
		return nil, errors.New("the request is too long")
	}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	output, err = r.run(ctx, q)
	if errors.Is(err, sasl.ErrRefused) {
		err = r.refused(ctx, began)
	}
	return output, err
}

// enter waits for a slot.
func (r *Runner) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case r.queue <- struct{}{}:
		defer func() { <-r.queue }()
	default:
		return sasl.ErrBusy
	}
	t := time.NewTimer(r.limits.Timeout)
	defer t.Stop()
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-t.C:
		return sasl.ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refused waits until it may be said. The slot is somebody else's by then.
func (r *Runner) refused(ctx context.Context, began time.Time) error {
	t := time.NewTimer(time.Until(began.Add(r.limits.RefusedAfter)))
	defer t.Stop()
	select {
	case <-t.C:
		return sasl.ErrRefused
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run has a slot, which is given back when the program is gone.
func (r *Runner) run(ctx context.Context, q Question) (output []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Timeout)
	defer cancel()
	p, err := r.start(ctx, q)
	if err != nil {
		<-r.slots
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		err := p.cmd.Wait()
		<-r.slots
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		t := time.NewTimer(2 * linger)
		defer t.Stop()
		select {
		case err = <-ended:
		case <-t.C:
			return nil, fmt.Errorf("not done within %v, and it cannot be killed", r.limits.Timeout)
		}
	}
	return r.judge(ctx, p, err)
}

// judge says what the end of the program means.
func (r *Runner) judge(ctx context.Context, p *process, err error) (output []byte, _ error) {
	code := p.cmd.ProcessState.ExitCode()
	switch {
	case code < 0 && ctx.Err() == context.DeadlineExceeded:
		return nil, fmt.Errorf("not done within %v%s", r.limits.Timeout, &p.said)
	case code < 0 && ctx.Err() != nil:
		return nil, ctx.Err()
	case code < 0:
		return nil, fmt.Errorf("%w%s", err, &p.said)
	case code == 0 && p.output.more:
		return nil, fmt.Errorf("its answer is longer than %d octets", maxOutput)
	case code == 0:
		return p.output.text, nil
	case slices.Contains(r.program.Refused, code):
		return nil, sasl.ErrRefused
	}
	return nil, ExitError{code, p.said.String()}
}
