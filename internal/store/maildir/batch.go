package maildir

import (
	"context"
	"io"
	"sync"

	"github.com/postwain/postwain/maildrop"
)

var _ maildrop.Deliverer = (*Batch)(nil)

// Batch delivers to an Inbox so that many messages share the sync of the
// directory: what it delivers is sure to survive a power cut after the next
// Sync. It is for use by many goroutines.
type Batch struct {
	inbox *Inbox
	turn  sync.Mutex // held while a Sync runs

	mu    sync.Mutex
	spans []*span // the last is in use
}

// span is a part of a Batch: what has gone to one Maildir since the last Sync.
// While it lasts nobody looks whether the Maildir still has its name.
type span struct {
	drop   *drop
	target *sharedTarget
	names  []string // Batch.mu guards them
	taken  bool     // by a Sync
}

// Batch returns an empty Batch.
func (i *Inbox) Batch() *Batch { return &Batch{inbox: i} }

// Deliver is [Inbox.Deliver], but for what survives a power cut.
func (b *Batch) Deliver(ctx context.Context, _ string, in maildrop.Incoming, r io.Reader) error {
	in.UID = ""
	p, err := b.span()
	if err == nil {
		name := "" // of a message whose key is known, which may not be synced either
		err = b.inbox.store.deliverOnce(ctx, p.drop, p.target.target, in, r, func(moved string) error {
			name = moved
			return nil
		})
		if err == nil {
			b.note(p, name)
		}
		b.inbox.giveBack(p.target, err)
	}
	return noRoom(err)
}

// note sees to it that the next Sync syncs a message.
func (b *Batch) note(p *span, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.taken { // by a Sync that may have been too early for this one
		b.inbox.keep(p.target)
		p = &span{drop: b.inbox.store.drops.use(b.inbox.path), target: p.target}
		b.spans = append([]*span{p}, b.spans...)
	}
	if name != "" {
		p.names = append(p.names, name)
	}
}

// span gives the one in use, counting one more use of its Maildir.
func (b *Batch) span() (*span, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.spans); n > 0 && b.inbox.lend(b.spans[n-1].target) {
		return b.spans[n-1], nil
	}
	p := &span{drop: b.inbox.store.drops.use(b.inbox.path)}
	var err error
	if p.target, err = b.inbox.borrow(p.drop); err != nil {
		b.inbox.store.drops.release(p.drop)
		return nil, err
	}
	b.inbox.keep(p.target) // until Sync
	b.spans = append(b.spans, p)
	return p, nil
}

// lend counts one more use of t, unless it is for no further delivery.
func (i *Inbox) lend(t *sharedTarget) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t.stale {
		return false
	}
	t.users++
	return true
}

// keep counts one more use of t, which is in use.
func (i *Inbox) keep(t *sharedTarget) {
	i.mu.Lock()
	defer i.mu.Unlock()
	t.users++
}

// Sync returns nil when everything whose Deliver has returned nil before
// survives a power cut. On an error nothing of it may, so it is taken away
// again, and is to be delivered once more.
func (b *Batch) Sync() error {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	spans := b.spans
	b.spans = nil
	for _, p := range spans {
		p.taken = true
	}
	b.mu.Unlock()
	var failure error
	for _, p := range spans {
		if err := b.settle(p); err != nil {
			failure = err
		}
	}
	return noRoom(failure)
}

// settle ends a span.
func (b *Batch) settle(p *span) error {
	err := p.target.group.Do(p.target.new.Sync)
	if err != nil {
		b.takeBack(p)
	}
	b.inbox.giveBack(p.target, err)
	b.inbox.store.drops.release(p.drop)
	return err
}

// takeBack removes messages that nobody was told of, and forgets their keys.
func (b *Batch) takeBack(p *span) {
	p.drop.inbox.mu.Lock()
	defer p.drop.inbox.mu.Unlock()
	for _, name := range p.names {
		p.target.new.Remove(name) // it may come back
		delete(p.drop.inbox.keys, keyOf(name))
	}
}
