package cli

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/progress"
)

// fetchOutput tells what fetch does: to people by a display and a table, to
// programs by lines of JSON.
type fetchOutput struct {
	stdout  io.Writer
	stderr  io.Writer
	json    bool
	display progress.Display // nil with json, and in a service, whose log is enough
	live    bool             // it is on a terminal; elsewhere the report at the end is soon enough

	mu    sync.Mutex
	steps map[string]*fetchStep
}

// fetchStep is how far an account is.
type fetchStep struct {
	progress.Step
	begin, end time.Time
}

func (e Env) newFetchOutput(job fetchJob) *fetchOutput {
	o := &fetchOutput{stdout: e.Stdout, stderr: e.Stderr, json: job.json, steps: make(map[string]*fetchStep)}
	if !job.json && job.every == 0 {
		o.display, o.live = e.newDisplay()
	}
	return o
}

// log takes the lines of the log. Beside a display they stay above it.
func (o *fetchOutput) log() io.Writer {
	if o.display == nil {
		return o.stderr
	}
	return sayer{o.display}
}

// sayer is a writer of whole lines to a display.
type sayer struct{ display progress.Display }

func (s sayer) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.display.Say(strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

func (o *fetchOutput) close() {
	if o.display != nil {
		o.display.Close()
	}
}

// observe is told what happens, one event at a time.
func (o *fetchOutput) observe(e fetch.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.steps[e.Account]
	if s == nil {
		s = &fetchStep{Step: progress.Step{Name: e.Account}, begin: e.Time}
		o.steps[e.Account] = s
	}
	s.event(e)
	switch {
	case o.json:
		_ = o.line(jsonEvent(e))
	case o.display == nil:
	case e.Kind == fetch.Finished:
		o.display.Hide(e.Account)
	case e.Kind == fetch.Failed && o.live:
		o.display.Say(failure(e.Account, e.Err))
	case e.Kind == fetch.Warned:
		o.display.Say(e.Account + ": " + e.Text)
	case s.Total > 0:
		o.display.Show(s.Step)
	}
}

// event counts what happened. A round can have several sessions, each with a
// listing.
func (s *fetchStep) event(e fetch.Event) {
	s.end = e.Time
	switch e.Kind {
	case fetch.Listed:
		s.Total, s.TotalOctets = s.Done+e.Total, s.Octets+e.TotalOctets
	case fetch.Stored:
		s.Done++
		s.Octets += e.Octets
	case fetch.Failed:
		s.Done++
	}
}

// reports tells the outcome of a round and gives the exit code as an error.
func (o *fetchOutput) reports(reports []fetch.Report) error {
	o.close()
	now := time.Now()
	var err error
	if o.json {
		for _, r := range reports {
			if err == nil {
				err = o.line(o.jsonReport(r, now))
			}
		}
	} else {
		_, err = io.WriteString(o.stdout, o.table(reports)+remarks(reports, now))
	}
	if err != nil {
		return escaped(err)
	}
	if code := outcome(reports); code != exitOK {
		return exit{code: code}
	}
	return nil
}

// took is how long an account has been at work.
func (o *fetchOutput) took(account string) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.steps[account]; s != nil {
		return max(0, s.end.Sub(s.begin))
	}
	return 0
}
