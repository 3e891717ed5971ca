package fetch

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// scene is a mailbox, a destination, and how the one is fetched into the other
// before a crash of the machine on which the fetcher runs.
type scene struct {
	name    string
	policy  Policy
	blind   bool           // the destination cannot be asked
	lazy    bool           // it is durable after a Sync
	server  func(m *model) // what the server does besides
	rounds  int
	n       int // messages
	doubled int // how many may be doubled
}

var scenes = []scene{
	{name: "delete", n: 6, rounds: 2},
	{name: "keep", policy: Policy{Keep: true}, n: 6, rounds: 2},
	{name: "batches", policy: Policy{Batch: 2}, n: 5, rounds: 1},
	{name: "delete, with syncs", n: 6, rounds: 2, lazy: true},
	{name: "keep, with syncs", policy: Policy{Keep: true}, n: 6, rounds: 2, lazy: true},
	{name: "delete, not exact", n: 5, rounds: 2, blind: true, doubled: 1},
	{name: "keep, not exact", policy: Policy{Keep: true}, n: 5, rounds: 2, blind: true, doubled: 1},
	{name: "numbers as UIDs", n: 4, rounds: 2, server: func(m *model) {
		m.uid = func(_, n int, _ letter) string { return fmt.Sprint(n) }
	}},
	{name: "numbers as UIDs, batches", policy: Policy{Batch: 2}, n: 5, rounds: 2, server: func(m *model) {
		m.uid = func(_, n int, _ letter) string { return fmt.Sprint(n) }
	}},
	{name: "no UIDs", n: 4, rounds: 2, server: func(m *model) { m.noUIDL, m.capa = "-ERR what", []string{"PIPELINING"} }},
	{name: "one UID for all", policy: Policy{Keep: true}, n: 4, rounds: 2, server: func(m *model) {
		m.uid = func(int, int, letter) string { return "same-old-same-old" }
	}},
	{name: "a server that hides", policy: Policy{Keep: true}, n: 6, rounds: 1, server: func(m *model) { m.show = 3 }},
	{name: "a server that keeps", n: 4, rounds: 3, server: func(m *model) { m.keeps = true }},
}

// run is what happens before the crash.
func (c *scene) run(f *faultfs.FS, wrap func(*Account)) (*model, *destination) {
	m, to := newModel(c.n), exactly()
	if c.server != nil {
		c.server(m)
	}
	if c.blind {
		to = blindly()
	}
	to.lazy = c.lazy
	m.powered(f)
	to.disk = f.Root()
	a := m.account(to, c.policy)
	if wrap != nil {
		wrap(&a)
	}
	for range c.rounds {
		once(f.Root(), a)
	}
	return m, to
}

// judge fetches on what is left, and then each message must be there.
func (c *scene) judge(f *faultfs.FS, m *model, to *destination) error {
	m, to = m.clone(), to.clone()
	for range 3 {
		if r := once(f.Root(), m.account(to, c.policy)); r.Err != nil {
			return fmt.Errorf("the next round: %w", r.Err)
		}
	}
	if !c.policy.Keep && !m.keeps && m.left() > 0 {
		return fmt.Errorf("%d messages are left on the server", m.left())
	}
	return to.check(texts(c.n), c.doubled)
}

func (c *scene) find(cfg faultfs.Config, wrap func(*Account)) error {
	var (
		m  *model
		to *destination
	)
	return faultfs.Find(cfg, func(f *faultfs.FS) { m, to = c.run(f, wrap) }, func(f *faultfs.FS) error {
		return c.judge(f, m, to)
	})
}

// Wherever the power fails, nothing is lost, and nothing is doubled but what may
// be (faults 105).
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			most := 8
			if race {
				most = 3
			}
			if err := c.find(faultfs.Config{Max: most}, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// unkeyed gives each message a new key each time.
type unkeyed struct {
	sink.Sink
	n *atomic.Int64
}

func (u unkeyed) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	m.Key = fmt.Sprint("key", u.n.Add(1))
	return u.Sink.Put(ctx, m, r)
}

// hasty says that a message is stored, and stores it when the next one comes.
type hasty struct {
	*destination
	late func() error
}

func (h *hasty) Parallel() int { return 1 }

func (h *hasty) Put(_ context.Context, m sink.Message, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil && h.late != nil {
		err = h.late()
	}
	if err == nil {
		h.late = func() error { return h.store(m.Key, string(b)) }
	}
	return err
}

// unsynced is a destination that is never synced.
type unsynced struct{ sink.Sink }

func (unsynced) Sync() error { return nil }

// careless is a destination that cannot be asked, and is taken for one that can.
type careless struct{ sink.Sink }

func (careless) Exact() bool   { return true }
func (careless) Parallel() int { return 4 }

// The law is not kept without the syncs, the order and the keys: the tests above
// would see it.
func TestMutants(t *testing.T) {
	t.Parallel()
	skip := func(kind faultfs.Kind) func() *faultfs.FS {
		return func() *faultfs.FS {
			f := faultfs.New()
			f.FailWhen(func(op faultfs.Op) error {
				if op.Kind == kind {
					return faultfs.ErrSkip
				}
				return nil
			})
			return f
		}
	}
	for _, c := range []struct {
		name, scene string
		disk        func() *faultfs.FS
		wrap        func(*Account)
	}{
		{name: "the journal is not synced", scene: "keep, not exact", disk: skip(faultfs.SyncData)},
		{name: "nor its directory", scene: "keep, not exact", disk: skip(faultfs.SyncDir)},
		{name: "deleted before it is stored", scene: "delete", wrap: func(a *Account) { a.Sink = &hasty{destination: a.Sink.(*destination)} }},
		{name: "the destination is not synced", scene: "delete, with syncs", wrap: func(a *Account) { a.Sink = unsynced{a.Sink} }},
		{name: "no keys", scene: "delete", wrap: func(a *Account) { a.Sink = unkeyed{a.Sink, new(atomic.Int64)} }},
		{name: "several at a time", scene: "delete, not exact", wrap: func(a *Account) { a.Sink = careless{a.Sink} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(scenes, func(s scene) bool { return s.name == c.scene })
			if scenes[i].find(faultfs.Config{Max: 16, New: c.disk}, c.wrap) == nil {
				t.Error("no test has seen it")
			}
		})
	}
}

// A crash, another in the round after it, and so on: the law holds.
func TestCrashAgainAndAgain(t *testing.T) {
	t.Parallel()
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				random := rand.New(rand.NewPCG(seed, 7))
				f := faultfs.New()
				f.CrashAt(1 + random.IntN(60))
				m, to := c.run(f, nil)
				for range 4 {
					choices := f.Choices(6, seed)
					f = f.Crash(choices[random.IntN(len(choices))])
					f.CrashAt(1 + random.IntN(60))
					m, to = m.clone(), to.clone()
					m.powered(f)
					to.disk = f.Root()
					once(f.Root(), m.account(to, c.policy))
				}
				choices := f.Choices(6, seed)
				each := c
				each.doubled *= 5 // one for each crash
				if err := each.judge(f.Crash(choices[random.IntN(len(choices))]), m, to); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
