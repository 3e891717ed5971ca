package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// mostWait is how long an account that fails is left alone at most, or as long
// as it always is.
const mostWait = time.Hour

// refusals is how often a server without response codes may refuse credentials
// that it has never taken, before it is believed.
const refusals = 3

// Watch makes rounds of each account, with a pause of about every, a second at
// least, in between, until Options.Stop is closed or ctx ends; then it returns
// nil. It holds the journals for all that time. An account whose round fails is
// tried again after a pause that grows. One whose credentials are refused for
// sure, or whose journal cannot be had, is given up: Watch returns such errors,
// which match ErrSignIn and ErrLocked, at its end, which comes early if no
// account is left.
func (f *Fetcher) Watch(ctx context.Context, accounts []Account, every time.Duration) error {
	every = max(every, time.Second)
	errs := make([]error, len(accounts))
	events := f.newObserver()
	defer events.close()
	var all sync.WaitGroup
	for i := range accounts {
		all.Go(func() { errs[i] = f.watch(ctx, &accounts[i], every, events) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// watch returns the reason why the account was given up.
func (f *Fetcher) watch(ctx context.Context, a *Account, every time.Duration, events *observer) error {
	j, err := f.journal(a)
	if err != nil {
		return newRound(a, events).finish(err).Err
	}
	defer j.close()
	waiting, cancel := f.untilStop(ctx)
	defer cancel()
	for failed, refused, welcome := 0, 0, false; ; {
		r := newRound(a, events)
		r.journal, r.watching, r.stop = j, true, f.opt.Stop
		err := f.visit(ctx, waiting, r)
		if ctx.Err() != nil {
			return nil
		}
		f.log(r.report)
		if waiting.Err() != nil {
			return nil
		}
		wait := every
		welcome = welcome || !r.started.IsZero()
		switch {
		case err == nil:
			failed, refused = 0, 0
		case errors.Is(err, ErrSignIn):
			// Some servers refuse in the same words who comes too often (quirk 20).
			if refused++; definite(err) || refused == refusals && !welcome {
				return err
			}
			fallthrough
		default:
			failed++
			wait = backOff(every, failed)
		}
		if err == nil && r.again {
			wait = 0
		}
		if !r.started.IsZero() {
			wait = max(wait, r.loginDelay-time.Since(r.started))
		}
		// Not all at the same time, and not before a server wants it.
		wait += time.Duration(rand.Float64() * float64(wait) / 10)
		if pause(waiting, wait) != nil {
			return nil
		}
	}
}

// visit makes one round, for whose turn it waits as long as waiting lasts.
func (f *Fetcher) visit(ctx, waiting context.Context, r *round) error {
	leave, err := f.seats.take(waiting, r.account.Host)
	if err != nil {
		return err
	}
	defer leave()
	err = r.run(ctx)
	r.finish(err)
	return err
}

// backOff is how long to wait after so many failures in a row.
func backOff(every time.Duration, failed int) time.Duration {
	wait := every
	for range failed {
		if wait >= mostWait/2 {
			return max(every, mostWait)
		}
		wait *= 2
	}
	return wait
}

// log tells of a round of Watch, which nobody gets a Report of.
func (f *Fetcher) log(r Report) {
	if r.Err != nil {
		f.opt.Log.Warn("fetch: round failed", "account", r.Account, "fetched", r.Fetched, "deleted", r.Deleted, "failed", r.Failed, "err", r.Err)
		return
	}
	f.opt.Log.Info("fetch: round", "account", r.Account, "fetched", r.Fetched, "deleted", r.Deleted, "left", r.Left, "failed", r.Failed)
}
