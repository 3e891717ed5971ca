package krb

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Bounds of what is remembered. A client that fills its share, or all that
// together fill the table, wait: an authenticator that cannot be remembered is
// not accepted. Only the holder of a good ticket takes a place.
const (
	maxReplays          = 1 << 17
	maxReplaysPerClient = 1 << 12
)

// replays remembers the authenticators of the past, so that none is accepted
// twice (RFC 4120 §3.2.3). It is told apart by its encrypted form, which nobody
// can alter without the key.
type replays struct {
	keep time.Duration

	mu     sync.Mutex
	seen   map[[sha256.Size]byte]struct{}
	client map[string]int // how many of seen
	queue  []replay       // as they came, from first on
	first  int
}

type replay struct {
	sum    [sha256.Size]byte
	client string
	until  time.Time
}

// newReplays makes a memory for authenticators whose time may differ from ours
// by skew: one from the future counts for twice that.
func newReplays(skew time.Duration) *replays {
	return &replays{keep: 2*skew + time.Second, seen: map[[sha256.Size]byte]struct{}{}, client: map[string]int{}}
}

// add remembers an authenticator. fresh is false if it was there already; the
// error is ErrBusy.
func (r *replays) add(cipher []byte, client string) (fresh bool, err error) {
	sum := sha256.Sum256(cipher)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.forget(now)
	if _, ok := r.seen[sum]; ok {
		return false, nil
	}
	if len(r.seen) >= maxReplays || r.client[client] >= maxReplaysPerClient {
		return false, ErrBusy
	}
	r.seen[sum] = struct{}{}
	r.client[client]++
	r.queue = append(r.queue, replay{sum, client, now.Add(r.keep)})
	return true, nil
}

// forget drops what is too old to be accepted anyway; mu is held.
func (r *replays) forget(now time.Time) {
	for ; r.first < len(r.queue) && r.queue[r.first].until.Before(now); r.first++ {
		old := &r.queue[r.first]
		delete(r.seen, old.sum)
		if r.client[old.client]--; r.client[old.client] == 0 {
			delete(r.client, old.client)
		}
		*old = replay{}
	}
	if r.first > len(r.queue)/2 {
		r.queue = append([]replay(nil), r.queue[r.first:]...)
		r.first = 0
	}
}
