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

// How many addresses, wide networks and names a throttle remembers at least,
// and of how many networks it knows who has signed in there; twice as many at
// most, which is less than 16 MB in all.
const (
	throttleSize = 1 << 14
	knownSize    = 1 << 16
)

// knownFor is how long a network counts as the owner's after a login.
const knownFor = 30 * 24 * time.Hour

// throttle makes those who guess wait before the next guess. It knows names
// only by a hash, and does not know which exist. A nil *throttle lets everybody
// guess.
type throttle struct {
	seed  maphash.Seed
	began time.Time // all other times are since then

	mu    sync.Mutex
	nets  recent[netip.Prefix, *record]
	names recent[uint64, *record]
	wides recent[netip.Prefix, level]
	known recent[uint64, time.Duration] // until when a network is known at a name
}

// level counts wrong guesses, less one for each pace that has passed since.
type level struct {
	count int
	since time.Duration
}

// record is what somebody has guessed wrong.
type record struct {
	level
	guesses [8]uint32 // hashes of the last ones
}

func newThrottle() *throttle {
	return &throttle{
		seed:  maphash.MakeSeed(),
		began: time.Now(),
		nets:  newRecent[netip.Prefix, *record](throttleSize),
		names: newRecent[uint64, *record](throttleSize),
		wides: newRecent[netip.Prefix, level](throttleSize),
		known: newRecent[uint64, time.Duration](knownSize),
	}
}

// guesser is somebody who gives a name, and where they are.
type guesser struct {
	networks
	name uint64 // hash; zero: none was given
}

// guesser of a name. What a name is a name of, such as of a master user, is
// its kind.
func (t *throttle) guesser(from netip.Addr, kind, name string) guesser {
	if t == nil {
		return guesser{}
	}
	g := guesser{networks: networksOf(from)}
	if name != "" {
		g.name = maphash.Comparable(t.seed, [2]string{kind, name})
	}
	return g
}

// wait delays g by what was guessed wrong before.
func (t *throttle) wait(ctx context.Context, g guesser) error {
	if t == nil {
		return ctx.Err()
	}
	return sleep(ctx, t.delay(g))
}

func (t *throttle) delay(g guesser) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.began)
	var byName, byNet, byWide time.Duration
	if r, ok := t.names.get(g.name); ok && g.name != 0 {
		if byName = nameDelay(r.now(now, narrowPace)); byName > 0 && t.knows(g, g.home, now) {
			byName = 0 // others have guessed, and the owner is from here
		}
	}
	if g.local {
		return byName
	}
	if r, ok := t.nets.get(g.exact); ok {
		byNet = netDelay(r.now(now, narrowPace))
	}
	if l, ok := t.wides.get(g.wide); ok {
		if byWide = wideDelay(l.now(now, widePace)); byWide > 0 && t.knows(g, g.exact, now) {
			byWide = 0 // neighbours have guessed
		}
	}
	return max(byName, min(byNet+byWide, maxNetDelay))
}

// standing of g now.
func (t *throttle) standing(g guesser) standing {
	if t == nil {
		return stranger
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.began)
	if t.knows(g, g.home, now) {
		return owner
	}
	if r, ok := t.nets.get(g.exact); ok && !g.local && r.now(now, narrowPace) > 0 {
		return suspect
	}
	return stranger
}

// knows reports whether g's name has signed in from net lately.
func (t *throttle) knows(g guesser, net netip.Prefix, now time.Duration) bool {
	if g.local || g.name == 0 {
		return false
	}
	key := t.place(g.name, net)
	until, ok := t.known.get(key)
	if ok && now > until {
		t.known.remove(key)
		return false
	}
	return ok
}

func (t *throttle) place(name uint64, net netip.Prefix) uint64 {
	return maphash.Comparable(t.seed, struct {
		name uint64
		net  netip.Prefix
	}{name, net})
}

// proved notes that g has signed in, so that where they are is known at the
// name.
func (t *throttle) proved(g guesser) {
	if t == nil || g.local || g.name == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	until := time.Since(t.began) + knownFor
	t.known.put(t.place(g.name, g.exact), until)
	t.known.put(t.place(g.name, g.home), until)
}

// refused notes a wrong guess: a hash, which is the same for the same name and
// secret. Zero: the guess cannot be told from others.
func (t *throttle) refused(g guesser, guess uint32) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.began)
	if g.name != 0 {
		noteIn(&t.names, g.name, now, guess, maxNameLevel)
	}
	if g.local || !noteIn(&t.nets, g.exact, now, guess, maxNetLevel) {
		return
	}
	l, _ := t.wides.get(g.wide)
	l.add(now, widePace, maxWideLevel)
	t.wides.put(g.wide, l)
}

// guess is the hash of what was tried: never zero.
func (t *throttle) guess(kind, name, secret string) uint32 {
	if t == nil {
		return 0
	}
	return uint32(maphash.Comparable(t.seed, [3]string{kind, name, secret})) | 1
}

// noteIn notes a guess in the record of k. fresh is false for one that k has
// made before: a program with an old password, over and over.
func noteIn[K comparable](records *recent[K, *record], k K, now time.Duration, guess uint32, most int) (fresh bool) {
	r, ok := records.get(k)
	if !ok {
		r = &record{level: level{since: now}}
		records.put(k, r)
	}
	if guess != 0 && slices.Contains(r.guesses[:], guess) {
		return false
	}
	if guess != 0 {
		copy(r.guesses[1:], r.guesses[:])
		r.guesses[0] = guess
	}
	r.add(now, narrowPace, most)
	return true
}

// now is the level at a time.
func (l *level) now(t, pace time.Duration) int {
	return max(l.count-int((t-l.since)/pace), 0)
}

func (l *level) add(t, pace time.Duration, most int) {
	l.count, l.since = min(l.now(t, pace)+1, most), t
}

// throttled is an Authenticator behind a throttle.
type throttled struct {
	throttle *throttle
	masters  *masters // may be nil
	inner    sasl.Authenticator
}

func (t throttled) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	kind, name := t.masters.guessed(l.User)
	g := t.throttle.guesser(l.Remote, kind, name)
	if err := t.throttle.wait(ctx, g); err != nil {
		return "", err
	}
	ctx = context.WithValue(ctx, standingKey{}, t.throttle.standing(g))
	account, err := t.inner.Authenticate(ctx, l)
	switch {
	case err == nil:
		t.throttle.proved(g)
	case errors.Is(err, sasl.ErrRefused):
		t.throttle.refused(g, t.throttle.guess(kind, name, l.Password))
	}
	return account, err
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
