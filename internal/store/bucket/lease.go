package bucket

import (
	"context"
	"fmt"
	"io"
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
	writer := newULID(time.Now()).String()
	won, err := d.create(ctx, epochKey(leases, epoch), writer)
	if err != nil {
		d.giveUp(epoch, writer)
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
		d.giveUp(epoch, writer)
		return nil, err
	}
	if v.highest != epoch || v.ended[epoch] {
		return nil, d.wrap(maildrop.ErrInUse)
	}
	b := newBox(d, v, writer)
	b.ending = func() string { return epochKey(endings, epoch) }
	b.exclusive = true
	b.renewal = renew(d, epoch, began)
	return b, nil
}

// giveUp ends an epoch that the writer may have begun and has not used, so that
// nobody has to wait for its end. It touches nobody else's.
func (d *drop) giveUp(epoch uint64, writer string) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	r, err := d.store.objects.Get(ctx, d.dir+epochKey(leases, epoch))
	if err != nil {
		return // it was not begun, or runs out by itself
	}
	defer r.Close()
	if was, err := io.ReadAll(io.LimitReader(r, maxAgreed)); err == nil && string(was) == writer {
		_, _ = d.create(ctx, epochKey(endings, epoch), "") // likewise
	}
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
				if d.touch(ctx, epoch) == nil {
					r.last.Store(int64(now))
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return r
}

// touch renews a lease, or gives up when it is time for the next renewal.
func (d *drop) touch(ctx context.Context, epoch uint64) error {
	ctx, cancel := context.WithTimeout(ctx, d.store.ttl/3)
	defer cancel()
	return d.store.objects.Touch(ctx, d.dir+epochKey(leases, epoch))
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
	switch {
	case err != nil && len(ids) > 0:
		return d.settle(key, writer, err)
	case err != nil:
		return err
	case !won:
		return errLost
	}
	return nil
}

// settle finds out what became of an ending that was not answered for. One that
// removes nothing is created in its place: if that succeeds, nothing is removed
// and never will be, and else what is there tells.
func (d *drop) settle(key, writer string, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	won, err := d.create(ctx, key, "")
	if won {
		return cause
	}
	if err == nil {
		var was string
		if was, _, err = d.readEnding(ctx, key); err == nil {
			if was == writer {
				return nil
			}
			return errLost
		}
	}
	return fmt.Errorf("%w: %w, %w", maildrop.ErrUnknownOutcome, cause, err)
}
