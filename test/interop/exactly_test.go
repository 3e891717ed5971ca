//go:build interop

package interop

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"

	"github.com/postwain/postwain/test/rig"
)

var (
	strikes = flag.Int("strikes", 0, "prove at length: how often each fetcher of ours is killed in each mode")
	only    = flag.String("only", "", "let only the fetchers take part whose name matches this `pattern`")
	seed    = flag.Uint64("seed", 1, "of the moments at which something happens")
	write   = flag.Bool("write", false, "write the page in docs that the test is for")
)

// modes are what a fetcher does with what it has fetched.
var modes = []struct {
	name string
	keep bool
}{{"delete", false}, {"keep", true}}

const (
	lettersPerTrial = 200
	// mostTrials is how many mailboxes there are.
	mostTrials = 20000
)

// newArena starts Dovecot on a disk of its own.
func newArena(t *testing.T) *arena {
	t.Helper()
	disk, err := rig.NewDisk(4 << 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	space, err := rig.NewSpace(disk.Mount)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	})
	var names []string
	for i := range mostTrials {
		names = append(names, sourceAccount(i), targetAccount(i))
	}
	if err := space.AddAccounts(names...); err != nil {
		t.Fatal(err)
	}
	dovecot, err := space.Dovecot(rig.DovecotStyle{Stock: true, Connections: 100})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, dovecot.Daemon)
	return &arena{space: space, dovecot: dovecot, rand: rand.New(rand.NewPCG(*seed, 0))}
}

// contestant is a fetcher and what is expected of it.
type contestant struct {
	rig.Fetcher
	ours bool
	// repeats says that one message may come twice for every strike, because
	// the destination cannot be asked what it has.
	repeats bool
}

// main says that it is the one that all this is about.
func (c contestant) main() bool { return c.Name == "postwain" }

// passes says whether a tally is as good as is expected.
func (c contestant) passes(t tally) bool {
	switch {
	case !c.ours:
		return true
	case c.repeats:
		t.doubled = max(0, t.doubled-t.strikes)
	}
	return t.exact()
}

// TestExactlyOnce lets every fetcher empty mailboxes while bad things happen,
// and counts what is lost, doubled and damaged in the end. The others are
// counted for comparison; ours must stay exact.
func TestExactlyOnce(t *testing.T) {
	pattern, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	ours := func(destination string, repeats bool) contestant {
		return contestant{rig.PostwainFetch(program, destination), true, repeats}
	}
	a := newArena(t)
	page := page{machine: rig.DescribeMachine(a.space.Dir)}
	for _, c := range []contestant{
		ours("maildir", false), {Fetcher: rig.Fetchmail()}, {Fetcher: rig.Mpop()}, {Fetcher: rig.Getmail()},
	} {
		if pattern.MatchString(c.Name) {
			page.fetchers.prove(t, a, c, troubles)
		}
	}
	for _, c := range []contestant{ours("imap", false), ours("mbox", false), ours("lmtp", true), ours("exec", true)} {
		if pattern.MatchString(c.Name) {
			page.destinations.prove(t, a, c, troubles[:1])
		}
	}
	fmt.Print(page.fetchers.text(), page.destinations.text())
	if *write {
		if err := os.WriteFile("../../docs/EXACTLY-ONCE.md", []byte(page.markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// prove plays everything with one fetcher.
func (p *proof) prove(t *testing.T, a *arena, c contestant, troubles []trouble) {
	p.fetchers = append(p.fetchers, c.Name)
	note := func(trouble, mode string, sum tally, err error) {
		t.Logf("%s, %s, %s: %v; %d messages, struck %d times", c.Name, mode, trouble, sum, sum.messages, sum.strikes)
		p.set(c.Name, trouble, mode, sum)
		if err != nil || sum.strikes == 0 || !c.passes(sum) {
			t.Errorf("%s, %s, %s: %v\n%v", c.Name, mode, trouble, sum, err)
		}
	}
	for _, mode := range modes {
		if mode.keep && *strikes == 0 && !c.main() {
			continue // the short form is short
		}
		for _, tb := range troubles {
			if wanted := wantedStrikes(tb, c); wanted > 0 {
				sum, err := a.play(c, tb, mode.keep, wanted)
				note(tb.name, mode.name, sum, err)
			}
		}
		if c.ours && c.Name != execName {
			sum, err := a.walk(c, mode.keep)
			note("killed at each step", mode.name, sum, err)
		}
	}
}

// execName is the fetcher that cannot be followed step by step, for the command
// that it starts goes its own way.
const execName = "postwain to exec"

// wantedStrikes is how many times a trouble is to happen. At length the others,
// and ours with other destinations, are struck a tenth as often; in the short
// form the others are only killed.
func wantedStrikes(tb trouble, c contestant) int {
	switch {
	case *strikes > 0 && c.main():
		return max(1, int(float64(*strikes)*tb.share))
	case *strikes > 0:
		return max(1, int(float64(*strikes)*tb.share/10))
	case c.main():
		return max(1, int(12*tb.share))
	case c.ours:
		return 3
	case tb.share == 1:
		return 1
	}
	return 0
}

// play lets a fetcher run into a trouble, in as many trials as it takes to
// strike it so often.
func (a *arena) play(c contestant, tb trouble, keep bool, wanted int) (sum tally, err error) {
	letters := numberedLetters(lettersPerTrial)
	whole, err := a.measure(c, letters, keep)
	if err != nil {
		return sum, err
	}
	var errs []error
	for n := 0; sum.strikes < wanted && n < 10+4*wanted; n++ {
		tr, err := a.trial(c.Fetcher, letters, keep, tb.small)
		if err != nil {
			return sum, err
		}
		tr.whole = whole
		most := min(wanted-sum.strikes, strikesPerTrial)
		if tb.once {
			most = 1
		}
		one, err := tr.play(tb, most)
		sum.add(one)
		if !c.passes(one) {
			err = errors.Join(err, fmt.Errorf("%s: %v\n%s", tr.haul.Account, one, tr.log))
		}
		errs = append(errs, err)
		if err := tr.close(); err != nil {
			return sum, err
		}
	}
	return sum, errors.Join(errs...)
}

// play plays one trial to its end.
func (tr *trial) play(tb trouble, most int) (t tally, err error) {
	n := 0
	for n < most {
		struck, err := tb.strike(tr)
		if err != nil {
			return t, err
		}
		if !struck {
			break // it has come to its end by itself
		}
		n++
	}
	err = tr.finish()
	t, counting := tr.count()
	t.strikes = n
	return t, errors.Join(err, counting)
}
