package fetch

import (
	"context"
	"sync"
)

// seats limits how many accounts are at work.
type seats struct {
	all     chan struct{}
	perHost int

	mu    sync.Mutex
	hosts map[string]chan struct{}
}

// take waits for a seat. First comes the one at the host, so that who waits for
// a busy host keeps nobody from another.
func (s *seats) take(ctx context.Context, host string) (leave func(), err error) {
	s.mu.Lock()
	own := s.hosts[host]
	if own == nil {
		own = make(chan struct{}, s.perHost)
		s.hosts[host] = own
	}
	s.mu.Unlock()
	if err := sit(ctx, own); err != nil {
		return nil, err
	}
	if err := sit(ctx, s.all); err != nil {
		<-own
		return nil, err
	}
	return func() { <-s.all; <-own }, nil
}

func sit(ctx context.Context, seats chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case seats <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
