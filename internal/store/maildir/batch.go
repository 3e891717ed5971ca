package maildir

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/postwain/postwain/maildrop"
)

var _ maildrop.Deliverer = (*Batch)(nil)

const (
	// manyShare is from how many messages of one Sync on a sync of the whole disk
	// is sooner over than one of each file, and what others let gather there is
	// worth waiting for.
	manyShare = 64
	// A disk of which a sync takes longer than diskPatience has more to do than
	// this mail: it is left alone for diskRest.
	diskPatience = time.Second
	diskRest     = time.Minute
)

// Batch delivers to an Inbox so that many messages share the syncs: what it
// delivers is there, and sure to survive a power cut, after the next Sync. It is
// for use by many goroutines.
//
// As long as few messages come, each file is synced as it is delivered, and the
// directory by Sync. Once they are many, Sync syncs the disk that they are on.
type Batch struct {
	inbox *Inbox
	many  int
	turn  sync.Mutex // held while a Sync runs

	mu     sync.Mutex
	spans  []*span // the last is in use
	count  int     // messages since the last Sync
	shared bool    // the next Sync syncs the disk
	tried  bool    // it is known whether that can be done
	never  bool    // it cannot, or has failed
	rested time.Time
}

// span is a part of a Batch: what has gone to one Maildir since the last Sync.
// While it lasts nobody looks whether the Maildir still has its name.
type span struct {
	drop   *drop
	target *sharedTarget
	moved  []string  // names in new; Batch.mu guards them
	coming []passage // what is to be moved there; the same
	taken  bool      // by a Sync
}

// passage is a message in tmp, and its name in new.
type passage struct{ tmp, name string }

// Batch returns an empty Batch.
func (i *Inbox) Batch() *Batch { return &Batch{inbox: i, many: manyShare} }

// Deliver is [Inbox.Deliver], but for what can be seen and survives a power cut.
func (b *Batch) Deliver(ctx context.Context, _ string, in maildrop.Incoming, r io.Reader) error {
	in.UID = ""
	p, shared, err := b.span()
	if err == nil {
		var (
			moved  []string // none if the key is known, of a message that may not be synced either
			coming []passage
		)
		err = b.inbox.store.deliverOnce(ctx, p.drop, p.target.target, in, r, route{shared, func(tmp, name string, synced bool) error {
			if !synced {
				coming = append(coming, passage{tmp, name})
				return nil
			}
			moved = append(moved, name)
			return p.target.tmp.Move(tmp, p.target.new, name)
		}})
		if err == nil {
			b.note(p, moved, coming)
		}
		b.inbox.giveBack(p.target, err)
	}
	return noRoom(err)
}

// note sees to it that the next Sync makes a message durable.
func (b *Batch) note(p *span, moved []string, coming []passage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.taken { // by a Sync that may have been too early for this one
		b.inbox.keep(p.target)
		p = &span{drop: b.inbox.store.drops.use(b.inbox.path), target: p.target}
		b.spans = append([]*span{p}, b.spans...)
	}
	p.moved, p.coming = append(p.moved, moved...), append(p.coming, coming...)
	b.count += len(moved) + len(coming)
}

// span gives the one in use, counting one more use of its Maildir, and says
// whether the disk will be synced.
func (b *Batch) span() (p *span, shared bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.spans); n > 0 && b.inbox.lend(b.spans[n-1].target) {
		return b.spans[n-1], b.shared, nil
	}
	p = &span{drop: b.inbox.store.drops.use(b.inbox.path)}
	if p.target, err = b.inbox.borrow(p.drop); err != nil {
		b.inbox.store.drops.release(p.drop)
		return nil, false, err
	}
	b.inbox.keep(p.target) // until Sync
	b.spans = append(b.spans, p)
	return p, b.shared, nil
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

// Sync returns nil when everything whose Deliver has returned nil before is
// there and survives a power cut. On an error nothing of it may, so it is taken
// away again, and is to be delivered once more.
func (b *Batch) Sync() error {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	spans, count := b.spans, b.count
	b.spans, b.count = nil, 0
	for _, p := range spans {
		p.taken = true
	}
	b.mu.Unlock()
	var failure error
	for _, p := range spans {
		if err := b.settle(p, count >= b.many); err != nil {
			failure = err
		}
	}
	b.mu.Lock()
	b.shared = count >= b.many && b.tried && !b.never && time.Now().After(b.rested)
	b.mu.Unlock()
	return noRoom(failure)
}

// settle ends a span. many says that the next ones may share a sync of the disk,
// if that can be done.
func (b *Batch) settle(p *span, many bool) error {
	err := b.move(p)
	if err == nil {
		err = p.target.group.Do(p.target.new.Sync)
	}
	if many && !b.tried {
		b.syncDisk(p)
	}
	if err != nil {
		b.takeBack(p)
	}
	b.inbox.giveBack(p.target, err)
	b.inbox.store.drops.release(p.drop)
	return err
}

// move syncs the disk for what is in tmp, and moves it.
func (b *Batch) move(p *span) error {
	if len(p.coming) == 0 {
		return nil
	}
	if err := b.syncDisk(p); err != nil {
		return err
	}
	for len(p.coming) > 0 {
		c := p.coming[0]
		if err := p.target.tmp.Move(c.tmp, p.target.new, c.name); err != nil {
			return err
		}
		p.moved, p.coming = append(p.moved, c.name), p.coming[1:]
	}
	return nil
}

// syncDisk syncs the disk of a span.
func (b *Batch) syncDisk(p *span) error {
	begin := time.Now()
	err := p.target.tmp.SyncDisk()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried, b.never = true, b.never || err != nil
	if end := time.Now(); end.Sub(begin) > diskPatience {
		b.rested = end.Add(diskRest)
	}
	return err
}

// takeBack removes messages that nobody was told of, and forgets their keys.
func (b *Batch) takeBack(p *span) {
	p.drop.inbox.mu.Lock()
	defer p.drop.inbox.mu.Unlock()
	for _, c := range p.coming {
		p.target.tmp.Remove(c.tmp) // else it is swept away
		delete(p.drop.inbox.keys, keyOf(c.name))
	}
	for _, name := range p.moved {
		p.target.new.Remove(name) // it may come back
		delete(p.drop.inbox.keys, keyOf(name))
	}
}
