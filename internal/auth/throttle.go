package auth

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/postwain/postwain/sasl"
)

// throttleSize is how many addresses, and how many names, a throttle remembers
// at least; about 16 MB at most.
const throttleSize = 1 << 14

// throttle makes those who guess wait before the next guess. It knows names
// only by a hash, and does not know which exist.
type throttle struct {
	inner sasl.Authenticator
	seed  maphash.Seed

	mu    sync.Mutex
	nets  recent[netip.Prefix, *record]
	names recent[uint64, *record]
}

// record is what somebody has guessed wrong. The throttle's mutex guards it.
type record struct {
	level   int       // wrong guesses, less one for each minute
	since   time.Time // the level is of then
	guesses [8]uint64 // hashes of the last ones
}

func newThrottle(inner sasl.Authenticator) *throttle {
	return &throttle{
		inner: inner,
		seed:  maphash.MakeSeed(),
		nets:  newRecent[netip.Prefix, *record](throttleSize),
		names: newRecent[uint64, *record](throttleSize),
	}
}

func (t *throttle) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	net, local := network(l.Remote)
	name := maphash.String(t.seed, l.User)
	if err := sleep(ctx, t.delay(net, local, name)); err != nil {
		return "", err
	}
	account, err := t.inner.Authenticate(ctx, l)
	if errors.Is(err, sasl.ErrRefused) {
		t.note(net, local, name, maphash.Comparable(t.seed, [2]string{l.User, l.Password}))
	}
	return account, err
}

// network is what counts as one guesser: an IPv4 address, an IPv6 /64. The
// machine itself, where a web mailer may sign in for everybody, is local and
// does not count; nor does what has no address.
func network(a netip.Addr) (net netip.Prefix, local bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}, true
	}
	bits := 64
	if a.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(a, bits).Masked(), false
}

func (t *throttle) delay(net netip.Prefix, local bool, name uint64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var d time.Duration
	if r, ok := t.names.get(name); ok {
		d = nameDelay(r.now(now))
	}
	if r, ok := t.nets.get(net); ok && !local {
		d = max(d, netDelay(r.now(now)))
	}
	return d
}

// netDelay is what a guesser waits.
func netDelay(level int) time.Duration {
	switch level {
	case 0:
		return 0
	case 1:
		return 2 * time.Second
	case 2:
		return 4 * time.Second
	case 3:
		return 8 * time.Second
	}
	return 15 * time.Second
}

// nameDelay is what everybody waits who gives a name that many have guessed
// at: never so long that its owner could not sign in.
func nameDelay(level int) time.Duration {
	switch {
	case level < 5:
		return 0
	case level < 10:
		return time.Second
	case level < 20:
		return 2 * time.Second
	}
	return 4 * time.Second
}

// Levels beyond these make no difference but take longer to go away.
const (
	maxNetLevel  = 10
	maxNameLevel = 30
)

// note notes a wrong guess.
func (t *throttle) note(net netip.Prefix, local bool, name, guess uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	noteIn(&t.names, name, now, guess, maxNameLevel)
	if !local {
		noteIn(&t.nets, net, now, guess, maxNetLevel)
	}
}

func noteIn[K comparable](records *recent[K, *record], k K, now time.Time, guess uint64, most int) {
	r, ok := records.get(k)
	if !ok {
		r = &record{since: now}
		records.put(k, r)
	}
	if slices.Contains(r.guesses[:], guess) {
		return // a program with an old password, over and over
	}
	copy(r.guesses[1:], r.guesses[:])
	r.guesses[0] = guess
	r.level, r.since = min(r.now(now)+1, most), now
}

// now is the level at a time.
func (r *record) now(t time.Time) int {
	return max(r.level-int(t.Sub(r.since)/time.Minute), 0)
}

// sleep waits, or fails when the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
