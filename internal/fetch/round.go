package fetch

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// round is one round of one account: sessions until nothing is left to fetch.
type round struct {
	account  *Account
	journal  *journal
	events   *observer
	watching bool // other rounds follow
	stop     <-chan struct{}

	// Of the sessions so far.
	asked      map[uid]struct{} // what DELE was sent for
	sessions   int
	looking    bool          // for more than was listed before
	started    time.Time     // the last of them
	loginDelay time.Duration // that the server wants
	again      bool          // more is there, and the server wants a pause first

	mu     sync.Mutex
	report Report
	inARow int // messages that have failed one after the other
	failed map[uid]Failure
	large  map[uid]struct{}
}

func newRound(a *Account, events *observer) *round {
	return &round{
		account: a, events: events, asked: map[uid]struct{}{},
		report: Report{Account: a.Name}, failed: map[uid]Failure{}, large: map[uid]struct{}{},
	}
}

func (r *round) wrap(step string, err error) error {
	return &stepError{r.account.Name, r.account.Host, step, err}
}

func (r *round) send(e Event) {
	e.Account = r.account.Name
	r.events.send(e)
}

func (r *round) warn(text string) { r.send(Event{Kind: Warned, Text: text}) }

// maxLooks is how many sessions of a round may leave no less to be done than one
// before: only a server that never ends has something new in so many.
const maxLooks = 1000

// maxAgain is how many sessions of a round may be ended by a message.
const maxAgain = 20

// run runs sessions. After one that fetched something another one looks for
// more: there are servers that list some hundreds at a time (quirk 1).
func (r *round) run(ctx context.Context) (err error) {
	defer func() {
		r.journal.interrupted = err != nil
		r.journal.compact() // in vain: then it is tried next time
	}()
	least := math.MaxInt
	for busy, again, looks := 0, 0, 0; looks < maxLooks; {
		s := newSession(r)
		err := s.run(ctx)
		switch {
		case err == nil:
			busy = 0
			r.sessions++
		case (s.serial || errors.Is(err, errAgain) && again < maxAgain) && !r.stopping():
			// Without QUIT nothing was deleted. From now on commands go one by one,
			// or without the message that ended the session.
			again++
			clear(r.asked)
			continue
		case !s.signedIn && r.looking:
			return nil // nothing is known to be left
		case !s.signedIn && r.sessions > 0 && temporary(err) && busy < 3 && !r.stopping():
			// The server has not got over the session before.
			busy++
			if pause(ctx, time.Second<<busy) != nil {
				return err
			}
			continue
		default:
			return err
		}
		if s.remaining >= least {
			looks++
		}
		least = min(least, s.remaining)
		if r.looking = s.remaining == 0; r.looking && !s.mayHaveMore() || r.stopping() {
			return nil
		}
		if r.watching && r.loginDelay > 0 {
			r.again = true
			return nil
		}
	}
	return nil
}

// stopping says that the round is to end as soon as it well can.
func (r *round) stopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish makes the report.
func (r *round) finish(err error) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Err = err
	r.report.Failed, r.report.TooLarge = len(r.failed), len(r.large)
	for _, f := range r.failed {
		r.report.Failures = append(r.report.Failures, f)
	}
	slices.SortFunc(r.report.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.UID, b.UID))
	})
	r.report.Failures = r.report.Failures[:min(len(r.report.Failures), maxFailures)]
	r.send(Event{Kind: Finished, Total: r.report.Fetched, TotalOctets: r.report.Octets, Err: err})
	return r.report
}
