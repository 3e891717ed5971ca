package fetch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

func TestOnlyNew(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(6), exactly()
	all := m.letters
	m.letters = slices.Clone(all[:4])
	for range 2 {
		if r := once(f.Root(), m.account(to, Policy{OnlyNew: true})); r.Err != nil || r.Fetched != 0 || r.Left != 4 {
			t.Fatalf("%+v", r)
		}
	}
	m.letters = slices.Clone(all)
	if r := once(f.Root(), m.account(to, Policy{OnlyNew: true})); r.Err != nil || r.Fetched != 2 || r.Deleted != 2 {
		t.Fatalf("%+v", r)
	}
	if err := to.check(texts(6)[4:], 0); err != nil || m.left() != 4 {
		t.Error(err, m.left())
	}
}

// The first contact with an empty mailbox counts as one.
func TestOnlyNewOfNothing(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(2), exactly()
	all := m.letters
	m.letters = nil
	once(f.Root(), m.account(to, Policy{OnlyNew: true}))
	m.letters = all
	if r := once(f.Root(), m.account(to, Policy{OnlyNew: true})); r.Err != nil || r.Fetched != 2 {
		t.Fatalf("%+v", r)
	}
}

func TestDeleteAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m, to := faultfs.New(), newModel(6), exactly()
		all := m.letters
		m.letters = slices.Clone(all[:4])
		p := Policy{DeleteAfter: 7 * 24 * time.Hour}
		for _, step := range []struct {
			days, fetched, deleted int
		}{{0, 4, 0}, {3, 2, 0}, {3, 0, 0}, {1, 0, 4}, {3, 0, 2}, {1, 0, 0}} {
			time.Sleep(time.Duration(step.days) * 24 * time.Hour)
			if step.fetched == 2 {
				m.letters = append(m.letters, all[4:]...)
			}
			r := once(f.Root(), m.account(to, p))
			if r.Err != nil || r.Fetched != step.fetched || r.Deleted != step.deleted {
				t.Fatalf("%+v: %+v", step, r)
			}
		}
		if err := to.check(texts(6), 0); err != nil {
			t.Error(err)
		}
	})
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	for _, size := range []func(letter) int{nil, func(letter) int { return 1 }} { // the truth, and too little
		f, m, to := faultfs.New(), newModel(3), exactly()
		big := strings.Repeat("x", 5000) + "\r\n"
		m.letters[1].text = big
		m.size = size
		for range 3 {
			if r := once(f.Root(), m.account(to, Policy{MaxSize: 1000})); r.Err != nil || r.TooLarge != 1 || r.Left != 1 || r.Failed != 0 {
				t.Fatalf("%+v", r)
			}
		}
		if most := m.retrs[big]; size == nil && most != 0 || most > 1 {
			t.Errorf("%d times fetched in vain", most)
		}
		if r := once(f.Root(), m.account(to, Policy{MaxSize: 10_000})); r.Err != nil || r.Fetched != 1 || m.left() != 0 {
			t.Fatalf("with a higher limit %+v", r)
		}
	}
}

func TestLimitAndBatch(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(25), exactly()
	if r := once(f.Root(), m.account(to, Policy{Limit: 7, Batch: 3})); r.Err != nil || r.Fetched != 7 || r.Deleted != 7 || r.Left != 18 || m.logins != 3 {
		t.Fatalf("%d sessions, %+v", m.logins, r)
	}
	if r := once(f.Root(), m.account(to, Policy{Batch: 6})); r.Err != nil || r.Fetched != 18 || m.left() != 0 || m.logins != 3+4 {
		t.Fatalf("%d sessions, %+v", m.logins, r)
	}
	if err := to.check(texts(25), 0); err != nil {
		t.Error(err)
	}
}

// Small batches make many sessions, and the round goes on to the end.
func TestManyBatches(t *testing.T) {
	t.Parallel()
	m, to := newModel(maxLooks+5), exactly()
	if r := once(faultfs.New().Root(), m.account(to, Policy{Batch: 1})); r.Err != nil || r.Fetched != maxLooks+5 || m.left() != 0 {
		t.Errorf("%d are left, %+v", m.left(), r)
	}
}

// On a slow link a session ends now and then, so that a late failure leaves no
// more to be deleted again.
func TestBatchesByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, to := newModel(2500), exactly()
		m.before = func(verb string) {
			if verb == "RETR" {
				time.Sleep(50 * time.Millisecond)
			}
		}
		f := New(Options{State: faultfs.New().Root()})
		if r := f.Once(t.Context(), []Account{m.account(to, Policy{})})[0]; r.Err != nil || r.Fetched != 2500 || m.logins < 2 || m.logins > 4 {
			t.Errorf("%d sessions, %+v", m.logins, r)
		}
	})
}

// Plan says what is to be done, and neither side notices.
func TestPlan(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(5), exactly()
	all := m.letters
	m.letters = slices.Clone(all[:2])
	once(f.Root(), m.account(to, Policy{Keep: true}))
	m.letters = all
	m.uid = func(_, n int, l letter) string { return strings.Repeat(l.uid, min(5-n, 1)) }
	m.size = func(l letter) int {
		if l.text == text(3) {
			return 5000
		}
		return len(l.text)
	}
	changes := 0
	f.FailWhen(func(op faultfs.Op) error {
		if op.Kind.Changes() {
			changes++
		}
		return nil
	})
	plan, err := New(Options{State: f.Root()}).Plan(t.Context(), m.account(to, Policy{MaxSize: 1000}))
	var got []string
	for _, p := range plan {
		got = append(got, fmt.Sprint(p.Number, " ", p.Action))
	}
	want := []string{"1 delete", "2 delete", "3 fetch", "4 leave", "5 compare"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if changes > 0 || m.left() != 5 || len(m.deles) > 0 || m.retrs[text(2)] > 0 {
		t.Errorf("%d changes on the disk, %d left", changes, m.left())
	}
}

// A stored message that a server hides for weeks is not fetched again; what was
// deleted and is gone is forgotten, and so is what has not been there for long.
func TestForgetting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m, to := faultfs.New(), newModel(4), exactly()
		all := slices.Clone(m.letters)
		entries := func() int {
			table, err := readJournal(f.Root(), alice)
			if err != nil {
				t.Fatal(err)
			}
			return len(table.entries)
		}
		round := func(fetched int) {
			t.Helper()
			if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err != nil || r.Fetched != fetched {
				t.Fatalf("%+v", r)
			}
		}
		round(4)
		m.letters = slices.Clone(all[:2])
		time.Sleep(89 * 24 * time.Hour)
		round(0)
		m.letters = slices.Clone(all)
		round(0)
		for range 20 { // always while listed
			time.Sleep(50 * 24 * time.Hour)
			round(0)
		}
		m.letters = slices.Clone(all[:2])
		time.Sleep(130 * 24 * time.Hour)
		round(0)
		if n := entries(); n != 2 {
			t.Errorf("%d entries after years", n)
		}
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Deleted != 2 {
			t.Fatalf("%+v", r)
		}
		once(f.Root(), m.account(to, Policy{}))
		if n := entries(); n != 0 {
			t.Errorf("%d entries of what is gone", n)
		}
		if err := to.check(texts(4), 0); err != nil {
			t.Error(err)
		}
	})
}

// What is stored in one destination is not deleted on the server once another
// is named, nor is it fetched again; what is new goes there.
func TestDestinationChanges(t *testing.T) {
	t.Parallel()
	f, m := faultfs.New(), newModel(5)
	var warnings []string
	fetcher := New(Options{State: f.Root(), Observe: func(e Event) {
		if e.Kind == Warned {
			warnings = append(warnings, e.Text)
		}
	}})
	round := func(to *destination, name string, p Policy) Report {
		a := m.account(to, p)
		a.Destination = name
		return fetcher.Once(t.Context(), []Account{a})[0]
	}
	first, second := exactly(), exactly()
	if r := round(first, "first", Policy{Keep: true}); r.Err != nil || r.Fetched != 5 || len(warnings) > 0 {
		t.Fatalf("%+v, %v", r, warnings)
	}
	m.letters = append(m.letters, letter{uid: "uid-new-abcdefgh", text: "new\r\n"})
	for again := range 2 {
		if r := round(second, "second", Policy{}); r.Err != nil || r.Fetched != 1-again || m.left() != 5 || len(warnings) != 1+again {
			t.Fatalf("%+v, %d are left, %v", r, m.left(), warnings)
		}
	}
	if err := second.check([]string{"new\r\n"}, 0); err != nil {
		t.Error(err)
	}
	// New UIDs for the same messages make them no less there than elsewhere.
	for i := range m.letters {
		m.letters[i].uid += "-renewed"
	}
	if r := round(second, "second", Policy{}); r.Err != nil || m.left() != 0 {
		t.Fatalf("%+v, %d are left", r, m.left())
	}
	if err := second.check(append(texts(5), "new\r\n"), 0); err != nil {
		t.Error(err)
	}
}
