package maildir

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

const alice, bob = "alice@example.org", "bob@example.org"

// letter is the n-th message of a test; each is another.
func letter(n int) string {
	return fmt.Sprintf("Subject: letter %d\r\n\r\n%s.\r\n", n, strings.Repeat("line\r\n", n%5))
}

// story is what happens to a store before the crash. Its methods do nothing
// once something has failed: the process is dead by then.
type story struct {
	maildroptest.Ledger
	store *Store
	err   error
	wrap  func(fsx.Dir) fsx.Dir // a seeded mutant; nil: none
}

func (x *story) do(f func() error) {
	if x.err == nil {
		x.err = f()
	}
}

// start opens the store.
func (x *story) start(f *faultfs.FS, change ...func(*Options)) {
	x.do(func() (err error) {
		x.store, err = disk{f.Root()}.open(append([]func(*Options){func(o *Options) {
			if x.wrap != nil {
				o.Root, o.State = x.wrap(o.Root), x.wrap(o.State)
			}
		}}, change...)...)
		return err
	})
}

func (x *story) stop() {
	x.do(func() error { return x.store.Close() })
}

func (x *story) deliver(account string, in maildrop.Incoming, n int) {
	x.do(func() error {
		return x.Deliverer(x.store).Deliver(context.Background(), account, in, strings.NewReader(letter(n)))
	})
}

// quit opens the maildrop, removes messages and closes it.
func (x *story) quit(account string, deleted ...int) {
	x.do(func() error {
		b, err := x.Store(x.store).Open(context.Background(), account)
		if err != nil {
			return err
		}
		if len(deleted) > 0 {
			err = b.Commit(context.Background(), deleted)
		}
		return errors.Join(err, b.Close())
	})
}

// restart is what comes after a crash.
func restart(f *faultfs.FS) {
	if s, err := (disk{f.Root()}).open(); err == nil {
		s.Close()
	}
}

// judge checks the law on what is left, twice: once after the restart, and once
// more, since nothing may change by looking.
func (x *story) judge(f *faultfs.FS) error {
	ledger := x.Clone()
	for range 2 {
		s, err := (disk{f.Root()}).open()
		if err != nil {
			return fmt.Errorf("the store does not open: %w", err)
		}
		err = ledger.Check(context.Background(), s)
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// emptyDisk has the two directories that an operator makes.
func emptyDisk(t testing.TB) func() *faultfs.FS {
	return func() *faultfs.FS {
		f := faultfs.New()
		memDisk(t, f)
		return f
	}
}

// plot is a workload.
type plot struct {
	name   string
	points int // at which it is crashed; 0: everywhere
	tell   func(x *story, f *faultfs.FS)
}

var stories = []plot{
	{"first delivery", 0, func(x *story, f *faultfs.FS) {
		x.start(f)
		x.deliver(alice, maildrop.Incoming{}, 1)
		x.deliver(bob, maildrop.Incoming{}, 2)
		x.stop()
	}},
	{"commit", 0, func(x *story, f *faultfs.FS) {
		x.start(f)
		for n := range 4 {
			x.deliver(alice, maildrop.Incoming{}, n)
		}
		x.quit(alice, 0, 2)
		x.deliver(alice, maildrop.Incoming{}, 4)
		x.quit(alice, 1)
		x.quit(alice)
		x.stop()
	}},
	{"removed after another program has moved it", 0, func(x *story, f *faultfs.FS) {
		x.start(f)
		x.deliver(alice, maildrop.Incoming{}, 1)
		x.do(func() error { return seen(f.Foreign()) })
		x.quit(alice, 0)
		x.stop()
	}},
	{"many commits", 0, func(x *story, f *faultfs.FS) {
		x.start(f)
		for n := range 12 { // the journal turns several times
			x.deliver(alice, maildrop.Incoming{}, n)
			x.quit(alice, 0)
		}
		x.stop()
	}},
	{"spilled commit", 60, func(x *story, f *faultfs.FS) {
		x.start(f, func(o *Options) { o.JournalHalf = 2 * blockSize })
		for n := range 80 {
			x.deliver(alice, maildrop.Incoming{}, n)
		}
		all := make([]int, 70)
		for i := range all {
			all[i] = i
		}
		x.quit(alice, all...)
		x.quit(alice, 1)
		x.stop()
	}},
	{"keys and imports", 0, func(x *story, f *faultfs.FS) {
		x.start(f)
		for n := range 3 {
			x.deliver(alice, maildrop.Incoming{Key: fmt.Sprint("key ", n)}, n)
			x.deliver(alice, maildrop.Incoming{Key: fmt.Sprint("key ", n)}, n)
			x.deliver(alice, maildrop.Incoming{UID: fmt.Sprint("uid-", n)}, 10+n)
		}
		x.quit(alice, 1)
		x.deliver(alice, maildrop.Incoming{UID: "uid-3", Key: "x"}, 13)
		x.quit(alice)
		x.stop()
	}},
}

func TestCrash(t *testing.T) {
	t.Parallel()
	for _, c := range stories {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.find(t, nil, faultfs.Config{Depth: 1, Max: 6}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// find crashes the story everywhere and gives the first breach of the law.
func (c *plot) find(t testing.TB, wrap func(fsx.Dir) fsx.Dir, cfg faultfs.Config) error {
	cfg.New, cfg.Recover, cfg.Points = emptyDisk(t), restart, c.points
	var x *story
	return faultfs.Find(cfg, func(f *faultfs.FS) {
		x = &story{wrap: wrap}
		c.tell(x, f)
	}, func(f *faultfs.FS) error { return x.judge(f) })
}

// A restart that is crashed, again and again, loses nothing.
func TestCrashInRecovery(t *testing.T) {
	t.Parallel()
	for _, c := range stories {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(25) {
				r := rand.New(rand.NewPCG(seed, 1))
				f := emptyDisk(t)()
				x := new(story)
				c.tell(x, f)
				n := len(f.Ops())
				f = emptyDisk(t)()
				f.CrashAt(1 + r.IntN(n))
				x = new(story)
				c.tell(x, f)
				for range 5 {
					choices := f.Choices(6, seed)
					left := f.Crash(choices[r.IntN(len(choices))])
					f = left
					f.CrashAt(1 + r.IntN(60))
					restart(f)
				}
				choices := f.Choices(6, seed)
				if err := x.judge(f.Crash(choices[r.IntN(len(choices))])); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// The law is not kept by a store that leaves out a sync: the tests above would
// see it.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		name   string
		mutant mutant
		story  string
	}{
		{"no file is synced", mutant{noFileSync: true}, "commit"},
		{"no directory is synced", mutant{noDirSync: "*"}, "commit"},
		{"new is not synced", mutant{noDirSync: "new"}, "commit"},
		{"the parents are not synced", mutant{noDirSync: "alice"}, "first delivery"},
		{"the journal is not written", mutant{noRecord: true}, "commit"},
		{"the journal is not synced", mutant{noDataSync: true}, "many commits"},
		{"the uids file is not synced", mutant{noSync: uidsName}, "keys and imports"},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range stories {
				if c.name != m.story {
					continue
				}
				wrap := func(d fsx.Dir) fsx.Dir { return &mutantDir{d, "", &m.mutant} }
				if c.find(t, wrap, faultfs.Config{Max: 12}) == nil {
					t.Error("no test has seen it")
				}
			}
		})
	}
}

// seen moves alice's new messages to cur, as another program does.
func seen(root fsx.Dir) error {
	at := func(names ...string) fsx.Dir {
		d := root
		for _, name := range names {
			if d == nil {
				return nil
			}
			d, _ = d.Dir(name)
		}
		return d
	}
	from, to := at("mail", "example.org", "alice", "new"), at("mail", "example.org", "alice", "cur")
	if from == nil || to == nil {
		return errors.New("no Maildir of alice")
	}
	var names []string
	for name, err := range from.Names() {
		if err != nil {
			return err
		}
		names = append(names, strings.Clone(name))
	}
	for _, name := range names {
		if err := from.Move(name, to, name+":2,S"); err != nil {
			return err
		}
	}
	return nil
}
