package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/progress"
)

// killTime is how long the second signal waits for what it has cut off.
const killTime = time.Second

// exit is an error with a code of its own. An empty text is not printed: all
// has been said.
type exit struct {
	code int
	text string
}

func (e exit) Error() string { return e.text }

// runFetch does what job asks for.
func (e Env) runFetch(job fetchJob) error {
	out := e.newFetchOutput(job)
	o := daemon.FetchOptions{
		Mailboxes: job.mailboxes, State: job.state, Observe: out.observe, Stderr: out.log(), Stdin: e.Stdin,
		Terminal: e.Stderr, Getenv: e.Getenv, Once: job.every == 0, DryRun: job.dryRun,
	}
	if job.config != nil {
		o.File, o.Hostname, o.LogJSON = job.config.File, job.config.Hostname, job.config.Log.Format == config.JSON
	}
	first, second := e.untilSignals()
	o.Stop = first.Done()
	f, err := daemon.OpenFetch(first, o)
	if err != nil {
		out.close()
		return escaped(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.doFetch(second, f, job, out) }()
	select {
	case err = <-done:
	case <-second.Done(): // what is still running then ends with the process
		select { // but programs that it has started do not: they are being killed
		case <-done:
		case <-time.After(killTime):
		}
	}
	out.close()
	if second.Err() != nil {
		return exit{exitFailed, "stopped at once by a second signal; the next run goes on from there"}
	}
	if x := (exit{}); errors.As(err, &x) && x == (exit{code: exitFailed}) && first.Err() != nil {
		err = exit{code: exitPartial}
	}
	return errors.Join(err, escaped(f.Close()))
}

// doFetch runs f in one of its ways and tells the outcome.
func (e Env) doFetch(ctx context.Context, f *daemon.Fetch, job fetchJob, out *fetchOutput) error {
	switch {
	case job.dryRun:
		return out.previews(f.Plan(ctx))
	case job.every > 0:
		return escaped(f.Watch(ctx, job.every))
	}
	return out.reports(f.Once(ctx))
}

// untilSignals gives a context that ends with the first signal, and one that
// ends with the second.
func (e Env) untilSignals() (first, second context.Context) {
	first, stop := context.WithCancel(context.Background())
	second, cut := context.WithCancel(context.Background())
	signals := e.Signals()
	go func() {
		<-signals
		stop()
		<-signals
		cut()
	}()
	return first, second
}

// escaped makes an error's text safe for a terminal, line by line, and gives it
// its exit code.
func escaped(err error) error {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = progress.Escape(line)
	}
	code := exitFailed
	if errors.Is(err, fetch.ErrSignIn) {
		code = exitRefused
	}
	return exit{code, strings.Join(lines, "\n")}
}

// outcome gives the exit code of a round.
func outcome(reports []fetch.Report) int {
	failed, refused, fetched, poison := 0, 0, 0, 0
	for _, r := range reports {
		fetched += r.Fetched
		poison += r.Failed
		if r.Err != nil {
			failed++
			if errors.Is(r.Err, fetch.ErrSignIn) {
				refused++
			}
		}
	}
	switch {
	case failed == 0 && poison == 0:
		return exitOK
	case failed < len(reports) || fetched > 0:
		return exitPartial
	case refused == failed:
		return exitRefused
	}
	return exitFailed
}

// isTerminal reports whether w is a terminal that can be drawn on.
func (e Env) isTerminal(w any) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && e.Getenv("TERM") != "dumb"
}

// newDisplay gives a display on standard error. live says that it is a
// terminal.
func (e Env) newDisplay() (d progress.Display, live bool) {
	f, ok := e.isTerminal(e.Stderr)
	if !ok {
		return progress.NewLines(e.Stderr), false
	}
	return progress.NewTerminal(f, func() (int, int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 || rows <= 0 { // some terminals have no size
			return 80, 24
		}
		return columns, rows
	}), true
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%s %s", progress.Count(n), many)
}
