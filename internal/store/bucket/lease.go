package bucket

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// acquire takes the maildrop. The chain of leases has an epoch for each session;
// who creates the next one, and sees that it is the highest, has the maildrop. An
// epoch that is not ended and not renewed any more is ended first, which its
// owner cannot undo: then nothing that the owner does can be committed.
func (d *drop) acquire(ctx context.Context) (maildrop.Box, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	if v.highest > 0 && !v.ended[v.highest] {
		if v.age < d.store.ttl {
			return nil, d.wrap(maildrop.ErrInUse)
		}
		if _, err := d.create(ctx, epochKey(endings, v.highest), ""); err != nil {
			return nil, d.wrap(err)
		}
	}
	epoch := v.highest + 1
	won, err := d.create(ctx, epochKey(leases, epoch), "")
	if err != nil {
		return nil, d.wrap(err)
	}
	if !won {
		return nil, d.wrap(maildrop.ErrInUse)
	}
	// What was created may not be the highest: another may have seen this epoch
	// ended, and gone on. And the epoch before may have been ended by its owner,
	// with a commit that the first listing did not have.
	began := time.Now()
	if v, err = d.look(ctx); err != nil {
		d.giveUp(epoch)
		return nil, err
	}
	if v.highest != epoch || v.ended[epoch] {
		return nil, d.wrap(maildrop.ErrInUse)
	}
	b := newBox(d, v)
	b.ending = func() string { return epochKey(endings, epoch) }
	b.exclusive = true
	b.renewal = renew(d, epoch, began)
	return b, nil
}

// giveUp ends an epoch that nobody has used, so that nobody has to wait for its
// end.
func (d *drop) giveUp(epoch uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, _ = d.create(ctx, epochKey(endings, epoch), "") // or the lease runs out
}

// create makes a small object.
func (d *drop) create(ctx context.Context, key, text string) (bool, error) {
	return d.store.objects.Create(ctx, d.dir+key, strings.NewReader(text), int64(len(text)))
}

// renewal renews a lease until it is stopped.
type renewal struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	last   atomic.Int64 // when a renewal that succeeded began, since origin
	origin time.Time
}

func renew(d *drop, epoch uint64, began time.Time) *renewal {
	ctx, cancel := context.WithCancel(context.Background())
	r := &renewal{cancel: cancel, origin: began}
	r.ended.Go(func() {
		turn := time.NewTicker(d.store.ttl / 3)
		defer turn.Stop()
		for {
			select {
			case <-turn.C:
				now := time.Since(began)
				// A failure is told by the fence, if it comes to that.
				if d.store.objects.Touch(ctx, d.dir+epochKey(leases, epoch)) == nil {
					r.last.Store(int64(now))
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return r
}

func (r *renewal) stop() {
	if r != nil {
		r.cancel()
		r.ended.Wait()
	}
}

// stale reports whether the lease was renewed so long ago that what fenced it may
// have been swept. Before that the fence decides, and no clock.
func (r *renewal) stale() bool {
	return r != nil && time.Since(r.origin)-time.Duration(r.last.Load()) > settled/2
}

// end creates the ending of a session, which removes what is named, or nothing.
// It is the commit: whoever loses the creation has lost the maildrop before.
func (d *drop) end(ctx context.Context, key, writer string, ids []string) error {
	won, err := d.create(ctx, key, writeEnding(writer, ids))
	if err != nil || !won {
		// The answer may be lost, and the ending be ours nevertheless.
		was, _, readErr := d.readEnding(ctx, key)
		switch {
		case readErr == nil && was == writer && len(ids) > 0:
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", maildrop.ErrUnknownOutcome, err)
		}
		return errLost
	}
	return nil
}
