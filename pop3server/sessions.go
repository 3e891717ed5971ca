package pop3server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Errors of a login beside those of the Backend; a Trace sees them.
var (
	ErrLoginDelay      = errors.New("pop3server: too soon after the last login")
	ErrTooManySessions = errors.New("pop3server: too many sessions of this account")
)

const (
	takeOverAfter = time.Minute     // idle, before another login may end a session
	takeOverWait  = 5 * time.Second // for the ended session to let go
	sweepDelays   = 1024            // remembered delays before the first sweep
)

// Sessions is the table of who is logged in, for servers of the same
// maildrops. It counts sessions, remembers when an account may log in again
// (LOGIN-DELAY), and finds an idle session that a new login may end.
type Sessions struct {
	perAccount int

	mu     sync.Mutex
	active map[string][]*seat
	next   map[string]time.Time // the earliest next login
	sweep  int                  // size of next at which what is over is dropped
}

// NewSessions returns an empty table that allows perAccount sessions of an
// account at once; zero: any number.
func NewSessions(perAccount int) *Sessions {
	return &Sessions{
		perAccount: perAccount,
		active:     make(map[string][]*seat),
		next:       make(map[string]time.Time),
		sweep:      sweepDelays,
	}
}

// Active is the number of sessions that are logged in.
func (s *Sessions) Active() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seats := range s.active {
		n += len(seats)
	}
	return n
}

// seat is the place of one session in the table.
type seat struct {
	account string
	conn    *conn
	left    chan struct{} // closed when the session has let go of its Box
}

// enter gives c a place among the sessions of account.
func (s *Sessions) enter(account string, c *conn) (*seat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, ok := s.next[account]; ok && time.Now().Before(until) {
		return nil, ErrLoginDelay
	}
	if s.perAccount > 0 && len(s.active[account]) >= s.perAccount {
		return nil, ErrTooManySessions
	}
	t := &seat{account: account, conn: c, left: make(chan struct{})}
	s.active[account] = append(s.active[account], t)
	return t, nil
}

// leave frees the place. The Box is closed by then.
func (s *Sessions) leave(t *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seats := s.active[t.account]
	for i, other := range seats {
		if other == t {
			seats = append(seats[:i:i], seats[i+1:]...)
			break
		}
	}
	if len(seats) == 0 {
		delete(s.active, t.account)
	} else {
		s.active[t.account] = seats
	}
	close(t.left)
}

// delay remembers that account may log in again after d.
func (s *Sessions) delay(account string, d time.Duration) {
	if d <= 0 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.next) >= s.sweep {
		for a, until := range s.next {
			if now.After(until) {
				delete(s.next, a)
			}
		}
		s.sweep = max(sweepDelays, 2*len(s.next))
	}
	s.next[account] = now.Add(d)
}

// takeOver ends a session of account that is idle, if there is one beside
// self, and waits until it has let go of its Box. holder is a session that
// could not be ended.
func (s *Sessions) takeOver(ctx context.Context, account string, self *conn) (done bool, holder Peer) {
	s.mu.Lock()
	var ended *seat
	for _, t := range s.active[account] {
		if t.conn == self {
			continue
		}
		holder = t.conn.sum.Peer
		if t.conn.end(takenOver, takeOverAfter) {
			ended = t
			break
		}
	}
	s.mu.Unlock()
	if ended == nil {
		return false, holder
	}
	ctx, cancel := context.WithTimeout(ctx, takeOverWait)
	defer cancel()
	select {
	case <-ended.left:
		return true, Peer{}
	case <-ctx.Done():
		return false, holder
	}
}
