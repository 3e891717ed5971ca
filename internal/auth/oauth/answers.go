package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// answers remembers tokens that were good. It keeps no token, but a keyed hash
// of it.
type answers struct {
	secret [32]byte
	keep   time.Duration // zero: remembers nothing

	mu   sync.Mutex
	good map[hash]answer
}

type hash [sha256.Size]byte

type answer struct {
	account string
	until   time.Time
}

const maxAnswers = 10_000

func newAnswers(keep time.Duration) *answers {
	a := &answers{keep: keep, good: make(map[hash]answer)}
	rand.Read(a.secret[:])
	return a
}

func (a *answers) key(token string) (h hash) {
	m := hmac.New(sha256.New, a.secret[:])
	m.Write([]byte(token))
	return hash(m.Sum(nil))
}

func (a *answers) find(key hash) (account string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.good[key]
	if !ok || !known.counts() {
		delete(a.good, key)
		return "", false
	}
	return known.account, true
}

// counts looks at both readings of the clock: it may have been set back since,
// and the machine may have slept, when monotonic time stands still.
func (a answer) counts() bool {
	return time.Until(a.until) > 0 && time.Until(a.until.Round(0)) > 0
}

// remember keeps an answer, but not beyond end; zero: the token did not say.
func (a *answers) remember(key hash, account string, end time.Time) {
	now := time.Now()
	left := a.keep
	if !end.IsZero() {
		left = min(left, end.Sub(now))
	}
	if left <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for other := range a.good { // any one of them, if there are too many
		if len(a.good) < maxAnswers {
			break
		}
		delete(a.good, other)
	}
	a.good[key] = answer{account, now.Add(left)}
}
