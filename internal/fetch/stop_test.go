package fetch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// A stop in the middle of a round stores what was asked for and deletes what is
// stored; the rest waits for the next round.
func TestStopInARound(t *testing.T) {
	t.Parallel()
	const n = ahead + 200
	for _, to := range []*destination{exactly(), blindly()} {
		f, m := faultfs.New(), newModel(n)
		stop := make(chan struct{})
		var first sync.Once
		to.refuse = func(string, string) error {
			first.Do(func() { close(stop) })
			return nil
		}
		fetcher := New(Options{State: f.Root(), Stop: stop})
		r := fetcher.Once(context.Background(), []Account{m.account(to, Policy{})})[0]
		if r.Err != nil || r.Fetched == 0 || r.Fetched >= n || r.Deleted != r.Fetched || m.left() != n-r.Fetched {
			t.Fatalf("%+v, %d are left", r, m.left())
		}
		if r = once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
			t.Fatalf("and then %+v, %d are left", r, m.left())
		}
		if err := to.check(texts(n), 0); err != nil {
			t.Error(err)
		}
	}
}

// A stop while messages are only read, to be compared, is as soon.
func TestStopInCompare(t *testing.T) {
	t.Parallel()
	const n = 3 * ahead
	f, m, to := faultfs.New(), newModel(n), exactly()
	m.uid = func(int, int, letter) string { return "" }
	stop := make(chan struct{})
	var first sync.Once
	retrs := 0
	m.before = func(verb string) {
		if verb == "RETR" {
			first.Do(func() { close(stop) })
			retrs++
		}
	}
	r := New(Options{State: f.Root(), Stop: stop}).Once(context.Background(), []Account{m.account(to, Policy{})})[0]
	if r.Err != nil || retrs > 2*ahead {
		t.Fatalf("%d messages were asked for, %+v", retrs, r)
	}
	m.before = nil
	if r = once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
		t.Fatalf("and then %+v, %d are left", r, m.left())
	}
	if err := to.check(texts(n), 0); err != nil {
		t.Error(err)
	}
}

// Where UIDs are numbers a stop comes between messages that have been stored
// and others that have not, and their numbers change.
func TestStopAmongNumbers(t *testing.T) {
	t.Parallel()
	const n = ahead + 200
	f, m, to := faultfs.New(), numbered(n), exactly()
	stop := make(chan struct{})
	var first sync.Once
	to.refuse = func(string, string) error {
		first.Do(func() { close(stop) })
		return nil
	}
	r := New(Options{State: f.Root(), Stop: stop}).Once(context.Background(), []Account{m.account(to, Policy{})})[0]
	if r.Err != nil || r.Fetched == 0 || r.Fetched >= n || r.Deleted != r.Fetched {
		t.Fatalf("%+v", r)
	}
	if r = once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
		t.Fatalf("and then %+v, %d are left", r, m.left())
	}
	if err := to.check(texts(n), 0); err != nil {
		t.Error(err)
	}
}

// A stop ends the pauses of Watch.
func TestStopBetweenRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m, to := faultfs.New(), newModel(3), exactly()
		stop := make(chan struct{})
		began := time.Now()
		time.AfterFunc(90*time.Minute, func() { close(stop) })
		fetcher := New(Options{State: f.Root(), Stop: stop})
		if err := fetcher.Watch(context.Background(), []Account{m.account(to, Policy{})}, time.Hour); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 90*time.Minute {
			t.Errorf("Watch ended after %v", took)
		}
		if err := to.check(texts(3), 0); err != nil {
			t.Error(err)
		}
	})
}
