package fetch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// trouble is a destination with which a test makes trouble.
type trouble struct {
	*destination
	random  *rand.Rand // under destination.mu
	rate    float64
	refuses bool
	lost    int // answers
}

func (x *trouble) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	x.mu.Lock()
	kind, wait := 100, time.Duration(x.random.IntN(30))*time.Millisecond
	if x.random.Float64() < x.rate {
		kind = x.random.IntN(3)
		if x.refuses && kind == 2 {
			kind = 3
		}
	}
	x.mu.Unlock()
	time.Sleep(wait)
	switch kind {
	case 0:
		io.CopyN(io.Discard, r, 5)
		return errors.New("out of order")
	case 3:
		return fmt.Errorf("no: %w", sink.ErrRefused)
	case 1:
		if err := x.destination.Put(ctx, m, r); err != nil {
			return err
		}
		x.mu.Lock()
		x.lost++
		x.mu.Unlock()
		return sink.ErrUnknownOutcome
	}
	return x.destination.Put(ctx, m, r)
}

// Flags of the campaign in test/simulation, which makes other schedules.
var (
	firstSchedule = flag.Uint64("first", 0, "the seed of the first random schedule")
	schedules     = flag.Uint64("schedules", 150, "how many random schedules there are")
	noKeys        = flag.Bool("no-keys", false, "give each message of a random schedule another key each time: a mutant")
)

// Whatever goes wrong with the link, the server, the destination and the power,
// in whatever order: in the end each message is there, and once.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	seeds := *schedules
	if race {
		seeds = min(seeds, 30)
	}
	for i := range seeds {
		seed := *firstSchedule + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { schedule(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func schedule(t *testing.T, random *rand.Rand) {
	n := 1 + random.IntN(40)
	m, to, f := newModel(n), exactly(), faultfs.New()
	exact := random.IntN(3) > 0
	if !exact {
		to = blindly()
	}
	for i := range m.letters {
		m.letters[i].text = fmt.Sprintf("%d %s", i, text(i))
	}
	var want []string
	for _, l := range m.letters {
		want = append(want, l.text)
	}
	p := Policy{Keep: random.IntN(3) == 0, Batch: random.IntN(3) * 5}
	if !p.Keep && random.IntN(3) == 0 {
		p.DeleteAfter = time.Hour
	}
	numbers := false
	switch random.IntN(6) {
	case 0:
		m.show = 1 + random.IntN(10)
	case 1:
		m.uid = func(_, _ int, l letter) string { return "two-or-more-" + l.uid[:5] }
	case 3:
		numbers = true
		p = Policy{} // with numbers there is no telling what is left
		m.uid = func(_, n int, _ letter) string { return fmt.Sprint(n) }
	case 2:
		m.keeps = true
	}
	// A server that hides what was read hides what was refused, and one that
	// numbers it gives it another number.
	refusals := m.show == 0 && !numbers
	var keys atomic.Int64
	crashes := 0
	for range 12 {
		m.sessions.Wait()
		x := &trouble{destination: to, random: rand.New(rand.NewPCG(random.Uint64(), 1)), rate: 0.05, refuses: refusals}
		cut := int64(0)
		if random.IntN(2) == 0 {
			cut = int64(1 + random.IntN(4000))
		}
		m.cut = func(int) int64 { return cut }
		m.loseQuit = random.IntN(4) == 0
		refused := random.IntN(2 * n)
		m.refuseRetr = func(l letter) string {
			if refusals && refused < n && l.text == want[refused] {
				return "-ERR later"
			}
			return ""
		}
		crashing := random.IntN(3) == 0
		if crashing {
			f.CrashAt(len(f.Ops()) + 1 + random.IntN(60))
			crashes++
		}
		m.powered(f)
		a := m.account(to, p)
		a.Sink = x
		if *noKeys {
			a.Sink = unkeyed{x, &keys}
		}
		once(f.Root(), a)
		if m.dead() || crashing {
			choices := f.Choices(8, random.Uint64())
			f = f.Crash(choices[random.IntN(len(choices))])
		}
		crashes += x.lost
		time.Sleep(time.Duration(random.IntN(120)) * time.Minute)
	}
	m.sessions.Wait()
	m.cut, m.dead, m.refuseRetr, m.loseQuit = nil, nil, nil, false
	for range 4 {
		time.Sleep(48 * time.Hour)
		if r := once(f.Root(), m.account(to, p)); r.Err != nil {
			t.Fatalf("%+v", r)
		}
	}
	if exact {
		crashes = 0
	}
	if err := to.check(want, crashes); err != nil {
		t.Errorf("%v: %+v, exact %v, show %v, uid %v, left %v", err, p, exact, m.show, m.uid != nil, m.letters)
	}
	if !p.Keep && !m.keeps && m.show == 0 && m.left() > 0 {
		t.Errorf("%d are left", m.left())
	}
}
