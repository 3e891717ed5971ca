package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postwain/postwain/pop3"
)

// retryAfter is how long a message that failed so many times is left alone.
var retryAfter = [...]time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour, 24 * time.Hour}

// maxInARow is how many messages may fail one after the other before that is
// not the messages' fault any more, and maxSetAside how many of a mailbox are
// remembered.
const (
	maxInARow   = 100
	maxSetAside = 10_000
)

// again makes of what was the next failure of a message.
func (f failure) again(it *item, reason string, now time.Time) failure {
	wait := retryAfter[min(f.tries, len(retryAfter)-1)]
	return failure{
		tries:  f.tries + 1,
		next:   now.Add(wait).Unix(),
		size:   it.size,
		uid:    pop3.Printable(it.text, maxUID),
		reason: pop3.Printable(reason, maxShown),
	}
}

// maxUID is how much of a UID is kept for reports.
const maxUID = 128

// waits says that it is too early to try the message again.
func (f *failure) waits(p *Policy, now time.Time) bool {
	if f.large {
		return p.MaxSize > 0 && f.size > p.MaxSize
	}
	return now.Unix() < f.next && f.next <= now.Add(2*retryAfter[len(retryAfter)-1]).Unix()
}

func (f *failure) report(number int) Failure {
	return Failure{UID: f.uid, Number: number, Size: f.size, Reason: f.reason, Tries: f.tries, Next: time.Unix(f.next, 0)}
}

// reason puts an error into words for a report.
func reason(why error) string {
	if refused := (*pop3.Error)(nil); errors.As(why, &refused) {
		return "the server refuses it: " + refused.Error()
	}
	return why.Error()
}

// setAside leaves a message for later, for a reason that is its own. It returns
// an error if so many fail that something else must be wrong.
func (s *session) setAside(it *item, why error) error {
	now := time.Now()
	var f failure
	tooMany := false
	s.journal.change(func(t *table, note func(record)) {
		if old := t.failures[it.id()]; old != nil {
			f = *old
		}
		tooMany = len(t.failures) >= maxSetAside
		f = f.again(it, reason(why), now)
		r := record{kind: kindFailed, uid: it.id()}
		var large errTooLarge
		if f.large = errors.As(why, &large); f.large {
			r.kind = kindTooLarge
			f.size = max(f.size, int64(large)+1)
		}
		if r.failure = f; !tooMany {
			note(r)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.large {
		s.large[it.id()] = struct{}{}
		return nil
	}
	s.failed[it.id()] = f.report(it.number)
	s.send(Event{Kind: Failed, Number: it.number, Octets: it.size, UID: f.uid, Text: f.reason, Err: s.wrap(fmt.Sprintf("message %d", it.number), why)})
	if s.inARow++; s.inARow >= maxInARow || tooMany {
		return s.wrap("fetching", fmt.Errorf("one message after the other fails: %w", why))
	}
	return nil
}

// errAgain says that a message has ended the session, and that a new one can go
// on without it.
var errAgain = errors.New("the session was ended by one of the messages")

// blame is for an error of the connection at a message. The link may have
// failed by chance, but not at the same message the next time: then that is set
// aside.
func (s *session) blame(ctx context.Context, it *item, err error) error {
	lost := s.wrap("fetching", err)
	if ctx.Err() != nil {
		return lost
	}
	suspected := false
	s.journal.change(func(t *table, note func(record)) {
		if _, suspected = t.failures[it.id()]; suspected {
			return
		}
		var f failure
		f = f.again(it, err.Error(), time.Now())
		f.tries, f.next = 0, time.Now().Unix()
		note(record{kind: kindFailed, uid: it.id(), failure: f})
	})
	if !suspected {
		return lost
	}
	if err := s.setAside(it, err); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errAgain, lost)
}
