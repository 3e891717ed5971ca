package mbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// letter is the n-th message of a test; they are of several sectors, so that a
// crash can tear them.
func letter(n int) string {
	return fmt.Sprintf("Subject: letter %d\r\n\r\n%s", n, strings.Repeat(fmt.Sprintf("line of %d\r\n", n), 20+70*(n%2)))
}

func stored(n int) string {
	return fromLine + strings.ReplaceAll(letter(n), "\r\n", "\n") + "\n"
}

func foreign(n int) string { return fmt.Sprintf("From ann@example.net\n\nforeign %d.\n\n", n) }

const letters = 4

// story is what happens to an mbox file before the crash, and after it.
type story struct {
	tried, acked int // letters
	others       int // messages of another program
	mutate       func(faultfs.Op) error
}

// tell stores the letters until something fails. Another program stores
// messages of its own whenever it may, if busy says so.
func (x *story) tell(f *faultfs.FS, busy bool) {
	if x.mutate != nil {
		f.FailWhen(x.mutate)
	}
	if busy {
		f.Before(func(op faultfs.Op) {
			if op.N%4 == 0 {
				x.other(f, true)
			}
		})
	}
	s, err := Open(f.Root(), "inbox")
	for n := 0; n < letters && err == nil; n++ {
		x.tried = n + 1
		m := sink.Message{Key: fmt.Sprint("k", n), Time: at}
		if err = s.Put(context.Background(), m, strings.NewReader(letter(n))); err == nil {
			x.acked = n + 1
		}
	}
	if s != nil {
		s.Close()
	}
}

// other stores a message as another program does, which heeds the lock file or
// comes after a restart of the system.
func (x *story) other(f *faultfs.FS, heeds bool) {
	d := f.Foreign()
	if _, err := d.Stat("inbox.lock"); err == nil && heeds {
		return
	}
	file, err := d.OpenAppend("inbox", 0o600)
	if err != nil {
		return // the crash
	}
	defer file.Close()
	if _, err := file.Write([]byte(foreign(x.others))); err != nil {
		return
	}
	if errors.Join(file.Sync(), d.Sync()) == nil {
		x.others++
	}
}

// judge checks the law, at first as it is and then with all letters once more:
// all messages of the other program are there, and the letters that were
// acknowledged, whole and once. Only where scraps says so something else is.
func (x *story) judge(f *faultfs.FS, scraps bool) error {
	for round, acked := range []int{x.acked, letters, letters} {
		s, err := Open(f.Root(), "inbox")
		if err != nil {
			return err
		}
		for n := 0; round == 1 && n < letters; n++ {
			m := sink.Message{Key: fmt.Sprint("k", n), Time: at}
			if err := s.Put(context.Background(), m, strings.NewReader(letter(n))); err != nil {
				return err
			}
		}
		s.Close()
		text, err := readFile(f.Foreign(), "inbox")
		if err != nil {
			return err
		}
		tried := x.tried
		if round > 0 {
			tried = letters
		}
		if err := x.check(text, acked, tried, scraps); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if _, err := f.Foreign().Stat("inbox.lock"); err == nil {
			return errors.New("the lock file is left")
		}
	}
	return nil
}

func (x *story) check(text string, acked, tried int, scraps bool) error {
	rest := text
	for n := range letters {
		count := strings.Count(text, stored(n))
		if count > 1 || count == 0 && n < acked || count > 0 && n >= tried {
			return fmt.Errorf("letter %d is there %d times", n, count)
		}
		rest = strings.Replace(rest, stored(n), "", 1)
	}
	for n := range x.others {
		if count := strings.Count(text, foreign(n)); count != 1 {
			return fmt.Errorf("message %d of another program is there %d times", n, count)
		}
		rest = strings.Replace(rest, foreign(n), "", 1)
	}
	// The message of another program that the crash cut off is its affair.
	rest = strings.TrimPrefix(rest, foreign(x.others))
	if rest != "" && !scraps {
		return fmt.Errorf("what nobody has written is there: %q", rest)
	}
	return nil
}

func find(x *story, cfg faultfs.Config, busy bool) error {
	mutate := x.mutate
	cfg.Recover = func(f *faultfs.FS) {
		if s, err := Open(f.Root(), "inbox"); err == nil {
			s.Close()
		}
	}
	return faultfs.Find(cfg, func(f *faultfs.FS) {
		*x = story{mutate: mutate}
		x.tell(f, busy)
	}, func(f *faultfs.FS) error { return x.judge(f, false) })
}

// Whatever crashes: what was acknowledged is there once, what was not is there
// whole or not at all, and what others wrote meanwhile stays.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%t", busy), func(t *testing.T) {
			t.Parallel()
			if err := find(new(story), faultfs.Config{Depth: 1, Max: 8}, busy); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// After a crash another program writes before we look. What was half written
// stays in front of it then; nothing else is lost or doubled.
func TestCrashThenForeign(t *testing.T) {
	t.Parallel()
	x := new(story)
	err := faultfs.Find(faultfs.Config{Max: 16}, func(f *faultfs.FS) {
		*x = story{}
		x.tell(f, false)
	}, func(f *faultfs.FS) error {
		x.others = 0
		x.other(f, false)
		return x.judge(f, true)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The law is not kept without the syncs: the tests above would see it.
func TestMutants(t *testing.T) {
	t.Parallel()
	skip := func(kind faultfs.Kind, path string) func(faultfs.Op) error {
		return func(op faultfs.Op) error {
			if op.Kind == kind && op.Path == path {
				return faultfs.ErrSkip
			}
			return nil
		}
	}
	for name, mutate := range map[string]func(faultfs.Op) error{
		"the file":      skip(faultfs.Sync, "inbox"),
		"the keys":      skip(faultfs.Sync, "inbox.postwain-keys"),
		"what is to be": skip(faultfs.Sync, "inbox.postwain-new"),
		"the directory": skip(faultfs.SyncDir, "."),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if find(&story{mutate: mutate}, faultfs.Config{Max: 24}, false) == nil {
				t.Error("no test has seen that it is not synced")
			}
		})
	}
}

// An error of any one operation loses and doubles nothing, and does not outlast
// itself.
func TestErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	noSpace := fsx.PathError("write", "x", syscall.ENOSPC)
	for _, cause := range []error{syscall.EIO, noSpace, faultfs.Partial{N: 3, Err: noSpace}, faultfs.Partial{N: 600, Err: noSpace}} {
		t.Run(fmt.Sprintf("%#v", cause), func(t *testing.T) {
			t.Parallel()
			for n, last := 1, 1; n <= last; n++ {
				f := faultfs.New()
				f.FailAt(n, cause)
				x := &story{tried: letters, acked: letters}
				s, err := Open(f.Root(), "inbox")
				if err != nil {
					if s, err = Open(f.Root(), "inbox"); err != nil {
						t.Fatalf("after an error in operation %d: %v", n, err)
					}
				}
				for k := range letters {
					for try := 0; ; try++ {
						before, _ := readFile(f.Foreign(), "inbox")
						err := s.Put(t.Context(), sink.Message{Key: fmt.Sprint("k", k), Time: at}, strings.NewReader(letter(k)))
						if err == nil {
							break
						}
						after, _ := readFile(f.Foreign(), "inbox")
						if after != before && !errors.Is(err, sink.ErrUnknownOutcome) {
							t.Fatalf("operation %d (%v): after %v the file has changed", n, f.Ops()[n-1], err)
						}
						if try == 2 {
							t.Fatalf("operation %d (%v) outlasts itself: %v", n, f.Ops()[n-1], err)
						}
					}
				}
				s.Close()
				if n == 1 {
					last = len(f.Ops())
				}
				for _, choice := range []faultfs.Choice{faultfs.None(), faultfs.All()} {
					if err := x.judge(f.Crash(choice), false); err != nil {
						t.Fatalf("operation %d (%v), then %v: %v", n, f.Ops()[n-1], choice, err)
					}
				}
			}
		})
	}
}

// What was found after a kill is made durable before it is believed: a power cut
// at any time after the next start takes nothing.
func TestKilled(t *testing.T) {
	t.Parallel()
	uncut := faultfs.New()
	new(story).tell(uncut, false)
	for n, op := range uncut.Ops() {
		if op.Kind != faultfs.Sync && op.Kind != faultfs.SyncDir {
			continue
		}
		for more := 1; ; more++ {
			f, x := killed(n + 1)
			last := len(f.Ops()) + more
			f.CrashAt(last)
			acked := x.acked
			x.tell(f, false)
			x.tried, x.acked = max(x.tried, acked), max(x.acked, acked)
			if err := x.judge(f.Crash(faultfs.None()), false); err != nil {
				t.Fatalf("killed at operation %d, power cut %d later: %v", n+1, more, err)
			}
			if len(f.Ops()) < last {
				break
			}
		}
	}
}

// killed is the story up to a kill at operation n, on a system that lives on.
func killed(n int) (*faultfs.FS, *story) {
	f, x := faultfs.New(), new(story)
	dead, over := false, false
	f.FailWhen(func(op faultfs.Op) error {
		dead = dead || op.N == n
		switch {
		case !dead, over, op.Kind == faultfs.Close:
			return nil
		case op.Kind == faultfs.Sync, op.Kind == faultfs.SyncDir:
			return faultfs.ErrSkip // one that failed would lose what it is to bring
		}
		return errors.New("killed")
	})
	x.tell(f, false)
	over = true
	return f, x
}
