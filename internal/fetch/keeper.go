package fetch

import (
	"sync"
	"time"
)

// So many messages share a sync of the journal, or those of so long.
const (
	perSync  = 256
	syncTime = 200 * time.Millisecond
)

// keeper holds messages that are stored until the journal has it on the disk
// that they are: only then they may be deleted on the server.
type keeper struct {
	journal *journal

	mu      sync.Mutex
	noted   int     // messages that are not on the disk
	waiting []*item // those of them that are to be deleted
	ready   []*item
	last    time.Time // when it was synced
}

// keep takes a message of which the journal was told that it is stored; nil:
// one that is not to be deleted.
func (k *keeper) keep(it *item) error {
	k.mu.Lock()
	if it != nil {
		k.waiting = append(k.waiting, it)
	}
	k.noted++
	due := k.noted >= perSync || time.Since(k.last) >= syncTime
	k.mu.Unlock()
	if !due {
		return nil
	}
	return k.flush()
}

// flush brings to the disk what has been kept so far.
func (k *keeper) flush() error {
	k.mu.Lock()
	list := k.waiting
	k.waiting, k.noted, k.last = nil, 0, time.Now()
	k.mu.Unlock()
	if err := k.journal.flush(); err != nil {
		return err
	}
	k.mu.Lock()
	k.ready = append(k.ready, list...)
	k.mu.Unlock()
	return nil
}

// none says that there is nothing to take.
func (k *keeper) none() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ready) == 0
}

// take gives the messages that may be deleted.
func (k *keeper) take() []*item {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.ready
	k.ready = nil
	return list
}
