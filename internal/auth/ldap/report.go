package ldap

import (
	"sync"
	"time"
)

// reportEvery is how often the operator is told at most: whoever tries names
// could fill the log.
const reportEvery = time.Minute

type reporter struct {
	tell func(error)

	mu   sync.Mutex
	last time.Time
}

func (r *reporter) note(err error) {
	if r.tell == nil {
		return
	}
	r.mu.Lock()
	now := time.Now()
	due := r.last.IsZero() || now.Sub(r.last) >= reportEvery
	if due {
		r.last = now
	}
	r.mu.Unlock()
	if due {
		r.tell(err)
	}
}
