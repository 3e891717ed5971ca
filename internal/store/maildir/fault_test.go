package maildir

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// persistent is a workload that goes on after each error.
func persistent(l *maildroptest.Ledger, s *Store) {
	ctx := context.Background()
	for n := range 5 {
		in := maildrop.Incoming{}
		if n == 3 {
			in.UID = "imported"
		}
		l.Deliverer(s).Deliver(ctx, alice, in, strings.NewReader(letter(n)))
		if b, err := l.Store(s).Open(ctx, alice); err == nil {
			b.Close() // the ledger has read what is new, unless that failed
		}
		if b, err := l.Store(s).Open(ctx, alice); err == nil {
			if k := len(b.Messages()); k > 1 && n%2 == 0 {
				b.Commit(ctx, []int{k - 1})
			}
			b.Close()
		}
	}
}

// An error of any one operation loses nothing, doubles nothing, brings nothing
// back, and does not outlast itself (faults 9, 10, 11, 12).
func TestErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	noSpace := fsx.PathError("write", "x", syscall.ENOSPC)
	for _, cause := range []error{syscall.EIO, noSpace, syscall.EDQUOT, faultfs.Partial{N: 3, Err: noSpace}, syscall.EMFILE} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			f := emptyDisk(t)()
			s, err := disk{f.Root()}.open()
			if err != nil {
				t.Fatal(err)
			}
			first := len(f.Ops())
			persistent(new(maildroptest.Ledger), s)
			last := len(f.Ops())
			for n := first + 1; n <= last; n++ {
				f := emptyDisk(t)()
				s, err := disk{f.Root()}.open()
				if err != nil {
					t.Fatal(err)
				}
				f.FailAt(n, cause)
				x := new(story)
				persistent(&x.Ledger, s)
				if err := x.Clone().Check(t.Context(), s); err != nil {
					t.Fatalf("after an error in operation %d (%v): %v", n, f.Ops()[n-1], err)
				}
				s.Close()
				if err := x.judge(f.Crash(faultfs.None())); err != nil {
					t.Fatalf("after an error in operation %d (%v) and a crash: %v", n, f.Ops()[n-1], err)
				}
			}
		})
	}
}

// On a full disk a delivery says so and leaves nothing, and mail can be read
// and removed (faults 10, 11).
func TestFullDisk(t *testing.T) {
	t.Parallel()
	f := emptyDisk(t)()
	s := disk{f.Root()}.mustOpen(t)
	for n := range 4 {
		if err := s.Deliver(t.Context(), alice, maildrop.Incoming{}, strings.NewReader(letter(n))); err != nil {
			t.Fatal(err)
		}
	}
	mustBox(t, s).Close()
	for _, full := range []string{"octets", "inodes"} {
		if octets, inodes := f.Used(); full == "octets" {
			f.SetCapacity(octets, 0)
		} else {
			f.SetCapacity(0, inodes)
		}
		if err := s.Deliver(t.Context(), alice, maildrop.Incoming{}, strings.NewReader(letter(9))); !errors.Is(err, maildrop.ErrFull) {
			t.Errorf("a delivery to a disk without free %s gives %v", full, err)
		}
		b := mustBox(t, s)
		if _, err := get(t, b, 0); err != nil {
			t.Error(err)
		}
		if err := b.Commit(t.Context(), []int{0}); err != nil {
			t.Errorf("a commit on a full disk gives %v", err)
		}
		b.Close()
	}
	left := mustBox(t, disk{f.Crash(faultfs.None()).Root()}.mustOpen(t))
	if n := len(left.Messages()); n != 2 {
		t.Errorf("%d messages are left, not 2", n)
	}
}

// A commit that is too big for the journal is refused on a full disk before
// anything is removed.
func TestFullDiskBigCommit(t *testing.T) {
	t.Parallel()
	f := emptyDisk(t)()
	s := disk{f.Root()}.mustOpen(t, func(o *Options) { o.JournalHalf = 2 * blockSize })
	all := make([]int, 100)
	for n := range all {
		all[n] = n
		if err := s.Deliver(t.Context(), alice, maildrop.Incoming{}, strings.NewReader(letter(n))); err != nil {
			t.Fatal(err)
		}
	}
	b := mustBox(t, s)
	octets, _ := f.Used()
	f.SetCapacity(octets, 0)
	if err := b.Commit(t.Context(), all); !errors.Is(err, maildrop.ErrFull) {
		t.Fatalf("Commit: %v", err)
	}
	b.Close()
	if b = mustBox(t, s); len(b.Messages()) != len(all) {
		t.Fatalf("%d messages are left", len(b.Messages()))
	}
	f.SetCapacity(0, 0)
	if err := b.Commit(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if b = mustBox(t, s); len(b.Messages()) != 0 {
		t.Fatalf("%d messages are left", len(b.Messages()))
	}
}

// What cannot be removed is gone all the same: no listing shows it, and it is
// removed as soon as that is possible, in this process or the next (fault 15).
func TestCommitOnReadOnlyMail(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"same process", "restart", "crash"} {
		f := emptyDisk(t)()
		s := disk{f.Root()}.mustOpen(t)
		for n := range 3 {
			if err := s.Deliver(t.Context(), alice, maildrop.Incoming{}, strings.NewReader(letter(n))); err != nil {
				t.Fatal(err)
			}
		}
		b := mustBox(t, s)
		readOnly := true
		f.FailWhen(func(op faultfs.Op) error {
			if readOnly && op.Kind == faultfs.Remove && strings.HasPrefix(op.Path, "mail/") {
				return syscall.EROFS
			}
			return nil
		})
		if err := b.Commit(t.Context(), []int{0, 1}); err != nil {
			t.Fatal(err)
		}
		b.Close()
		b = mustBox(t, s)
		if n := len(b.Messages()); n != 1 {
			t.Errorf("%d messages are shown, not 1", n)
		}
		b.Close()
		switch again {
		case "restart":
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = disk{f.Root()}.mustOpen(t)
			b := mustBox(t, s)
			if n := len(b.Messages()); n != 1 {
				t.Errorf("after a restart %d messages are shown, not 1", n)
			}
			b.Close()
			readOnly = false
		case "crash":
			f = f.Crash(faultfs.None())
			s = disk{f.Root()}.mustOpen(t)
		}
		readOnly = false
		mustBox(t, s).Close()
		n := 0
		for range dig(t, f.Foreign(), "mail", "example.org", "alice", "new").Names() {
			n++
		}
		if n != 1 {
			t.Errorf("%s: %d files are left, not 1", again, n)
		}
	}
}

// A sync of the journal that fails makes its QUIT fail, and the next starts
// with a journal that can be trusted (fault 9).
func TestJournalSyncFails(t *testing.T) {
	t.Parallel()
	f := emptyDisk(t)()
	x := new(story)
	s := disk{f.Root()}.mustOpen(t)
	x.store = s
	for n := range 4 {
		x.deliver(alice, maildrop.Incoming{}, n)
	}
	once := true
	f.FailWhen(func(op faultfs.Op) error {
		if once && op.Kind == faultfs.SyncData {
			once = false
			return syscall.EIO
		}
		return nil
	})
	b, err := x.Store(s).Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(t.Context(), []int{0}); err == nil {
		t.Fatal("the commit succeeds")
	}
	b.Close()
	for g := range f.Crashes(50, 1) { // the client was told that nothing is removed
		if b := mustBox(t, disk{g.Root()}.mustOpen(t)); len(b.Messages()) != 4 {
			t.Fatalf("after a crash %d messages are left", len(b.Messages()))
		}
	}
	if b = mustBox(t, s); len(b.Messages()) != 4 {
		t.Fatalf("%d messages are left", len(b.Messages()))
	}
	b.Close()
	x.quit(alice, 1)
	if x.err != nil {
		t.Fatal(x.err)
	}
	for g := range f.Crashes(50, 1) {
		if err := x.judge(g); err != nil {
			t.Fatal(err)
		}
	}
}

// The journal's room is reclaimed under constant load, by many at a time, with
// deliveries beside.
func TestJournalUnderLoad(t *testing.T) {
	t.Parallel()
	f := emptyDisk(t)()
	s := disk{f.Root()}.mustOpen(t)
	x := new(story)
	done := make(chan error)
	for k := range 8 {
		account := fmt.Sprintf("user%d@example.org", k)
		go func() {
			done <- func() error {
				for n := range 40 {
					err := x.Deliverer(s).Deliver(context.Background(), account, maildrop.Incoming{}, strings.NewReader(letter(100*k+n)))
					if err != nil {
						return err
					}
					b, err := x.Store(s).Open(context.Background(), account)
					if err != nil {
						return err
					}
					if n%3 == 0 {
						err = b.Commit(context.Background(), []int{0})
					}
					if err = errors.Join(err, b.Close()); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	info, err := dig(t, f.Foreign(), "state").Stat(journalName)
	if err != nil || info.Size != 2*4*blockSize {
		t.Errorf("the journal has %d octets, %v", info.Size, err)
	}
	for g := range f.Crashes(20, 1) {
		if err := x.judge(g); err != nil {
			t.Fatal(err)
		}
	}
}

// Deliveries and a commit at the same time, crashed anywhere.
func TestCrashConcurrent(t *testing.T) {
	t.Parallel()
	var x *story
	faultfs.Explore(t, faultfs.Config{New: emptyDisk(t), Recover: restart, Max: 6}, func(f *faultfs.FS) {
		x = new(story)
		x.start(f)
		x.deliver(alice, maildrop.Incoming{}, 1)
		x.deliver(alice, maildrop.Incoming{}, 2)
		if x.err != nil {
			return
		}
		done := make(chan bool)
		go func() {
			for n := range 3 {
				x.Deliverer(x.store).Deliver(context.Background(), alice, maildrop.Incoming{}, strings.NewReader(letter(10+n)))
			}
			done <- true
		}()
		if b, err := x.Store(x.store).Open(context.Background(), alice); err == nil {
			b.Commit(context.Background(), []int{1})
			b.Close()
		}
		<-done
		x.stop()
	}, func(f *faultfs.FS) error { return x.judge(f) })
}

// A sync of the uids file that fails makes its import fail, and no line is put
// behind what may not be on the disk (fault 9).
func TestUIDsSyncFails(t *testing.T) {
	t.Parallel()
	f := emptyDisk(t)()
	x := new(story)
	s := disk{f.Root()}.mustOpen(t)
	x.store = s
	x.deliver(alice, maildrop.Incoming{UID: "first"}, 1)
	fail := true
	f.FailWhen(func(op faultfs.Op) error {
		if fail && op.Kind == faultfs.Sync && strings.HasSuffix(op.Path, uidsName) {
			fail = false
			return syscall.EIO
		}
		return nil
	})
	err := x.Deliverer(s).Deliver(t.Context(), alice, maildrop.Incoming{UID: "second"}, strings.NewReader(letter(2)))
	if err == nil || fail {
		t.Fatalf("the import gives %v", err)
	}
	x.deliver(alice, maildrop.Incoming{UID: "second"}, 3)
	x.deliver(alice, maildrop.Incoming{UID: "third"}, 4)
	if x.err != nil {
		t.Fatal(x.err)
	}
	for g := range f.Crashes(50, 1) {
		if err := x.judge(g); err != nil {
			t.Fatal(err)
		}
	}
}
