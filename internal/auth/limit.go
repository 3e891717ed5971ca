package auth

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/postwain/postwain/sasl"
)

// standing is what is known of somebody who gives a name.
type standing int

const (
	suspect   standing = iota // has guessed wrong lately
	stranger                  // nothing
	owner                     // the name has signed in from around there lately
	standings                 // how many there are
)

// limit lets so many calls run at once, and so many wait for a while. Standings
// take turns, every second one is an owner's, and so do the networks of each
// (see line): guessers wait for each other, not owners for them. It does not
// know which names exist.
type limit struct {
	parallel, queue int
	wait            time.Duration

	mu      sync.Mutex
	running int
	lines   [standings]line
	turn    int // the last one of turns
}

// busyPause is how long the answer takes to who has no place in a queue, so
// that asking again and again takes no time from those who have.
const busyPause = 2 * time.Second

var errBusy = fmt.Errorf("auth: %w", sasl.ErrBusy)

func newLimit(parallel, queue int, wait time.Duration) *limit {
	return &limit{parallel: parallel, queue: queue, wait: wait}
}

// enter waits until a call may run; leave ends it.
func (l *limit) enter(ctx context.Context, s standing, network netip.Prefix) error {
	c := l.line(s, network)
	if c == nil {
		return nil
	}
	t := time.NewTimer(l.wait)
	defer t.Stop()
	select {
	case err := <-c.told:
		if err != nil {
			return cmp.Or(sleep(ctx, busyPause), err)
		}
		return nil
	case <-t.C:
		return l.giveUp(c, errBusy)
	case <-ctx.Done():
		return l.giveUp(c, ctx.Err())
	}
}

// line lines a call up; nil: it may run at once. Where too many wait, one has
// to go.
func (l *limit) line(s standing, network netip.Prefix) *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running < l.parallel {
		l.running++
		return nil
	}
	c := l.lines[s].add(network)
	if l.waiting() > l.queue {
		l.longest().last().told <- errBusy
	}
	return c
}

// waiting is how many wait.
func (l *limit) waiting() (n int) {
	for i := range l.lines {
		n += l.lines[i].waiting
	}
	return n
}

// longest is the line where most wait; of several that of the worst standing.
func (l *limit) longest() *line {
	most := &l.lines[0]
	for i := range l.lines {
		if l.lines[i].waiting > most.waiting {
			most = &l.lines[i]
		}
	}
	return most
}

// giveUp ends the waiting of c. If its turn has come meanwhile, that goes to
// the next.
func (l *limit) giveUp(c *call, why error) error {
	l.mu.Lock()
	waits := c.line != nil
	if waits {
		c.remove()
	}
	l.mu.Unlock()
	if !waits && <-c.told == nil {
		l.leave()
	}
	return why
}

func (l *limit) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	turns := [...]standing{owner, stranger, owner, suspect}
	for range turns {
		l.turn = (l.turn + 1) % len(turns)
		if line := &l.lines[turns[l.turn]]; line.waiting > 0 {
			line.next().told <- nil
			return
		}
	}
	l.running--
}

type standingKey struct{}

// standingOf is what the throttle has found.
func standingOf(ctx context.Context) standing {
	if s, ok := ctx.Value(standingKey{}).(standing); ok {
		return s
	}
	return stranger
}

// limited is an Authenticator behind a limit.
type limited struct {
	limit *limit
	inner sasl.Authenticator
}

func (l limited) Authenticate(ctx context.Context, login sasl.Login) (string, error) {
	if err := l.limit.enter(ctx, standingOf(ctx), networksOf(login.Remote).wide); err != nil {
		return "", err
	}
	defer l.limit.leave()
	return l.inner.Authenticate(ctx, login)
}
