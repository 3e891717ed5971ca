package maildroptest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// The order is that of delivery, and stays.
func checkOrder(r *run) {
	want := letters(1, 30)
	r.fill(alice, want...)
	r.expect(alice, want...)
	r.expect(alice, want...)
	b := r.open(alice)
	r.commit(b, 0, 7, 8, 29)
	want = slices.Concat(want[1:7], want[9:29])
	r.fill(alice, letters(31, 5)...)
	want = append(want, letters(31, 5)...)
	r.expect(alice, want...)
	r.restart()
	r.expect(alice, want...)
}

// A message keeps its UID, its size and its time.
func checkUIDs(r *run) {
	contents := letters(1, 12)
	r.fill(alice, contents...)
	before := r.expect(alice, contents...)
	r.restart()
	r.same(before, r.expect(alice, contents...))
	r.commit(r.open(alice), 0, 5, 11)
	left := slices.Concat(before[1:5], before[6:11])
	r.fill(alice, letters(13, 1)...)
	r.restart()
	b := r.open(alice)
	r.same(left, b.Messages()[:min(len(left), len(b.Messages()))])
	r.close(b)
}

// same judges that two lists are the same.
func (r *run) same(want, got []maildrop.Message) {
	r.Helper()
	eq := func(a, b maildrop.Message) bool {
		return a.UID == b.UID && a.Size == b.Size && a.Time.Equal(b.Time)
	}
	if !slices.EqualFunc(want, got, eq) {
		r.Errorf("the list was\n%v\nand is now\n%v", want, got)
	}
}

// A UID is never given again (RFC 1939 §7).
func checkReuse(r *run) {
	used := map[string]bool{}
	for range 5 {
		r.fill(alice, letters(1, 3)...) // the same contents again and again
		b := r.open(alice)
		for _, m := range b.Messages() {
			if used[m.UID] {
				r.Errorf("the UID %q is given again", m.UID)
			}
			used[m.UID] = true
		}
		r.commit(b, 0, 1, 2)
		r.restart()
	}
	r.expect(alice)
}

// What happens outside does not change an open Box.
func checkFrozen(r *run) {
	r.fill(alice, letters(1, 3)...)
	b := r.open(alice)
	before := slices.Clone(b.Messages())
	r.fill(alice, letters(4, 2)...)
	r.same(before, b.Messages())
	r.holds(b, letters(1, 3)...)
	r.commit(b, 1)
	r.expect(alice, letter(1), letter(3), letter(4), letter(5))
}

// A maildrop is held by one session, or by any number where the store says so.
func checkLock(r *run) {
	r.fill(alice, letter(1))
	first := r.open(alice)
	second, err := r.Store.Open(r.Context(), alice)
	switch {
	case r.Snapshot && err != nil:
		r.Errorf("a second session of a snapshot store: %v", err)
	case !r.Snapshot && err == nil:
		r.Error("two sessions hold one maildrop")
	case !r.Snapshot && !errors.Is(err, maildrop.ErrInUse):
		r.Errorf("a second session gets %v, want ErrInUse", err)
	}
	if err == nil {
		r.close(second)
	}
	r.close(r.open(bob))
	r.holds(first, letter(1))
	r.close(first)
	r.close(r.open(alice))
	r.commit(r.open(alice))
	r.expect(alice, letter(1))
}

// Accounts do not see each other, and a name is not a way around that.
func checkAccounts(r *run) {
	r.expect(alice)
	r.fill(alice, letters(1, 2)...)
	r.fill(bob, letter(3))
	r.expect(alice, letters(1, 2)...)
	r.expect(bob, letter(3))
	r.commit(r.open(bob), 0)
	r.expect(alice, letters(1, 2)...)

	if _, err := r.Store.Open(r.Context(), ""); !errors.Is(err, maildrop.ErrNoDrop) {
		r.Errorf("Open of no name: %v, want ErrNoDrop", err)
	}
	err := r.Deliverer.Deliver(r.Context(), "", maildrop.Incoming{}, strings.NewReader(letter(4)))
	if !errors.Is(err, maildrop.ErrNoDrop) {
		r.Errorf("Deliver to no name: %v, want ErrNoDrop", err)
	}
	for _, name := range []string{
		"x/../" + alice, "../" + alice, "./" + alice, "/" + alice, alice + "/", alice + "/.", alice + "\x00", " " + alice,
		"../example.org/alice", ".", "..", "alice@../example.org", "alice@example.org/../example.org",
	} {
		b, err := r.Store.Open(r.Context(), name)
		if err != nil {
			continue
		}
		if len(b.Messages()) > 0 {
			r.Errorf("%q opens somebody's maildrop", name)
		}
		r.close(b)
	}
}

// A commit removes what it was given, and nothing else.
func checkCommit(r *run) {
	r.fill(alice, letters(1, 6)...)
	b := r.open(alice)
	if err := b.Commit(r.Context(), []int{4, 0, 2}); err != nil { // in any order
		r.Fatalf("Commit: %v", err)
	}
	r.close(b)
	r.expect(alice, letter(2), letter(4), letter(6))
	r.commit(r.open(alice))
	r.expect(alice, letter(2), letter(4), letter(6))
	r.restart()
	r.expect(alice, letter(2), letter(4), letter(6))
	r.commit(r.open(alice), 0, 1, 2)
	r.expect(alice)
	r.restart()
	r.expect(alice)
}

// Another program removes a message under an open Box.
func checkGone(r *run) {
	if r.Remove == nil && !r.Snapshot {
		return // nobody else can
	}
	r.fill(alice, letters(1, 4)...)
	b := r.open(alice)
	before := slices.Clone(b.Messages())
	if r.Remove != nil {
		r.Remove(r.TB, alice, before[1])
	} else {
		r.commit(r.open(alice), 1)
	}
	r.same(before, b.Messages())
	p, err := read(r.Context(), b, 1, -1)
	if err == nil && string(wire(p)) != letter(2) {
		r.Errorf("a message that is gone reads as %s", brief(string(p)))
	}
	if err != nil && !errors.Is(err, maildrop.ErrGone) {
		r.Errorf("a message that is gone: %v, want ErrGone", err)
	}
	for _, i := range []int{0, 2, 3} {
		if got := r.whole(b, i); got != letter(i+1) {
			r.Errorf("beside a message that is gone, message %d is %s", i, brief(got))
		}
	}
	r.commit(b, 1, 2)
	r.expect(alice, letter(1), letter(4))
}

// Two sessions remove overlapping sets.
func checkOverlap(r *run) {
	if !r.Snapshot {
		return // there is never a second one
	}
	r.fill(alice, letters(1, 5)...)
	first, second := r.open(alice), r.open(alice)
	r.fill(alice, letter(6))
	r.commit(first, 0, 1, 2)
	r.commit(second, 1, 2, 3)
	r.expect(alice, letter(5), letter(6))
}

// Close removes nothing and is always safe.
func checkClose(r *run) {
	r.fill(alice, letters(1, 3)...)
	for range 3 {
		b := r.open(alice)
		r.close(b)
		r.close(b)
		if rc, err := b.Get(r.Context(), 0, -1); err == nil {
			rc.Close()
			r.Error("Get of a closed Box gives a message")
		}
		if err := b.Commit(r.Context(), []int{0}); err == nil {
			r.Error("Commit of a closed Box succeeds")
		}
		other := r.open(alice)
		r.close(b) // not the other's lock
		if !r.Snapshot {
			if _, err := r.Store.Open(r.Context(), alice); !errors.Is(err, maildrop.ErrInUse) {
				r.Errorf("closing twice gives up a lock that another session has: %v", err)
			}
		}
		r.close(other)
	}
	r.expect(alice, letters(1, 3)...)
}

// An ordinary delivery arrives now.
func checkArrival(r *run) {
	if r.NoTimes {
		return
	}
	// Clocks of disks are coarse.
	earliest := time.Now().Add(-2 * time.Second)
	r.fill(alice, letter(1))
	latest := time.Now().Add(2 * time.Second)
	list := r.expect(alice, letter(1))
	if at := list[0].Time; at.Before(earliest) || at.After(latest) {
		r.Errorf("a message delivered now has arrived at %v", at)
	}
}
