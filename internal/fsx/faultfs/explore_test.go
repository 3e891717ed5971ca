package faultfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// spool is a small store of messages: tmp/ and new/ as in a Maildir, and an
// intent file for removals. Each flag leaves out one thing that a store must do.
type spool struct {
	noParentSync, noFileSync, noDirSync, syncOldDir bool // when delivering
	retrySync, inPlace                              bool
	renameUnsynced                                  bool // when writing the intent
	retireEarly                                     bool // when recovering

	acked   map[string]string // delivered
	removed map[string]bool   // promised to be gone
}

func (p *spool) dirs(root fsx.Dir) (tmp, dst fsx.Dir, err error) {
	open := func(name string) (fsx.Dir, error) {
		if p.noParentSync {
			root.Mkdir(name, 0o700)
			return root.Dir(name)
		}
		return fsx.MakeDirs(root, 0o700, name)
	}
	if tmp, err = open("tmp"); err != nil {
		return nil, nil, err
	}
	dst, err = open("new")
	return tmp, dst, err
}

func (p *spool) deliver(root fsx.Dir, name, data string) error {
	tmp, dst, err := p.dirs(root)
	if err != nil {
		return err
	}
	at := tmp
	if p.inPlace {
		at = dst
	}
	f, err := at.Create(name, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte(data)); err != nil {
		return err
	}
	if err := p.sync(f); err != nil {
		return err
	}
	if !p.inPlace {
		if err := tmp.Move(name, dst, name); err != nil {
			return err
		}
	}
	switch {
	case p.syncOldDir:
		err = tmp.Sync()
	case !p.noDirSync:
		err = dst.Sync()
	}
	if err == nil {
		p.acked[name] = data
	}
	return err
}

func (p *spool) sync(f fsx.File) error {
	if p.noFileSync {
		return nil
	}
	err := f.Sync()
	if err != nil && p.retrySync {
		err = f.Sync()
	}
	return err
}

// remove promises that names are gone once the intent is durable.
func (p *spool) remove(root fsx.Dir, names ...string) error {
	text := []byte(strings.Join(names, " ") + ".")
	var err error
	if p.renameUnsynced {
		err = errors.Join(write(root, "tmpintent", string(text)), root.Replace("tmpintent", "intent"), root.Sync())
	} else {
		err = fsx.WriteFile(root, "intent", text, 0o600)
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		p.removed[name] = true
	}
	return p.replay(root)
}

// replay finishes what the intent says.
func (p *spool) replay(root fsx.Dir) error {
	text, err := read(root, "intent")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !strings.HasSuffix(text, ".") {
		return errors.Join(err, errors.New("intent damaged"))
	}
	_, dst, err := p.dirs(root)
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(strings.TrimSuffix(text, ".")) {
		if err := dst.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if p.retireEarly {
		return errors.Join(root.Remove("intent"), root.Sync(), dst.Sync())
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	return root.Remove("intent")
}

// run delivers and removes.
func (p *spool) run(s *faultfs.FS) {
	p.acked, p.removed = map[string]string{}, map[string]bool{}
	root := s.Root()
	for i := range 3 {
		p.deliver(root, fmt.Sprint("m", i), strings.Repeat(fmt.Sprint(i), 700*i+2))
	}
	p.remove(root, "m0", "m2")
	p.deliver(root, "m3", "three")
}

// check finds what breaks the law: what was delivered is there, whole; nothing
// is there in part; what was removed is gone.
func (p *spool) check(s *faultfs.FS) error {
	root := s.Root()
	if err := p.replay(root); err != nil {
		return err
	}
	dst, err := root.Dir("new")
	if err != nil {
		if len(p.acked) > 0 {
			return fmt.Errorf("all lost: %w", err)
		}
		return nil
	}
	for i := range 4 {
		name := fmt.Sprint("m", i)
		want, acked := p.acked[name]
		got, err := read(dst, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if acked && i != 0 && i != 2 {
				return fmt.Errorf("%s lost", name)
			}
		case err != nil:
			return err
		case p.removed[name]:
			return fmt.Errorf("%s came back", name)
		case acked && got != want, len(got) != 5 && len(got) != 700*i+2:
			return fmt.Errorf("%s damaged", name)
		}
	}
	return nil
}

func (p *spool) config() faultfs.Config {
	return faultfs.Config{
		Depth:   2,
		Recover: func(s *faultfs.FS) { p.replay(s.Root()) },
	}
}

// The store that leaves nothing out passes, also when a sync fails on the way.
func TestExplorePasses(t *testing.T) {
	t.Parallel()
	p := &spool{}
	faultfs.Explore(t, p.config(), p.run, p.check)
	c := p.config()
	c.New = syncFails
	faultfs.Explore(t, c, p.run, p.check)
}

// syncFails makes a file system where the second sync of a file fails.
func syncFails() *faultfs.FS {
	s := faultfs.New()
	syncs := 0
	s.FailWhen(func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync {
			if syncs++; syncs == 2 {
				return syscall.EIO
			}
		}
		return nil
	})
	return s
}

// Each thing left out is found, and the message says where and how.
func TestExploreFinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		p      spool
		change func(*faultfs.Config)
		want   []string
	}{
		{"no sync of the parent", spool{noParentSync: true}, nil, []string{"lost", "mkdir new"}},
		{"no sync of the file", spool{noFileSync: true}, nil, []string{"damaged", "write tmp/m0 +2"}},
		{"no sync of the directory", spool{noDirSync: true}, nil, []string{"lost"}},
		{"sync of the wrong directory", spool{syncOldDir: true}, nil, []string{"lost", "syncdir tmp"}},
		{"written in place", spool{inPlace: true}, nil, []string{"damaged", "create new/m0"}},
		{"sync tried again", spool{retrySync: true}, func(c *faultfs.Config) { c.New = syncFails }, []string{"damaged"}},
		{"rename before sync", spool{renameUnsynced: true}, nil, []string{"intent damaged", "replace tmpintent -> intent"}},
		{"intent retired early", spool{retireEarly: true}, nil, []string{"came back"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := c.p.config()
			if c.change != nil {
				c.change(&config)
			}
			err := faultfs.Find(config, c.p.run, c.p.check)
			if err == nil {
				t.Fatal("not found")
			}
			for _, want := range append(c.want, "crash at operation", "leaving", "the operations before:") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("nothing about %q in the message:\n%v", want, err)
				}
			}
		})
	}
}

// What only a crash in the recovery brings out is found with Depth alone.
func TestExploreDepth(t *testing.T) {
	t.Parallel()
	run := func(p *spool) func(*faultfs.FS) {
		return func(s *faultfs.FS) {
			early := p.retireEarly
			p.retireEarly = false // it is the restart that is at fault
			p.run(s)
			p.retireEarly = early
		}
	}
	for depth, found := range []bool{false, true} {
		p := &spool{retireEarly: true}
		c := p.config()
		c.Depth = depth
		err := faultfs.Find(c, run(p), p.check)
		if (err != nil) != found {
			t.Errorf("depth %d: %v", depth, err)
		}
		if found && strings.Count(err.Error(), "crash at operation") != 2 {
			t.Errorf("the message does not tell of both crashes:\n%v", err)
		}
	}
}

func TestExplorePoints(t *testing.T) {
	t.Parallel()
	for _, points := range []int{0, 3} {
		p := &spool{}
		c := faultfs.Config{Points: points}
		runs := 0
		err := faultfs.Find(c, func(s *faultfs.FS) { runs++; p.run(s) }, p.check)
		if err != nil {
			t.Fatal(err)
		}
		want := 1 + points + 1 // the first, the chosen ones, to the end
		if points > 0 && runs != want || points == 0 && runs < 30 {
			t.Errorf("%d points: run %d times", points, runs)
		}
	}
}
