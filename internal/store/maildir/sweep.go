package maildir

import (
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// Deliveries that a crash cut off leave files in tmp. Maildir's custom is to
// remove them after 36 hours. A clock that jumps makes a file that is being
// written look as old as that; so a file is removed only if nobody holds a
// lock on it, and if it looked the same, and old, in two sweeps with an hour
// of steady time between them.

const (
	leftover   = 36 * time.Hour
	sweepEvery = time.Hour
	// maxDoubts bounds the files that are remembered from one sweep to the next.
	maxDoubts = 10_000
)

// sweep is what is known of one tmp.
type sweep struct {
	mu     sync.Mutex
	last   time.Time // of the last sweep; with the steady clock
	doubts map[string]fsx.Info
}

// run sweeps if it is time to. Whatever goes wrong can be done better the next
// time.
func (w *sweep) run(s *Store, d *drop, home fsx.Dir) {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	now := time.Now()
	if !w.last.IsZero() && now.Sub(w.last) < sweepEvery {
		return
	}
	w.last = now
	tmp, err := home.Dir("tmp")
	if err != nil {
		return
	}
	defer tmp.Close()
	before := w.doubts
	w.doubts = nil
	for name, err := range tmp.Names() {
		if err != nil {
			return
		}
		info, err := tmp.Stat(name)
		if err != nil || !info.Mode.IsRegular() || !old(info, now) {
			continue
		}
		if was, ok := before[name]; ok && sameFile(was, info) {
			if removeUnlocked(tmp, name) {
				s.opts.Log.Info("maildir: removed what is left of a delivery", "maildir", d.key, "name", name)
			}
			continue
		}
		if w.doubts == nil {
			w.doubts = make(map[string]fsx.Info)
		}
		if len(w.doubts) < maxDoubts {
			w.doubts[name] = info
		}
	}
}

func old(info fsx.Info, now time.Time) bool {
	return now.Sub(info.ModTime) > leftover && now.Sub(info.Changed) > leftover
}

func removeUnlocked(tmp fsx.Dir, name string) bool {
	f, err := tmp.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if ok, err := f.TryLock(); err != nil || !ok {
		return false
	}
	return tmp.Remove(name) == nil
}
