package fsx_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// At whatever operation WriteFile is cut, a reader finds the old contents or
// the new, and the new once it has returned; the next one works and cleans up.
func TestWriteFileCrash(t *testing.T) {
	t.Parallel()
	texts := []string{"", strings.Repeat("first ", 300), "second"}
	var done int // how many of the texts were acknowledged
	run := func(s *faultfs.FS) {
		done = 0
		for i, text := range texts {
			if err := fsx.WriteFile(s.Root(), "f", []byte(text), 0o600); err != nil {
				return
			}
			done = i + 1
		}
	}
	check := func(s *faultfs.FS) error {
		got, err := contents(s.Root(), "f")
		if errors.Is(err, fs.ErrNotExist) && done == 0 {
			return next(s)
		}
		if err != nil {
			return err
		}
		for i, text := range texts {
			if got == text && i >= done-1 && i <= done {
				return next(s)
			}
		}
		return fmt.Errorf("holds %d octets after %d writes", len(got), done)
	}
	c := faultfs.Config{Max: 40, Depth: 3, Recover: func(s *faultfs.FS) {
		if text, err := contents(s.Root(), "f"); err == nil {
			fsx.WriteFile(s.Root(), "f", []byte(text), 0o600) // the same again
		}
	}}
	faultfs.Explore(t, c, run, check)
	everySyncCounts(t, c, run, check)
}

// everySyncCounts shows that a crash is noticed when run leaves out all syncs
// of files, or all of directories.
func everySyncCounts(t *testing.T, c faultfs.Config, run func(*faultfs.FS), check func(*faultfs.FS) error) {
	t.Helper()
	used := faultfs.New()
	run(used)
	kinds := map[faultfs.Kind]bool{}
	for _, op := range used.Ops() {
		switch op.Kind {
		case faultfs.Sync, faultfs.SyncData, faultfs.SyncDir:
			kinds[op.Kind] = true
		}
	}
	for kind := range kinds {
		c.New = func() *faultfs.FS {
			s := faultfs.New()
			s.FailWhen(func(op faultfs.Op) error {
				if op.Kind == kind {
					return faultfs.ErrSkip
				}
				return nil
			})
			return s
		}
		if faultfs.Find(c, run, check) == nil {
			t.Errorf("nobody notices that %s is left out", kind)
		}
	}
	if len(kinds) == 0 {
		t.Error("there is no sync")
	}
}

// next makes sure that another WriteFile works and leaves nothing beside it.
func next(s *faultfs.FS) error {
	if err := fsx.WriteFile(s.Root(), "f", []byte("next"), 0o600); err != nil {
		return err
	}
	if got, err := contents(s.Root(), "f"); got != "next" || err != nil {
		return fmt.Errorf("afterwards %q, %w", got, err)
	}
	for name := range s.Root().Names() {
		if name != "f" {
			return fmt.Errorf("%s was left", name)
		}
	}
	return nil
}

// Whatever operation of WriteFile fails, the old contents stay or the new are
// there, an error says so, and the next call works.
func TestWriteFileError(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		s := faultfs.New()
		if err := fsx.WriteFile(s.Root(), "f", []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		failing := len(s.Ops()) + n
		s.FailAt(failing, syscall.ENOSPC)
		err := fsx.WriteFile(s.Root(), "f", []byte("new"), 0o600)
		if len(s.Ops()) < failing { // it has no such operation
			if n < 6 {
				t.Errorf("only %d operations", n)
			}
			return
		}
		got, rerr := contents(s.Root(), "f")
		if rerr != nil || got != "old" && got != "new" || err == nil && got != "new" {
			t.Errorf("operation %d: %v, holds %q, %v", n, err, got, rerr)
		}
		if op := s.Ops()[failing-1]; err == nil && op.Kind != faultfs.Close {
			t.Errorf("no error although this failed: %v", op)
		}
		if err := next(s); err != nil {
			t.Errorf("operation %d: %v", n, err)
		}
	}
}

// A directory that MakeDirs has returned is there after any crash, and a
// restart can always go on.
func TestMakeDirsCrash(t *testing.T) {
	t.Parallel()
	made := false
	run := func(s *faultfs.FS) {
		_, err := fsx.MakeDirs(s.Root(), 0o700, "a", "b", "c")
		made = err == nil
	}
	check := func(s *faultfs.FS) error {
		if made {
			d := s.Root()
			for _, name := range []string{"a", "b", "c"} {
				sub, err := d.Dir(name)
				if err != nil {
					return err
				}
				d = sub
			}
		}
		_, err := fsx.MakeDirs(s.Root(), 0o700, "a", "b", "c")
		return err
	}
	c := faultfs.Config{Max: 60}
	faultfs.Explore(t, c, run, check)
	everySyncCounts(t, c, run, check)
}

// The same when somebody else has made the directories and synced nothing.
func TestMakeDirsFound(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	d := s.Foreign()
	for _, name := range []string{"a", "b"} {
		if err := d.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		sub, err := d.Dir(name)
		if err != nil {
			t.Fatal(err)
		}
		d = sub
	}
	if _, err := fsx.MakeDirs(s.Root(), 0o700, "a", "b"); err != nil {
		t.Fatal(err)
	}
	a, err := s.Crash(faultfs.None()).Root().Dir("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Dir("b"); err != nil {
		t.Error(err)
	}
}

func TestMakeDirsTogether(t *testing.T) {
	t.Parallel()
	root, err := fsx.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d, err := fsx.MakeDirs(root, 0o700, "a", "b", "c")
			if err != nil {
				t.Error(err)
				return
			}
			f, err := d.Create(fmt.Sprint(i), 0o600)
			if err != nil {
				t.Error(err)
				return
			}
			f.Close()
			d.Close()
		})
	}
	wg.Wait()
}

func contents(d fsx.Dir, name string) (string, error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	return string(data), err
}
