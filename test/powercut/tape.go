package powercut

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/postwain/postwain/maildrop/maildroptest"
)

// tape is all that happened to a disk, in order.
type tape struct {
	mu     sync.Mutex
	events []event
}

// event is a write, a flush, or a mark.
type event struct {
	at     int64
	data   []byte               // of a write
	old    []byte               // what was there before
	flush  bool                 // all before it is on the disk
	ledger *maildroptest.Ledger // of a mark: what had been asked and answered
}

func (t *tape) add(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

func (t *tape) all() []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.events)
}

// cut is a loss of power behind the first n events.
type cut struct {
	n      int
	ledger *maildroptest.Ledger // what is known then
	sure   []event              // writes that a flush has followed
	open   []event              // writes that may or may not have arrived
}

// cuts are all losses of power that differ: behind each event but for marks
// where nothing was written since the last.
func cuts(events []event) []cut {
	var all []cut
	c := cut{}
	var sure, open []event
	for i, e := range events {
		switch {
		case e.flush:
			sure, open = append(sure, open...), nil
		case e.ledger != nil:
			c.ledger = e.ledger
		default:
			open = append(open, e)
		}
		if c.ledger == nil {
			continue
		}
		all = append(all, cut{i + 1, c.ledger, slices.Clip(sure), slices.Clip(slices.Clone(open))})
	}
	return all
}

// sector is what a disk writes whole.
const sector = 512

// fate is one way in which the open writes may have arrived.
type fate struct {
	name string
	keep func(i int, e event) []event
}

// fates are the ways that are tried for a cut, with what is chosen in them.
func fates(r *rand.Rand, open int) []fate {
	whole := func(_ int, e event) []event { return []event{e} }
	nothing := fate{"nothing unflushed", func(int, event) []event { return nil }}
	if open == 0 {
		return []fate{nothing}
	}
	only, until, dropped := r.IntN(open), r.IntN(open+1), r.IntN(open)
	pick := func(name string, kept func(i int) bool) fate {
		return fate{name, func(i int, e event) []event {
			if kept(i) {
				return whole(i, e)
			}
			return nil
		}}
	}
	subset := rand.New(rand.NewPCG(r.Uint64(), 0))
	torn := rand.New(rand.NewPCG(r.Uint64(), 0))
	return []fate{
		nothing,
		{"everything", whole},
		pick("those before one", func(i int) bool { return i < until }),
		pick("all but one", func(i int) bool { return i != dropped }),
		pick("only one", func(i int) bool { return i == only }),
		pick("some", func(int) bool { return subset.IntN(2) == 0 }),
		{"some sectors", func(_ int, e event) []event {
			var parts []event
			for off := 0; off < len(e.data); off += sector {
				if torn.IntN(2) == 0 {
					parts = append(parts, event{at: e.at + int64(off), data: e.data[off:min(off+sector, len(e.data))]})
				}
			}
			return parts
		}},
	}
}

// writes are those that a fate of the cut leaves on top of the sure ones.
func (c cut) writes(f fate) []event {
	var all []event
	for i, e := range c.open {
		all = append(all, f.keep(i, e)...)
	}
	return all
}
