//go:build interop

package interop

import (
	"errors"
	"fmt"
	"os"

	"github.com/postwain/postwain/test/rig"
)

const (
	lettersPerStep = 20
	// mostSteps bounds the walk through a run.
	mostSteps = 5000
)

// walk kills the fetcher once at each of its steps, or in the short form at a
// few, each time on another mailbox, until a run has no such step any more.
func (a *arena) walk(c contestant, keep bool) (sum tally, err error) {
	first, stride := 1, 1
	if *strikes == 0 {
		stride = 53
		first += a.rand.IntN(stride)
	}
	letters := numberedLetters(lettersPerStep)
	var errs []error
	for n := first; n < mostSteps; n += stride {
		tr, err := a.trial(c.Fetcher, letters, keep, false)
		if err != nil {
			return sum, err
		}
		one, err := tr.killAt(n)
		if !c.passes(one) {
			err = errors.Join(err, fmt.Errorf("%s: killed at step %d: %v\n%s", tr.haul.Account, n, one, tr.log))
		}
		errs = append(errs, err)
		sum.add(one)
		if err := tr.close(); err != nil {
			return sum, err
		}
		if one.strikes == 0 {
			return sum, errors.Join(errs...)
		}
	}
	return sum, errors.Join(append(errs, fmt.Errorf("%s takes more than %d steps", c.Name, mostSteps))...)
}

// killAt plays a trial in which the fetcher is killed at one of its steps.
func (tr *trial) killAt(n int) (t tally, err error) {
	cmd, err := tr.fetcher.Command(tr.haul)
	if err != nil {
		return t, err
	}
	path := tr.haul.State + ".out"
	out, err := os.Create(path)
	if err != nil {
		return t, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	code, err := rig.KillAt(cmd, n)
	if err := errors.Join(err, out.Close()); err != nil {
		return t, err
	}
	if code >= 0 && !tr.fetcher.Done(code) {
		text, err := os.ReadFile(path)
		return t, errors.Join(err, fmt.Errorf("%s fails although nobody disturbs it: exit code %d\n%s", tr.fetcher.Name, code, text))
	}
	if err := os.Remove(path); err != nil {
		return t, err
	}
	err = tr.finish()
	t, counting := tr.count()
	if code < 0 {
		t.strikes = 1
	}
	return t, errors.Join(err, counting)
}
