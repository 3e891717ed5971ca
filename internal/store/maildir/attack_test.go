package maildir

import (
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

// Another program that moves by link and unlink has done the first half when a
// QUIT removes the message: it goes under both names (fault 24).
func TestLinkedDuringCommit(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	d := memDisk(t, f)
	d.plant(t, "new", "1700000001.a", "1\n")
	d.plant(t, "new", "1700000002.b", "2\n")
	s := d.mustOpen(t)
	b := mustBox(t, s)
	from, to := d.mailbox(t, "new"), d.mailbox(t, "cur")
	linked := false
	f.Before(func(op faultfs.Op) {
		if !linked && op.Kind == faultfs.SyncData { // the journal has its names
			linked = true
			if err := from.Link("1700000001.a", to, "1700000001.a:2,S"); err != nil {
				t.Error(err)
			}
		}
	})
	if err := b.Commit(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if got := uidsOf(mustBox(t, s)); !linked || strings.Join(got, " ") != "1700000002.b" {
		t.Errorf("%q are left, linked %v", got, linked)
	}
}

// Another program puts a message of its own under the name of one that a QUIT
// removes: it is not what the user has seen, and stays.
func TestReplacedDuringCommit(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	d := memDisk(t, f)
	d.plant(t, "new", "1700000001.a", "1\n")
	s := d.mustOpen(t)
	b := mustBox(t, s)
	d.plant(t, "tmp", "x", "another\n")
	from, to := d.mailbox(t, "tmp"), d.mailbox(t, "new")
	done := false
	f.Before(func(op faultfs.Op) {
		if !done && op.Kind == faultfs.SyncData {
			done = true
			to.Remove("1700000001.a")
			if err := from.Move("x", to, "1700000001.a"); err != nil {
				t.Error(err)
			}
		}
	})
	if err := b.Commit(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = mustBox(t, s)
	if len(b.Messages()) != 1 {
		t.Fatalf("%d messages are left", len(b.Messages()))
	}
	if text, _ := get(t, b, 0); text != "another\n" {
		t.Errorf("what is left is %q", text)
	}
}

// Mail on a disk that is mounted read-only can be read, by one session at a
// time, and what a QUIT removes is gone (fault 15).
func TestSessionOnReadOnlyMail(t *testing.T) {
	t.Parallel()
	f := emptyDisk(t)()
	s := disk{f.Root()}.mustOpen(t)
	for n := range 2 {
		if err := s.Deliver(t.Context(), alice, maildrop.Incoming{}, strings.NewReader(letter(n))); err != nil {
			t.Fatal(err)
		}
	}
	f.FailWhen(func(op faultfs.Op) error {
		if strings.HasPrefix(op.Path, "mail/") && op.Kind.Changes() && op.Kind != faultfs.SyncDir {
			return syscall.EROFS
		}
		return nil
	})
	b := mustBox(t, s)
	if text, err := get(t, b, 0); err != nil || text == "" {
		t.Errorf("the message is %q, %v", text, err)
	}
	if _, err := s.Open(t.Context(), alice); err == nil {
		t.Error("a second session opens it")
	}
	if err := b.Commit(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if n := len(mustBox(t, s).Messages()); n != 1 {
		t.Errorf("%d messages are shown, not 1", n)
	}
}

// Two messages have one name, as after a backup was copied in, and the one
// that a session means is removed by another program: the other one is neither
// read nor removed in its place.
func TestMovedAmongAlike(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "new", "1700000001.a", "one\n")
	d.plant(t, "cur", "1700000001.a:2,S", "two\n")
	s := d.mustOpen(t)
	b := mustBox(t, s)
	gone := -1
	for i := range b.Messages() {
		if text, _ := get(t, b, i); text == "two\n" {
			gone = i
		}
	}
	if len(b.Messages()) != 2 || gone < 0 {
		t.Fatalf("%d messages are listed", len(b.Messages()))
	}
	if err := d.mailbox(t, "cur").Remove("1700000001.a:2,S"); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Get(t.Context(), gone, -1); err == nil {
		r.Close()
		t.Error("another message is read in its place")
	}
	if err := b.Commit(t.Context(), []int{gone}); err == nil {
		t.Error("it is unknown which to remove, and yet one is")
	}
	b.Close()
	b = mustBox(t, s)
	if len(b.Messages()) != 1 {
		t.Fatalf("%d messages are left", len(b.Messages()))
	}
	if text, _ := get(t, b, 0); text != "one\n" {
		t.Errorf("what is left is %q", text)
	}
}
