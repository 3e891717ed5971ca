package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// numbered is a server whose UIDs are the numbers of the messages, which name
// others when the first are gone.
func numbered(n int) *model {
	m := newModel(n)
	m.uid = func(_, n int, _ letter) string { return fmt.Sprint(n) }
	return m
}

func TestNumbersComeBack(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), numbered(10), exactly()
	all := m.letters
	for n := range 5 {
		m.letters = slices.Clone(all[2*n : 2*n+2])
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Fetched != 2 || m.left() != 0 {
			t.Fatalf("%+v", r)
		}
	}
	if err := to.check(texts(10), 0); err != nil {
		t.Error(err)
	}
}

// The answer to QUIT is lost, and meanwhile there is other mail under the same
// numbers.
func TestNumbersInDoubt(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), numbered(6), exactly()
	all := m.letters
	m.letters, m.loseQuit = slices.Clone(all[:3]), true
	if r := once(f.Root(), m.account(to, Policy{})); r.Err == nil {
		t.Fatalf("%+v", r)
	}
	m.letters, m.loseQuit = slices.Clone(all[3:]), false
	if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
		t.Fatalf("%+v", r)
	}
	if err := to.check(texts(6), 0); err != nil {
		t.Error(err)
	}
}

// The power fails, and when it is back there is other mail under the numbers of
// what the server has deleted.
func TestNumbersAfterCrash(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		f, m, to := faultfs.New(), numbered(6), exactly()
		all := m.letters
		m.letters = slices.Clone(all[:3])
		f.CrashAt(n)
		m.powered(f)
		once(f.Root(), m.account(to, Policy{}))
		over := !m.dead()
		m.sessions.Wait()
		m.dead = nil
		m.letters = append(m.letters, all[3:]...)
		if r := once(f.Crash(faultfs.None()).Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
			t.Fatalf("operation %d: %+v", n, r)
		}
		if err := to.check(texts(6), 0); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		if over {
			break
		}
	}
}

// The destination has a message and nobody knows, the server will not give it
// again for now, and others are deleted: then its number is another's, and its
// key must not be. It may be stored twice; the other must not be lost.
func TestNumberOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, numberOfAnother)
}

func numberOfAnother(t *testing.T) {
	f, m, to := faultfs.New(), numbered(5), exactly()
	all := m.letters
	m.letters = slices.Clone(all[:3])
	to.parallel = 1
	to.refuse = func(key, got string) error {
		if got == text(2) {
			to.store(key, got)
			return sink.ErrUnknownOutcome
		}
		return nil
	}
	if r := once(f.Root(), m.account(to, Policy{})); r.Err == nil {
		t.Fatalf("%+v", r)
	}
	to.refuse = nil
	m.refuseRetr = func(l letter) string {
		if l.text == text(2) {
			return "-ERR later"
		}
		return ""
	}
	if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 1 {
		t.Fatalf("%+v", r)
	}
	m.refuseRetr = nil
	m.letters = append(m.letters, all[3:]...)
	time.Sleep(time.Hour) // the one that has the number now is left alone for a while
	if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
		t.Fatalf("%+v", r)
	}
	if err := to.check(texts(5), 1); err != nil {
		t.Error(err)
	}
}

// QUIT fails, another client takes the first messages away, and
// then the link is cut at any octet of the session that compares and fetches.
func TestNumbersShiftAndCut(t *testing.T) {
	t.Parallel()
	for n := int64(1); ; n++ {
		f, m, to := faultfs.New(), numbered(6), exactly()
		m.quitReply = "-ERR nothing was removed"
		if r := once(f.Root(), m.account(to, Policy{})); r.Err == nil {
			t.Fatalf("%+v", r)
		}
		m.quitReply = ""
		m.letters = append(m.letters[2:], letter{uid: "new", text: text(6)}, letter{uid: "newer", text: text(7)}, letter{uid: "newest", text: text(8)})
		m.cut = func(int) int64 { return n }
		r := once(f.Root(), m.account(to, Policy{}))
		over := r.Err == nil
		m.sessions.Wait()
		m.cut = nil
		for range 2 {
			if r = once(f.Root(), m.account(to, Policy{})); r.Err == nil {
				break
			}
		}
		if r.Err != nil || m.left() != 0 {
			t.Fatalf("cut after %d octets: %+v", n, r)
		}
		if err := to.check(texts(9), 0); err != nil {
			t.Fatalf("cut after %d octets: %v", n, err)
		}
		if over {
			break
		}
	}
}

// The destination has a message and nobody knows, and a stop or a limit leaves it
// for the next round: until then it must keep its number, and with that its key.
func TestNumberIsKept(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1} {
		f, m, to := faultfs.New(), numbered(4), exactly()
		there := make(chan struct{})
		to.refuse = func(key, got string) error {
			switch got {
			case text(1):
				<-there
				return errors.New("out of order")
			case text(2):
				to.store(key, got)
				close(there)
				return sink.ErrUnknownOutcome
			}
			return nil
		}
		if r := once(f.Root(), m.account(to, Policy{})); r.Err == nil {
			t.Fatalf("%+v", r)
		}
		to.refuse = nil
		stop := make(chan struct{})
		m.before = func(verb string) {
			if verb == "UIDL" && limit == 0 {
				close(stop)
			}
		}
		fetcher := New(Options{State: f.Root(), Stop: stop})
		if r := fetcher.Once(context.Background(), []Account{m.account(to, Policy{Limit: limit})})[0]; r.Err != nil || m.left() != 4 {
			t.Errorf("%+v", r)
		}
		m.before = nil
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
			t.Fatalf("%+v", r)
		}
		if err := to.check(texts(4), 0); err != nil {
			t.Errorf("with the limit %d: %v", limit, err)
		}
	}
}
