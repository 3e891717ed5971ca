package bucket

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"sync"
	"time"
)

// ulid is a time in milliseconds and 80 bits that nobody else has, in the order
// of time (github.com/ulid/spec).
type ulid [16]byte

// crockford is the alphabet, in the order of values, of 26 letters for a ulid.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// String writes 130 bits, of which the first two are nothing.
func (u ulid) String() string {
	var out [26]byte
	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

func parseULID(text string) (u ulid, ok bool) {
	if len(text) != 26 || text[0] > '7' {
		return u, false
	}
	// base32 reads whole octets: six letters of nothing make 160 bits of them.
	bits, err := base32.NewEncoding(crockford).DecodeString("000000" + text)
	if err != nil {
		return u, false
	}
	copy(u[:], bits[4:])
	return u, u.String() == text
}

// milliseconds is the time at which it was made.
func (u ulid) milliseconds() int64 {
	var ms [8]byte
	copy(ms[2:], u[:6])
	return int64(binary.BigEndian.Uint64(ms[:]))
}

// ulids makes them. Those of one time, or of a clock that was put back, are in
// the order in which they are made.
type ulids struct {
	mu   sync.Mutex
	last ulid
}

// next makes one of now.
func (m *ulids) next(now time.Time) ulid {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := newULID(now)
	if u.before(m.last) || u.milliseconds() == m.last.milliseconds() {
		u = m.last
		for i := len(u) - 1; i >= 0; i-- {
			if u[i]++; u[i] != 0 {
				break
			}
		}
	}
	m.last = u
	return u
}

func (u ulid) before(v ulid) bool { return string(u[:]) < string(v[:]) }

// newULID makes one of any time.
func newULID(at time.Time) (u ulid) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, at.UnixMilli())))
	copy(u[:6], ms[2:])
	rand.Read(u[6:])
	u[6] &= 0x7F // room for those that follow at the same time
	return u
}
