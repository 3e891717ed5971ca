package maildroptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/postwain/postwain/maildrop"
)

// Ledger notes what a workload asked of a store and what the store answered,
// and judges what is found after a crash. The law:
//
//   - mail that was acknowledged is there, once and whole;
//   - mail that was not acknowledged is absent, or there once and whole;
//   - what a commit has removed stays removed;
//   - a commit whose outcome is unknown has removed all of its messages or none;
//   - a message keeps its UID, its size and its place in the order.
//
// The workload goes through [Ledger.Deliverer] and [Ledger.Store], from as
// many goroutines as it likes. When it has ended and the store was opened anew
// on what the crash has left, [Ledger.Check] judges that, through a Store of
// its own; then another round may follow. Contents should differ from message
// to message: the ledger can count equal ones but not tell them apart.
//
// The zero value is an empty ledger for a store that holds nothing.
type Ledger struct {
	mu    sync.Mutex
	drops map[string]*ledgerDrop
}

// ledgerDrop is what is known of one maildrop. The Ledger's mutex guards it.
type ledgerDrop struct {
	mail    map[string]*posting // by digest
	known   map[string]*entry   // by UID; those seen, and those imported
	order   []string            // UIDs as last listed
	doubts  map[int][]string    // UIDs of commits of unknown outcome
	commits int                 // tried so far, which number them in doubts
	changes int                 // those that have happened
	faults  []error             // found on the way
}

// posting counts the deliveries of one content.
type posting struct {
	tried, acked int             // by deliveries without a key
	keys         map[string]bool // of the others; true: acknowledged
	content      string          // its beginning, for messages
}

// bounds are the least and most messages that p can have made.
func (p *posting) bounds() (least, most int) {
	least, most = p.acked, p.tried+len(p.keys)
	for _, acked := range p.keys {
		if acked {
			least++
		}
	}
	return least, most
}

// entry is one message with a UID.
type entry struct {
	digest  string
	size    int64
	removed int  // by a commit: the value of changes then; else 0
	absent  bool // a check has not found it
}

func (l *Ledger) drop(account string) *ledgerDrop {
	d := l.drops[account]
	if d == nil {
		d = &ledgerDrop{mail: map[string]*posting{}, known: map[string]*entry{}, doubts: map[int][]string{}}
		if l.drops == nil {
			l.drops = map[string]*ledgerDrop{}
		}
		l.drops[account] = d
	}
	return d
}

func (d *ledgerDrop) posting(content []byte) *posting {
	id := digest(content)
	p := d.mail[id]
	if p == nil {
		p = &posting{keys: map[string]bool{}, content: brief(string(content))}
		d.mail[id] = p
	}
	return p
}

func (d *ledgerDrop) fault(format string, a ...any) {
	d.faults = append(d.faults, fmt.Errorf(format, a...))
}

// Delivered notes a message that got into the maildrop of account by another
// way, durably.
func (l *Ledger) Delivered(account string, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.drop(account).posting(content)
	p.tried++
	p.acked++
}

// Deliverer gives d, with notes taken. It reads each message before it hands
// it on.
func (l *Ledger) Deliverer(d maildrop.Deliverer) maildrop.Deliverer {
	return &ledgerDeliverer{l, d}
}

type ledgerDeliverer struct {
	l *Ledger
	d maildrop.Deliverer
}

func (x *ledgerDeliverer) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	content, cause := io.ReadAll(r)
	if cause != nil { // nothing of it may ever be seen
		broken := io.MultiReader(bytes.NewReader(content), errorReader{cause})
		err := x.d.Deliver(ctx, account, in, broken)
		if err == nil {
			x.l.mu.Lock()
			defer x.l.mu.Unlock()
			x.l.drop(account).fault("a message whose reader failed was acknowledged: %s", brief(string(content)))
		}
		return err
	}
	x.l.attempt(account, in, content)
	err := x.d.Deliver(ctx, account, in, bytes.NewReader(content))
	if err == nil {
		x.l.acknowledge(account, in, content)
	}
	return err
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

func (l *Ledger) attempt(account string, in maildrop.Incoming, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.drop(account).posting(content)
	if in.Key == "" {
		p.tried++
	} else if _, ok := p.keys[in.Key]; !ok {
		p.keys[in.Key] = false
	}
}

func (l *Ledger) acknowledge(account string, in maildrop.Incoming, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.drop(account)
	p := d.posting(content)
	if in.Key == "" {
		p.acked++
	} else {
		p.keys[in.Key] = true
	}
	if in.UID != "" && d.known[in.UID] == nil {
		d.known[in.UID] = &entry{digest: digest(content), size: int64(len(wire(content)))}
	}
}

// Store gives s, with notes taken. Its Open reads the messages that the ledger
// has not seen yet.
func (l *Ledger) Store(s maildrop.Store) maildrop.Store { return &ledgerStore{l, s} }

type ledgerStore struct {
	l *Ledger
	s maildrop.Store
}

func (x *ledgerStore) Open(ctx context.Context, account string) (maildrop.Box, error) {
	x.l.mu.Lock()
	began := x.l.drop(account).changes
	x.l.mu.Unlock()
	b, err := x.s.Open(ctx, account)
	if err != nil {
		return nil, err
	}
	for i, m := range b.Messages() {
		x.l.mu.Lock()
		e := x.l.drop(account).known[m.UID]
		x.l.mu.Unlock()
		if e == nil {
			p, err := read(ctx, b, i, -1)
			if err != nil {
				continue // gone, or the crash: Check will see
			}
			e = &entry{digest: digest(p)}
		}
		x.l.mu.Lock()
		x.l.drop(account).see(m, e.digest, began)
		x.l.mu.Unlock()
	}
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	x.l.drop(account).checkOrder(b.Messages())
	return &ledgerBox{Box: b, l: x.l, account: account}, nil
}

// see notes that m was listed by a session that began after began changes.
func (d *ledgerDrop) see(m maildrop.Message, digest string, began int) {
	e := d.known[m.UID]
	if e == nil {
		e = &entry{digest: digest, size: m.Size}
		d.known[m.UID] = e
	}
	switch {
	case e.digest != digest:
		d.fault("the UID %q was of another message", m.UID)
	case e.size != m.Size:
		d.fault("the message %q was listed with %d octets and now with %d", m.UID, e.size, m.Size)
	case e.removed > 0 && e.removed <= began:
		d.fault("the message %q was removed by a commit and came back", m.UID)
	case e.absent:
		d.fault("the message %q was absent after a restart and came back", m.UID)
	}
}

type ledgerBox struct {
	maildrop.Box
	l       *Ledger
	account string
}

func (b *ledgerBox) Commit(ctx context.Context, deleted []int) error {
	var uids []string
	for _, i := range deleted {
		uids = append(uids, b.Messages()[i].UID)
	}
	b.l.mu.Lock()
	d := b.l.drop(b.account)
	d.commits++
	number := d.commits
	d.doubts[number] = uids
	b.l.mu.Unlock()

	err := b.Box.Commit(ctx, deleted)
	if err != nil {
		return err // and remains in doubt
	}
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	d.changes++
	for _, uid := range uids {
		if e := d.known[uid]; e != nil && e.removed == 0 {
			e.removed = d.changes
		}
	}
	delete(d.doubts, number)
	return nil
}

// Check opens every maildrop that the ledger knows through s, which was opened
// anew after a restart or a crash, and judges it. No session or delivery of
// the workload may be running. It returns all faults, joined, each with its
// account.
func (l *Ledger) Check(ctx context.Context, s maildrop.Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var faults []error
	for _, account := range slices.Sorted(maps.Keys(l.drops)) {
		d := l.drops[account]
		d.check(ctx, s, account)
		if len(d.faults) > 0 {
			faults = append(faults, fmt.Errorf("%s: %w", account, errors.Join(d.faults...)))
		}
		d.faults = nil
	}
	return errors.Join(faults...)
}

func (d *ledgerDrop) check(ctx context.Context, s maildrop.Store, account string) {
	b, err := s.Open(ctx, account)
	if err != nil {
		d.fault("it does not open: %w", err)
		return
	}
	defer func() {
		if err := b.Close(); err != nil {
			d.fault("closing: %w", err)
		}
	}()
	list := b.Messages()
	if err := judgeList(list); err != nil {
		d.fault("%w", err)
		return
	}
	present := map[string]bool{}
	for i, m := range list {
		p, err := read(ctx, b, i, -1)
		if err != nil {
			d.fault("the message %q cannot be read: %w", m.UID, err)
			return
		}
		if size := int64(len(wire(p))); size != m.Size {
			d.fault("the message %q has %d octets and is listed with %d", m.UID, size, m.Size)
		}
		id := digest(p)
		if d.mail[id] == nil {
			d.fault("the message %q is none that was delivered: %s", m.UID, brief(string(p)))
			d.mail[id] = &posting{content: brief(string(p))}
		}
		d.see(m, id, d.changes)
		present[m.UID] = true
	}
	d.checkOrder(list)
	d.checkCounts(present)
}

// checkOrder judges that the messages which were listed before have kept their
// places.
func (d *ledgerDrop) checkOrder(list []maildrop.Message) {
	var order []string
	place := map[string]int{}
	for i, m := range list {
		order = append(order, m.UID)
		place[m.UID] = i
	}
	last := -1
	for _, uid := range d.order {
		i, ok := place[uid]
		if ok && i < last {
			d.fault("the order was %q and is %q", d.order, order)
			break
		}
		if ok {
			last = i
		}
	}
	d.order = order
}

// checkCounts judges what is there, given what was removed or may have been.
// From now on what is absent must stay so.
func (d *ledgerDrop) checkCounts(present map[string]bool) {
	// A commit in doubt has happened if nothing of it is left; then, and
	// only then, it accounts for what is absent.
	done := map[string]bool{}
	for _, uids := range d.doubts {
		if !slices.ContainsFunc(uids, func(uid string) bool { return present[uid] }) {
			for _, uid := range uids {
				done[uid] = true
			}
		}
	}
	for _, uids := range d.doubts {
		missing := slices.DeleteFunc(slices.Clone(uids), func(uid string) bool {
			e := d.known[uid]
			return present[uid] || done[uid] || e == nil || e.removed > 0 || e.absent
		})
		if len(missing) > 0 {
			d.fault("a commit of %q has removed only %q", uids, missing)
		}
	}
	clear(d.doubts)
	d.changes++ // what was in doubt is not any more

	ever, accounted := map[string]int{}, map[string]int{} // by digest
	for uid, e := range d.known {
		ever[e.digest]++
		if present[uid] || done[uid] || e.removed > 0 {
			accounted[e.digest]++
		}
		if done[uid] && e.removed == 0 {
			e.removed = d.changes
		}
		e.absent = e.absent || !present[uid]
	}
	for id, p := range d.mail {
		least, most := p.bounds()
		if accounted[id] < least {
			d.fault("%d of %d acknowledged messages are lost, or have other UIDs: %s", least-accounted[id], least, p.content)
		}
		if ever[id] > most {
			d.fault("%d deliveries have made %d messages: %s", most, ever[id], p.content)
		}
	}
}
