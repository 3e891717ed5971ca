package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postwain/postwain/sasl"
)

// maxIdle is how long a connection may lie unused. Firewalls forget those that
// do, without a word.
const maxIdle = time.Minute

var errClosed = errors.New("ldap: source is closed")

// pool is a bounded number of connections to whichever server answers.
type pool struct {
	servers []*server
	attempt time.Duration
	ready   func(context.Context, *conn) error // makes a new connection fit for use; may be nil
	slots   chan struct{}                      // one for each connection in use

	mu     sync.Mutex
	idle   []*conn // the last was used last
	closed bool
}

func newPool(servers []*server, o Options, ready func(context.Context, *conn) error) *pool {
	return &pool{servers: servers, attempt: o.attempt(), ready: ready, slots: make(chan struct{}, o.Connections)}
}

// do asks a question, again on a new connection if the one that was there is
// no good, and then of other servers.
func (p *pool) do(ctx context.Context, ask func(*ldap.Conn) error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return fmt.Errorf("all connections are in use: %w", sasl.ErrBusy)
	}
	for range len(p.servers) + 1 {
		c, err := p.take(ctx)
		if err != nil {
			return err
		}
		err = p.try(ctx, c, ask)
		if ctx.Err() != nil || !elsewhere(err) {
			return err
		}
	}
	return p.why()
}

// try asks on c and gives it back.
func (p *pool) try(ctx context.Context, c *conn, ask func(*ldap.Conn) error) error {
	limited, cancel := context.WithTimeoutCause(ctx, p.attempt, errSlow)
	defer cancel()
	err := c.run(limited, ask)
	var r result
	switch {
	case err == nil || errors.As(err, &r) && !elsewhere(err):
		c.server.answered()
		p.put(c, limited.Err() != nil)
		return err
	case ctx.Err() != nil || !elsewhere(err): // nobody's fault
	case c.used && !errors.Is(err, errSlow):
		p.drain() // a server that was begun anew has closed them all
	default:
		c.server.failed(err)
	}
	c.close()
	return err
}

// take gives a connection that may be used, or makes one.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		c, err := p.last()
		if err != nil {
			return nil, err
		}
		if c == nil {
			break
		}
		if !c.ldap.IsClosing() && time.Since(c.idle) < maxIdle {
			return c, nil
		}
		c.close()
	}
	for _, s := range p.servers {
		if s.resting() != nil {
			continue
		}
		c, err := p.connect(ctx, s)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", s.url, context.Cause(ctx))
		}
		s.failed(err)
	}
	return nil, p.why()
}

// connect makes a connection that is fit for use.
func (p *pool) connect(ctx context.Context, s *server) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.attempt, errSlow)
	defer cancel()
	c, err := s.connect(ctx)
	if err == nil && p.ready != nil {
		if err = p.ready(ctx, c); err != nil {
			c.close()
		}
	}
	return c, err
}

// why tells why no server answers. Its error wraps none: what a server said of
// the service's own bind is no answer to anybody's.
func (p *pool) why() error {
	var all []string
	for _, s := range p.servers {
		if err := s.lastError(); err != nil {
			all = append(all, fmt.Sprintf("%s: %v", s.url, err))
		}
	}
	if all == nil {
		return errBroken
	}
	return errors.New(strings.Join(all, "; "))
}

func (p *pool) last() (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return c, nil
}

// put keeps c for the next one, unless it is spent.
func (p *pool) put(c *conn, spent bool) {
	p.mu.Lock()
	keep := !spent && !p.closed
	if keep {
		c.used, c.idle = true, time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// drain closes the connections that nobody uses.
func (p *pool) drain() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drain()
}
