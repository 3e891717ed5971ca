package bucket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// stage has actors work on one object store, of whom one at a time takes a step:
// one operation of the store, or one of the stage's own. A script of choices says
// who.
type stage struct {
	m      *memory
	mutant mutant
	lists  map[string][]object // the first listing of each actor, and what it has created
	clock  int                 // steps taken, which is what time it is
	turns  map[string]*turn
	record []string
	faults []error
}

// turn is where an actor waits for its next step.
type turn struct {
	wants chan string // what it is about to do; closed at its end
	may   chan fate
	next  string // what it waits to do
	done  bool
	dead  bool
}

// fate is how a step goes.
type fate int

const (
	well   fate = iota
	failed      // nothing is done, and that is the answer
	silent      // it is done, and the answer is an error
)

var errStep = errors.New("the store does not answer")

// actor does something with a store of its own, as one server does.
type actor struct {
	name string
	do   func(ctx context.Context, s *stage, store *Store)
}

// step waits until an actor may go on.
func (s *stage) step(name, what string) fate {
	t := s.turns[name]
	if t.dead {
		return failed
	}
	t.wants <- what
	return <-t.may
}

// own gives a Store whose every operation is a step.
func (s *stage) own(name string) *Store {
	return &Store{objects: stepping{s, name}, prefix: "", ttl: defaultTTL}
}

// choose picks one of the possible moves, which are more than none.
type choose func(moves []move) move

// move is the step of an actor and its fate.
type move struct {
	name string
	fate fate
	kill bool
}

// play has all actors act until they have ended, or been killed. faults says
// whether answers may be lost, and kills how many may die.
func (s *stage) play(ctx context.Context, actors []actor, faults bool, kills int, pick choose) {
	s.turns, s.lists = map[string]*turn{}, map[string][]object{}
	for _, a := range actors {
		s.turns[a.name] = &turn{wants: make(chan string), may: make(chan fate)}
	}
	for _, a := range actors {
		t := s.turns[a.name]
		go func() {
			defer close(t.wants)
			a.do(ctx, s, s.own(a.name))
		}()
	}
	wait := func(t *turn) {
		what, going := <-t.wants
		t.next, t.done = what, !going
	}
	for _, a := range actors {
		wait(s.turns[a.name])
	}
	for {
		var moves []move
		for _, a := range actors {
			t := s.turns[a.name]
			if t.done {
				continue
			}
			moves = append(moves, move{name: a.name})
			if faults && !strings.HasPrefix(t.next, "own ") {
				moves = append(moves, move{a.name, failed, false}, move{a.name, silent, false})
			}
			if kills > 0 && !strings.HasPrefix(a.name, "clock") {
				moves = append(moves, move{name: a.name, kill: true})
			}
		}
		if len(moves) == 0 {
			return
		}
		mv := pick(moves)
		t := s.turns[mv.name]
		s.clock++
		s.record = append(s.record, fmt.Sprintf("%s: %s %v %v", mv.name, t.next, mv.fate, mv.kill))
		if mv.kill {
			kills--
			t.dead = true
			mv.fate = failed
		}
		t.may <- mv.fate
		wait(t)
	}
}

// stepping is the object store as one server sees it.
type stepping struct {
	s    *stage
	name string
}

func (o stepping) do(what string, f func() error) error {
	switch o.s.step(o.name, what) {
	case failed:
		return errStep
	case silent:
		_ = f() // nobody hears of it
		return errStep
	}
	return f()
}

// mutant is a fault built into the object store, or into what a server does there.
type mutant string

const (
	overwrites mutant = "the store creates what is there already"
	noFence    mutant = "an epoch is not ended before the next begins"
	forgets    mutant = "an ending goes with the objects that it names"
	oneListing mutant = "there is no second listing"
)

// scene is what has happened on a stage.
type scene struct {
	*stage
	sent    map[string]bool // messages that were acknowledged
	commits []commit
	views   []seen
}

// commit is a session's, with what it named.
type commit struct {
	uids  []string
	began int
	ended int
	err   error
	who   string
}

// seen is what a session was shown.
type seen struct {
	who    string
	opened int
	until  int // the end of its commit
	uids   []string
	alone  bool // it had the maildrop for itself, as its commit shows
}

func (c *scene) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

const owner = "alice"

// visitor opens the maildrop, and removes what it sees.
func (c *scene) visitor(name string, snapshot bool) actor {
	return actor{name, func(ctx context.Context, s *stage, store *Store) {
		var from maildrop.Store = store
		if snapshot {
			from = store.Snapshots()
		}
		began := s.clock
		b, err := from.Open(ctx, owner)
		if err != nil {
			return
		}
		v := seen{who: name, opened: s.clock}
		for _, m := range b.Messages() {
			v.uids = append(v.uids, m.UID)
		}
		for _, k := range c.commits {
			if k.err == nil && k.ended <= began && slices.ContainsFunc(v.uids, func(uid string) bool { return slices.Contains(k.uids, uid) }) {
				c.fault("%s is shown what %s had removed", name, k.who)
			}
		}
		k := commit{uids: v.uids, began: s.clock, who: name}
		all := make([]int, len(v.uids))
		for i := range all {
			all[i] = i
		}
		k.err = b.Commit(ctx, all)
		k.ended, v.until = s.clock, s.clock
		v.alone = !snapshot && k.err == nil
		c.commits, c.views = append(c.commits, k), append(c.views, v)
		if err := b.Close(); err != nil && k.err == nil {
			c.fault("%s: closing after a commit: %v", name, err)
		}
	}}
}

// sender delivers a message, and once more if there is no answer, as who
// delivers by a key does.
func (c *scene) sender(name string) actor {
	return actor{name, func(ctx context.Context, s *stage, store *Store) {
		for range 2 {
			if store.Deliver(ctx, owner, maildrop.Incoming{Key: name, UID: "uid-" + name}, strings.NewReader(name+"\n")) == nil {
				c.sent["uid-"+name] = true
				return
			}
		}
	}}
}

// passing is time that goes by: leases die.
func (c *scene) passing(name string, d time.Duration) actor {
	return actor{name, func(_ context.Context, s *stage, _ *Store) {
		s.step(name, "own passing")
		s.m.pass(d)
	}}
}

// ghost is a PUT that has hung: its message was delivered by a second try.
func (c *scene) ghost(name string) actor {
	key := c.m.keys()[0]
	data := c.m.objects[key].data
	return actor{name, func(_ context.Context, s *stage, _ *Store) {
		s.step(name, "own "+key)
		if _, there := s.m.objects[key]; !there {
			s.m.objects[key] = kept{data, s.m.now}
		}
	}}
}

// judge looks at what is left when all have gone, twice, with time for every
// lease to die and for what can be swept to be swept.
func (c *scene) judge(ctx context.Context) error {
	for round := range 2 {
		c.m.pass(2 * time.Hour)
		store := &Store{objects: c.m, ttl: defaultTTL}
		b, err := store.Open(ctx, owner)
		if err != nil {
			return fmt.Errorf("in the end the maildrop does not open: %w", err)
		}
		var left []string
		for _, m := range b.Messages() {
			left = append(left, m.UID)
		}
		if err := b.Close(); err != nil {
			return err
		}
		c.check(left)
		if len(c.faults) > 0 {
			return fmt.Errorf("round %d: %w", round, errors.Join(c.faults...))
		}
	}
	return nil
}

func (c *scene) check(left []string) {
	removed := map[string]bool{}
	for i, k := range c.commits {
		var there, gone []string // of what nobody else has removed
		for _, uid := range k.uids {
			others := slices.ContainsFunc(c.commits, func(o commit) bool {
				return o.who != c.commits[i].who && (o.err == nil || errors.Is(o.err, maildrop.ErrUnknownOutcome)) && slices.Contains(o.uids, uid)
			})
			if slices.Contains(left, uid) {
				there = append(there, uid)
			} else if !others {
				gone = append(gone, uid)
			}
		}
		switch {
		case k.err == nil && len(there) > 0:
			c.fault("%s removed %q, and %q are left", k.who, k.uids, left)
		case errors.Is(k.err, maildrop.ErrUnknownOutcome) && len(there) > 0 && len(gone) > 0:
			c.fault("%s removed only %q of %q", k.who, gone, k.uids)
		case k.err != nil && !errors.Is(k.err, maildrop.ErrUnknownOutcome) && len(gone) > 0:
			c.fault("%s was told %v, and %q are gone", k.who, k.err, gone)
		}
		if k.err == nil || errors.Is(k.err, maildrop.ErrUnknownOutcome) {
			for _, uid := range k.uids {
				removed[uid] = true
			}
		}
	}
	for uid := range c.sent {
		if !removed[uid] && !slices.Contains(left, uid) {
			c.fault("%s was acknowledged and is lost", uid)
		}
	}
	for i, uid := range left {
		if slices.Contains(left[:i], uid) {
			c.fault("%s is there twice", uid)
		}
	}
	for _, v := range c.views {
		for _, k := range c.commits {
			if v.alone && k.who != v.who && k.err == nil && v.opened < k.ended && k.began < v.until && v.opened <= k.began && len(k.uids) > 0 &&
				slices.ContainsFunc(v.uids, func(uid string) bool { return slices.Contains(k.uids, uid) }) {
				c.fault("%s had the maildrop from step %d to %d, and %s committed from %d to %d", v.who, v.opened, v.until, k.who, k.began, k.ended)
			}
		}
	}
}

// setting is a cast with what may befall it.
type setting struct {
	name   string
	cast   func(*scene) []actor
	faults bool
	kills  int
}

func settings() []setting {
	minute := func(c *scene, name string) actor { return c.passing(name, 2*time.Minute) }
	return []setting{
		{"two owners", func(c *scene) []actor { return []actor{c.visitor("a", false), c.visitor("b", false)} }, false, 0},
		{"a lease dies", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), minute(c, "clock")}
		}, false, 0},
		{"three owners, leases die", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), c.visitor("c", false), minute(c, "clock"), minute(c, "clock2")}
		}, false, 0},
		{"mail comes", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), c.sender("x"), minute(c, "clock")}
		}, false, 0},
		{"answers are lost", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), c.sender("x"), minute(c, "clock")}
		}, true, 0},
		{"servers die", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), c.sender("x"), minute(c, "clock")}
		}, true, 2},
		{"snapshots", func(c *scene) []actor {
			return []actor{c.visitor("a", true), c.visitor("b", true), c.sender("x")}
		}, true, 1},
		{"a PUT lands late", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), c.ghost("ghost"), minute(c, "clock")}
		}, true, 1},
		{"hours pass", func(c *scene) []actor {
			return []actor{c.visitor("a", false), c.visitor("b", false), c.visitor("c", false), c.sender("x"), c.passing("clock", 50*time.Minute), minute(c, "clock2")}
		}, true, 1},
	}
}

// newScene has two messages in the maildrop.
func newScene(t testing.TB) *scene {
	c := &scene{stage: &stage{m: newMemory()}, sent: map[string]bool{}}
	store := &Store{objects: c.m, ttl: defaultTTL}
	for i := range 2 {
		uid := fmt.Sprint("uid-", i)
		if err := store.Deliver(t.Context(), owner, maildrop.Incoming{UID: uid}, strings.NewReader("letter\n")); err != nil {
			t.Fatal(err)
		}
		c.sent[uid] = true
	}
	return c
}

func (c *scene) run(t testing.TB, s setting, pick choose) error {
	c.play(t.Context(), s.cast(c), s.faults, s.kills, pick)
	if err := c.judge(t.Context()); err != nil {
		return fmt.Errorf("%s: %w\n%s\n%q", s.name, err, strings.Join(c.record, "\n"), c.m.keys())
	}
	return nil
}

// Every interleaving of two owners, and of two owners and a lease that dies.
func TestEveryInterleaving(t *testing.T) {
	t.Parallel()
	for _, s := range settings()[:2] {
		n := 0
		var path []int // choices, of which the last one is new
		for {
			at, widths := 0, []int(nil)
			err := newScene(t).run(t, s, func(moves []move) move {
				if at == len(path) {
					path = append(path, 0)
				}
				widths = append(widths, len(moves))
				at++
				return moves[path[at-1]]
			})
			if err != nil {
				t.Fatal(err)
			}
			n++
			path = path[:at]
			for len(path) > 0 && path[len(path)-1]+1 == widths[len(path)-1] {
				path = path[:len(path)-1]
			}
			if len(path) == 0 {
				break
			}
			path[len(path)-1]++
		}
		t.Logf("%s: %d interleavings", s.name, n)
	}
}

// wander lets chance choose, mostly without faults.
func wander(seed uint64) choose {
	random := rand.New(rand.NewPCG(seed, 0))
	return func(moves []move) move {
		if random.IntN(3) > 0 {
			moves = slices.DeleteFunc(moves, func(m move) bool { return m.kill || m.fate != well })
		}
		return moves[random.IntN(len(moves))]
	}
}

// Many of the others, with answers that are lost and servers that die.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	for _, s := range settings() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(1500) {
				if err := newScene(t).run(t, s, wander(seed)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// What the protocol is built on is needed: without it, some interleaving breaks
// the law.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, m := range []mutant{overwrites, noFence, forgets, oneListing} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20_000) {
				for _, s := range settings() {
					c := newScene(t)
					c.mutant = m
					if c.run(t, s, wander(seed)) != nil {
						t.Logf("seen in try %d of %q", seed, s.name)
						return
					}
				}
			}
			t.Error("nobody has seen it")
		})
	}
}
