package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/postwain/postwain/sasl"
)

// cacheSize is how many logins a cache remembers at least, about 10 MB of them
// at most.
const cacheSize = 1 << 15

// cache remembers which logins were proved: the user, the password, and where
// from, all of them, under a hash with a key that only this process has. What
// was refused is not remembered.
type cache struct {
	inner   sasl.Authenticator
	version func(name string) uint64
	keep    time.Duration
	secret  [32]byte

	mu     sync.Mutex
	proved recent[[sha256.Size]byte, proof]
}

// proof is a login that was proved.
type proof struct {
	account string
	version uint64 // of the user, before it was proved
	until   time.Time
}

func newCache(inner sasl.Authenticator, version func(name string) uint64, keep time.Duration) *cache {
	c := &cache{inner: inner, version: version, keep: keep, proved: newRecent[[sha256.Size]byte, proof](cacheSize)}
	rand.Read(c.secret[:]) // never fails
	return c
}

func (c *cache) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if len(l.User) > sasl.MaxUser || len(l.Password) > sasl.MaxPassword {
		return c.inner.Authenticate(ctx, l)
	}
	key := c.key(&l)
	var version uint64
	if c.version != nil {
		version = c.version(l.User)
	}
	if account, ok := c.find(key, version); ok {
		return account, nil
	}
	account, err := c.inner.Authenticate(ctx, l)
	if err == nil {
		c.mu.Lock()
		c.proved.put(key, proof{account, version, time.Now().Add(c.keep)})
		c.mu.Unlock()
	}
	return account, err
}

func (c *cache) find(key [sha256.Size]byte, version uint64) (account string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.proved.get(key)
	if !ok {
		return "", false
	}
	if p.version != version || time.Now().After(p.until) {
		c.proved.remove(key)
		return "", false
	}
	return p.account, true
}

// key is the hash of a login with all its parts, each of which has a length
// that is known or is told.
func (c *cache) key(l *sasl.Login) [sha256.Size]byte {
	var space [32 + 16 + 1 + 2 + sasl.MaxUser + sasl.MaxPassword]byte
	b := append(space[:0], c.secret[:]...)
	from := l.Remote.As16()
	b = append(b, from[:]...)
	if l.TLS {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.User)))
	b = append(b, l.User...)
	b = append(b, l.Password...)
	return sha256.Sum256(b)
}
