package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

// A poll of a maildrop that has not changed reads no directory and makes few
// calls, in a server that has been running and in one that was restarted; and
// no change is overlooked, however soon it comes (fault 30).
func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := faultfs.New()
		d := memDisk(t, f)
		for n := range 2 * small {
			d.plant(t, "new", fmt.Sprintf("17%08d.M1P1.mx,S=2,W=3", n), "x\n")
		}
		s := d.mustOpen(t)
		poll := func(want int, reads bool) {
			t.Helper()
			before := len(f.Ops())
			b := mustBox(t, s)
			if len(b.Messages()) != want {
				t.Errorf("%d messages, not %d", len(b.Messages()), want)
			}
			b.Close()
			ops := f.Ops()[before:]
			if got := slices.ContainsFunc(ops, func(op faultfs.Op) bool { return op.Kind == faultfs.ReadDir }); got != reads {
				t.Errorf("directories are read: %t, not %t", got, reads)
			}
			if !reads && len(ops) > 15 {
				t.Errorf("%d operations: %v", len(ops), ops)
			}
		}
		n := 2 * small
		poll(n, true) // just changed: this cannot be told from a change to come
		poll(n, true)
		d.plant(t, "new", "1800000000.soon,S=2,W=3", "x\n")
		n++
		poll(n, true)
		time.Sleep(rest)
		poll(n, true)
		poll(n, false)
		time.Sleep(2 * sweepEvery)
		poll(n, true) // tmp, for leftovers
		poll(n, false)
		s.Close()
		s = d.mustOpen(t)
		mustBox(t, s).Close()
		poll(n, false)
		for k := range 5 {
			d.plant(t, "cur", fmt.Sprintf("190000000%d.soon,S=2,W=3:2,", k), "x\n")
			n++
			poll(n, true)
		}
		time.Sleep(rest)
		poll(n, true)
		poll(n, false)
	})
}

// Directories with times in the future are never at rest (faults 30, 45).
func TestRest(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		age   time.Duration
		quiet bool
	}{{0, false}, {rest - 1, false}, {rest, true}, {240 * time.Hour, true}, {-time.Nanosecond, false}, {-87600 * time.Hour, false}} {
		at := now.Add(-c.age).UnixNano()
		long := now.Add(-time.Hour).UnixNano()
		for _, x := range []stamp{{new: times{1, at, long}}, {new: times{1, long, at}}, {cur: times{1, at, long}}, {times{1, long, long}, times{1, at, at}}} {
			if x.quiet(now) != c.quiet {
				t.Errorf("changed %v ago: quiet is %t", c.age, !c.quiet)
			}
		}
	}
}

// Sizes of messages that others delivered are counted once, not at each login.
func TestCountedOnce(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	counted := 0
	count := func(o *Options) { o.counted = func() { counted++ } }
	d.plant(t, "new", "1700000001.a", "1\n")
	d.plant(t, "new", "1700000002.b,S=2", "2\n")
	d.plant(t, "new", "1700000003.c,S=2,W=3", "3\n")
	d.plant(t, "cur", "no time,W=3:2,", "4\n")
	for range 3 {
		s := d.mustOpen(t, count)
		for range 2 {
			b := mustBox(t, s)
			if got := sizesOf(b); !slices.Equal(got, []int64{3, 3, 3, 3}) {
				t.Errorf("the sizes are %d", got)
			}
			if got := b.Messages()[3]; got.Time.IsZero() {
				t.Errorf("%s has no time", got.UID)
			}
			b.Close()
		}
		s.Close()
	}
	if counted != 2 {
		t.Errorf("%d files were read, not 2", counted)
	}
}

// A Maildir that was restored from a backup, with other inodes and without our
// state, keeps its UIDs and its order (fault 21).
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	open := func(dir string) disk {
		for _, name := range []string{"mail", "state"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		root, err := fsx.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Close() })
		return disk{root}
	}
	s := open(from).mustOpen(t)
	for n, in := range []maildrop.Incoming{{}, {UID: "imported"}, {Key: "k"}, {}} {
		if err := s.Deliver(t.Context(), alice, in, strings.NewReader(letter(n))); err != nil {
			t.Fatal(err)
		}
	}
	b := mustBox(t, s)
	want := uidsOf(b)
	b.Close()
	if err := os.CopyFS(filepath.Join(to, "mail"), os.DirFS(filepath.Join(from, "mail"))); err != nil {
		t.Fatal(err)
	}
	restored := open(to).mustOpen(t)
	b = mustBox(t, restored)
	if got := uidsOf(b); !slices.Equal(got, want) {
		t.Errorf("the UIDs were %q and are %q", want, got)
	}
	if err := b.Commit(t.Context(), []int{0}); err != nil {
		t.Error(err)
	}
}

// The memory for each message is its Message, its name and little more (fault 36).
func TestEntrySize(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(entry{}); n > 24 {
		t.Errorf("an entry takes %d octets", n)
	}
}

// The Maildir is an ordinary one, for its owner alone (fault 121).
func TestModes(t *testing.T) {
	t.Parallel()
	d := osDisk(t)
	s := d.mustOpen(t)
	if err := s.Deliver(t.Context(), alice, maildrop.Incoming{UID: "x"}, strings.NewReader("a\r\nb")); err != nil {
		t.Fatal(err)
	}
	b := mustBox(t, s)
	home := d.mailbox(t, "")
	var names []string
	for name, err := range home.Names() {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		if info, err := home.Stat(name); err != nil || info.Mode.Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode, err)
		}
	}
	slices.Sort(names)
	if want := []string{"cur", "new", uidsName, lockName, "tmp"}; !slices.Equal(names, want) {
		t.Errorf("the Maildir holds %q, not %q", names, want)
	}
	if text, err := get(t, b, 0); text != "a\nb" || err != nil {
		t.Errorf("the message is stored as %q, %v", text, err)
	}
}
