// Package fetch empties POP3 mailboxes into destinations, each message exactly
// once: a message is deleted on the server only when the destination has it
// for sure and the journal says so for sure, and what the journal or the key of
// a message tells to be there is not stored again, whatever crashed.
//
// Messages are told apart by their UIDs. Where a server gives none, or one to
// several messages, it is by their contents, and of messages that are the same
// octet for octet one is stored. UIDs that are mere numbers are trusted as long
// as nothing was deleted in between.
//
// While a destination takes its time, nothing is sent to the server: a command
// out of turn, such as NOOP, has no place among those that are under way. So a
// server that hangs up on an idle client ends the session; what was stored
// until then stays so, and the next session goes on.
//
// A destination that can tell what it has ([sink.Sink.Exact]) gets each message
// exactly once. To one that cannot, at most the one message that was under way
// in a crash is given a second time.
package fetch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// Options of a Fetcher.
type Options struct {
	// State is where the journals are, one file for each mailbox. While a
	// mailbox is fetched, its journal is locked against other fetchers.
	State fsx.Dir
	// Parallel is how many accounts are at work at a time. 0: 40.
	Parallel int
	// PerHost is how many of one host. 0: 4.
	PerHost int
	// Observe is told what happens, one event after the other, by one
	// goroutine at a time. Events wait while it is busy, and if too many do, so
	// does the fetching. It may be nil.
	Observe func(Event)
	// Log gets what is in no Report. Nil: nothing is logged.
	Log *slog.Logger
	// Stop, once it is closed, lets rounds end early and well: what was asked
	// for is stored, what is stored is deleted, and nothing else is begun. A
	// context that ends cuts them off instead. Nil: never.
	Stop <-chan struct{}
}

// Fetcher fetches. It may be used by several goroutines.
type Fetcher struct {
	opt       Options
	seats     seats
	observing sync.Mutex
}

// New returns a Fetcher.
func New(o Options) *Fetcher {
	if o.Parallel <= 0 {
		o.Parallel = 40
	}
	if o.PerHost <= 0 {
		o.PerHost = 4
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Fetcher{opt: o, seats: seats{
		all: make(chan struct{}, o.Parallel), perHost: o.PerHost, hosts: map[string]chan struct{}{},
	}}
}

// Once makes one round of each account, several at a time, and reports in the
// order of accounts. It returns when all are over.
func (f *Fetcher) Once(ctx context.Context, accounts []Account) []Report {
	reports := make([]Report, len(accounts))
	events := f.newObserver()
	defer events.close()
	var rounds sync.WaitGroup
	for i := range accounts {
		rounds.Go(func() { reports[i] = f.once(ctx, &accounts[i], events) })
	}
	rounds.Wait()
	return reports
}

func (f *Fetcher) once(ctx context.Context, a *Account, events *observer) Report {
	r := newRound(a, events)
	r.stop = f.opt.Stop
	waiting, cancel := f.untilStop(ctx)
	defer cancel()
	leave, err := f.seats.take(waiting, a.Host)
	if err != nil {
		return r.finish(r.wrap("waiting for its turn", err))
	}
	defer leave()
	if r.journal, err = f.journal(a); err != nil {
		return r.finish(err)
	}
	err = r.run(ctx)
	if err2 := r.journal.close(); err == nil && err2 != nil {
		err = r.wrap("closing the journal", err2)
	}
	return r.finish(err)
}

// untilStop gives a context for what is not worth waiting for after Stop.
func (f *Fetcher) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if f.opt.Stop != nil {
		go func() {
			select {
			case <-f.opt.Stop:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// journal opens the journal of an account.
func (f *Fetcher) journal(a *Account) (*journal, error) {
	if err := a.check(); err != nil {
		return nil, &stepError{a.Name, a.Host, "reading its settings", err}
	}
	j, err := openJournal(f.opt.State, a.Mailbox)
	if err != nil {
		return nil, &stepError{a.Name, a.Host, "opening its journal", err}
	}
	return j, nil
}

// Plan signs in to an account, lists the mailbox and says what a round would do
// now. It fetches nothing and changes nothing, neither there nor here, where it
// needs no lock.
func (f *Fetcher) Plan(ctx context.Context, a Account) ([]Planned, error) {
	if err := a.check(); err != nil {
		return nil, &stepError{a.Name, a.Host, "reading its settings", err}
	}
	table, err := readJournal(f.opt.State, a.Mailbox)
	if err != nil {
		return nil, &stepError{a.Name, a.Host, "reading its journal", err}
	}
	table.apply(&record{kind: kindBegin})
	if here := a.place(); here != (uid{}) {
		table.apply(&record{kind: kindPlace, uid: here})
	}
	s := newSession(newRound(&a, &observer{}))
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	defer s.client.Close()
	if err := s.list(ctx, table.named); err != nil {
		return nil, err
	}
	p := planner{policy: &a.Policy, table: &table, now: time.Now(), hides: s.hides}
	p.plan(s.items)
	plan := make([]Planned, len(s.items))
	for i := range s.items {
		plan[i] = s.items[i].planned()
	}
	s.client.Quit(ctx) // nothing was deleted: there is nothing to be known
	return plan, nil
}
