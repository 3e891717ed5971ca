package maildroptest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postwain/postwain/maildrop"
)

// Many deliver at once, some of them the same.
func checkParallelDelivery(r *run) {
	const senders, each = 8, 6
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				n := s/2*each + i // two senders have the same keys
				in := maildrop.Incoming{Key: fmt.Sprint("key ", n)}
				if err := r.Deliverer.Deliver(r.Context(), alice, in, strings.NewReader(letter(n))); err != nil {
					r.Errorf("Deliver: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		b := r.open(alice)
		var got []string
		for i := range b.Messages() {
			got = append(got, r.whole(b, i))
		}
		r.close(b)
		want := letters(0, senders/2*each)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			r.Errorf("%d deliveries of %d messages left %d, or others", senders*each, len(want), len(got))
		}
		r.restart()
	}
}

// Many open at once.
func checkParallelOpen(r *run) {
	r.fill(alice, letters(1, 3)...)
	var holders, opened atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				b, err := r.Store.Open(r.Context(), alice)
				if err != nil {
					if r.Snapshot || !errors.Is(err, maildrop.ErrInUse) {
						r.Errorf("Open: %v", err)
					}
					continue
				}
				opened.Add(1)
				if n := holders.Add(1); n > 1 && !r.Snapshot {
					r.Errorf("%d sessions hold one maildrop", n)
				}
				if n := len(b.Messages()); n != 3 {
					r.Errorf("a session sees %d messages of 3", n)
				}
				holders.Add(-1)
				if err := b.Close(); err != nil {
					r.Errorf("Close: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if opened.Load() == 0 {
		r.Error("everybody was refused")
	}
	r.expect(alice, letters(1, 3)...)
}

// tally is what parallel sessions have seen.
type tally struct {
	sync.Mutex
	contents  map[string]string // by UID
	committed map[string]bool   // UIDs
}

// Deliveries and sessions at once: each message is there until it is
// committed, and is always the same.
func checkParallelSessions(r *run) {
	const senders, each, sessions = 3, 15, 3
	seen := &tally{contents: map[string]string{}, committed: map[string]bool{}}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				content := strings.NewReader(letter(s*each + i))
				if err := r.Deliverer.Deliver(r.Context(), alice, maildrop.Incoming{}, content); err != nil {
					r.Errorf("Deliver: %v", err)
				}
			}
		})
	}
	for s := range sessions {
		wg.Go(func() {
			for i := range 12 {
				if err := r.session(seen, (s+i)%3 != 0); err != nil {
					r.Errorf("a session among others: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if err := r.session(seen, true); err != nil {
		r.Errorf("a session after others: %v", err)
	}
	r.restart()

	left := map[string]bool{}
	b := r.open(alice)
	defer r.close(b)
	for i, m := range b.Messages() {
		if seen.committed[m.UID] {
			r.Errorf("the message %q was committed and is there", m.UID)
		}
		left[m.UID] = true
		if err := seen.see(m.UID, r.whole(b, i)); err != nil {
			r.Error(err)
		}
	}
	count := map[string]int{}
	for uid, content := range seen.contents {
		count[content]++
		if !left[uid] && !seen.committed[uid] {
			r.Errorf("the message %q was not committed and is gone", uid)
		}
	}
	for n := range senders * each {
		if count[letter(n)] != 1 {
			r.Errorf("letter %d was delivered once and seen under %d UIDs", n, count[letter(n)])
		}
	}
}

// session reads a whole maildrop and commits every other message of it.
func (r *run) session(seen *tally, commit bool) error {
	b, err := r.Store.Open(r.Context(), alice)
	for errors.Is(err, maildrop.ErrInUse) && !r.Snapshot {
		runtime.Gosched()
		b, err = r.Store.Open(r.Context(), alice)
	}
	if err != nil {
		return err
	}
	defer b.Close()
	if err := judgeList(b.Messages()); err != nil {
		return err
	}
	var deleted []int
	for i, m := range b.Messages() {
		p, err := read(r.Context(), b, i, -1)
		if errors.Is(err, maildrop.ErrGone) && r.Snapshot {
			continue // by another session
		}
		if err != nil {
			return err
		}
		if err := seen.see(m.UID, string(wire(p))); err != nil {
			return err
		}
		if commit && i%2 == 0 {
			deleted = append(deleted, i)
		}
	}
	if !commit {
		return nil
	}
	if err := b.Commit(r.Context(), deleted); err != nil {
		return err
	}
	seen.Lock()
	defer seen.Unlock()
	for _, i := range deleted {
		seen.committed[b.Messages()[i].UID] = true
	}
	return nil
}

// see notes a message.
func (t *tally) see(uid, content string) error {
	t.Lock()
	defer t.Unlock()
	if before, ok := t.contents[uid]; ok && before != content {
		return fmt.Errorf("the message %q was %s and is %s", uid, brief(before), brief(content))
	}
	t.contents[uid] = content
	return nil
}
