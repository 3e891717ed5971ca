package fsx_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// Whoever comes at whatever time gets the outcome of a sync that began after
// they came; no two syncs overlap; and syncs are shared.
func TestGroup(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) { testGroup(t, seed) })
	}
}

func testGroup(t *testing.T, seed uint64) {
	const (
		callers = 40
		cost    = 5 * time.Millisecond
	)
	var (
		group   fsx.Group
		clock   atomic.Int64 // a step for everything that happens
		running atomic.Bool
		syncs   atomic.Int64
		wg      sync.WaitGroup
		r       = rand.New(rand.NewPCG(seed, 0))
	)
	// The error of each sync carries when it began.
	type outcome struct{ error }
	begins := make([]int64, callers+1)
	sync := func() error {
		n := syncs.Add(1)
		begins[n] = clock.Add(1)
		if !running.CompareAndSwap(false, true) {
			t.Error("two syncs at a time")
		}
		time.Sleep(cost)
		running.Store(false)
		return outcome{fmt.Errorf("%d", n)}
	}
	for range callers {
		wait := time.Duration(r.IntN(40)) * time.Millisecond
		wg.Go(func() {
			time.Sleep(wait)
			came := clock.Add(1)
			err := group.Do(sync)
			var o outcome
			if !errors.As(err, &o) {
				t.Errorf("Do: %v", err)
				return
			}
			var n int64
			fmt.Sscan(o.Error(), &n)
			if begins[n] < came {
				t.Errorf("came at %d, got the sync that began at %d", came, begins[n])
			}
		})
	}
	wg.Wait()
	if n := syncs.Load(); n < 2 || n > 10 {
		t.Errorf("%d syncs for %d callers within the time of 8", n, callers)
	}
}

// A sync that panics is nobody's success, and the group lives on.
func TestGroupPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			group fsx.Group
			wg    sync.WaitGroup
		)
		wg.Go(func() {
			defer func() { recover() }()
			group.Do(func() error { time.Sleep(time.Second); return nil })
		})
		synctest.Wait()
		wg.Go(func() {
			defer func() { recover() }()
			group.Do(func() error { panic("sync") })
		})
		synctest.Wait()
		wg.Go(func() {
			if err := group.Do(func() error { return nil }); err == nil {
				t.Error("Do gave no error for a sync that panicked")
			}
		})
		wg.Wait()
		if err := group.Do(func() error { return nil }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
