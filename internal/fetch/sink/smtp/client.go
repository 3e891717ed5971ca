package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postwain/postwain/internal/fetch/sink"
)

var errClosed = errors.New("smtp: sink is closed")

// client is the sink.
type client struct {
	o     Options
	greet string // EHLO or LHLO

	mu     sync.Mutex
	idle   *conn // nil: none, or a Put uses it
	closed bool
}

// Parallel is 1: after a crash nobody can say whether the message that was
// under way has arrived.
func (*client) Parallel() int { return 1 }
func (*client) Exact() bool   { return false }
func (*client) Sync() error   { return nil }

// Close ends the session, unless a Put uses it and will.
func (c *client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errClosed
	}
	c.closed = true
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	if idle != nil {
		idle.quit()
	}
	return nil
}

// Put sends a message. The sender and the recipient are the same for all, so
// only one that is too big, or that the server has read and then refused, is
// sink.ErrRefused.
func (c *client) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	for {
		s, err := c.take(ctx)
		if err != nil {
			return c.wrap(err)
		}
		reused := s.used
		stop := context.AfterFunc(ctx, func() { s.net.Close() })
		err = s.begin(m)
		begun := err == nil
		if begun {
			err = s.data(r)
		}
		s.used = true
		cut := !stop()
		if cut && err != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		alive := !cut && s.alive(err)
		c.giveBack(s, alive)
		if reused && !begun && !alive && !cut {
			continue // the server hung up on a session that was idle
		}
		return c.wrap(err)
	}
}

func (c *client) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("smtp: %s: %w", c.o.Address, err)
}

// take gives the session that is idle, or a new one.
func (c *client) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	s, closed := c.idle, c.closed
	c.idle = nil
	c.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if s != nil {
		return s, nil
	}
	return connect(ctx, &c.o, c.greet)
}

// giveBack keeps a session that is alive for the next message.
func (c *client) giveBack(s *conn, alive bool) {
	c.mu.Lock()
	keep := alive && !c.closed && c.idle == nil
	if keep {
		c.idle = s
	}
	c.mu.Unlock()
	switch {
	case keep:
	case alive:
		s.quit()
	default:
		s.net.Close()
	}
}

// alive says whether the session can be used after err.
func (s *conn) alive(err error) bool {
	if err == nil {
		return true
	}
	var r *refusal
	return errors.As(err, &r) && r.reply.code != 421 && !s.midData
}
