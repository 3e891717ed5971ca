package fetch

import (
	"sync"
	"time"
)

// So many messages share the syncs of the destination and the journal, or those
// of so long.
const (
	perSync  = 256
	syncTime = 200 * time.Millisecond
)

// keeper holds messages that the destination has taken until it has them on the
// disk, and the journal as well that they are there: only then they are
// stored, and may be deleted on the server.
type keeper struct {
	*session
	turn sync.Mutex // held while a sync runs

	guard sync.Mutex
	taken []kept
	ready []*item
	last  time.Time // when it was synced
}

// kept is a message that the destination has taken.
type kept struct {
	item   *item
	record record
	isNew  bool // the destination did not have it before
}

// keep takes a message. Who comes when it is time to sync does so, unless
// somebody is at it: then the others go on.
func (k *keeper) keep(m kept) error {
	k.guard.Lock()
	k.taken = append(k.taken, m)
	k.guard.Unlock()
	for k.due() && k.turn.TryLock() {
		err := k.sync()
		k.turn.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) due() bool {
	k.guard.Lock()
	defer k.guard.Unlock()
	return len(k.taken) >= perSync || len(k.taken) > 0 && time.Since(k.last) >= syncTime
}

// flush brings to the disk what has been kept so far, and the rest of the journal.
func (k *keeper) flush() error {
	k.turn.Lock()
	defer k.turn.Unlock()
	return k.sync()
}

// sync holds the turn.
func (k *keeper) sync() error {
	k.guard.Lock()
	list := k.taken
	k.taken, k.last = nil, time.Now()
	k.guard.Unlock()
	if len(list) > 0 {
		if err := k.account.Sink.Sync(); err != nil {
			return k.wrap("storing", err)
		}
	}
	k.journal.change(func(_ *table, note func(record)) {
		for i := range list {
			note(list[i].record)
		}
	})
	if err := k.journal.flush(); err != nil {
		return k.wrap("writing the journal", err)
	}
	for i := range list {
		k.stored(&list[i])
	}
	return nil
}

// stored counts and tells.
func (k *keeper) stored(m *kept) {
	if m.isNew {
		k.mu.Lock()
		k.fetched++
		k.inARow = 0
		delete(k.failed, m.item.uid)
		k.report.Fetched++
		k.report.Octets += m.record.octets
		k.mu.Unlock()
		k.send(Event{Kind: Stored, Number: m.item.number, Octets: m.item.size, UID: m.item.planned().UID})
	}
	if at := time.Unix(m.record.time, 0); k.account.Policy.deletes(m.record.time, at) {
		k.guard.Lock()
		k.ready = append(k.ready, m.item)
		k.guard.Unlock()
	}
}

// none says that there is nothing to take.
func (k *keeper) none() bool {
	k.guard.Lock()
	defer k.guard.Unlock()
	return len(k.ready) == 0
}

// take gives the messages that may be deleted.
func (k *keeper) take() []*item {
	k.guard.Lock()
	defer k.guard.Unlock()
	list := k.ready
	k.ready = nil
	return list
}
