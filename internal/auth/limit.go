package auth

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/sasl"
)

// limit lets so many calls run at once, and so many wait for a while. It does
// not know whom they are about: all are treated alike.
type limit struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
}

var errBusy = fmt.Errorf("auth: %w", sasl.ErrBusy)

func newLimit(parallel, queue int, wait time.Duration) *limit {
	return &limit{slots: make(chan struct{}, parallel), queue: int64(queue), wait: wait}
}

// enter waits for a slot; leave gives it back.
func (l *limit) enter(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.queue {
		return errBusy
	}
	t := time.NewTimer(l.wait)
	defer t.Stop()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-t.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *limit) leave() { <-l.slots }

// limited is an Authenticator behind a limit.
type limited struct {
	limit *limit
	inner sasl.Authenticator
}

func (l limited) Authenticate(ctx context.Context, login sasl.Login) (string, error) {
	if err := l.limit.enter(ctx); err != nil {
		return "", err
	}
	defer l.limit.leave()
	return l.inner.Authenticate(ctx, login)
}
