package listen

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"sync"
	"time"
)

// A key seals tickets for as long as ticketRotation and opens them ticketKeys
// times as long, so that there are never more than ticketKeys: a stolen image of
// the memory tells about the sessions of one day.
const (
	ticketRotation = 8 * time.Hour
	ticketKeys     = 3
)

// ticketMark begins the entry of a ticket that names the rules under which its
// session began.
const ticketMark = "postwain/1 "

// tickets seal the sessions that clients may resume. A tls.Config keeps keys of
// its own, which its clones do not share and which a reload would lose: so all
// configurations of a server seal and open here. The keys are in memory only.
type tickets struct {
	mu     sync.Mutex
	keys   []ticketKey // newest first
	sealer tls.Config  // has the same keys
}

type ticketKey struct {
	secret [32]byte
	made   time.Time
}

// use makes c seal and open its tickets here. A session is resumed only under
// the rules of its beginning: a session of a legacy listener is none of a strict
// one, and one that began with other authorities for clients has to ask the
// client again.
func (t *tickets) use(c *tls.Config, rules string) {
	mark := []byte(ticketMark + rules)
	c.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		t.rotate()
		s.Extra = append(s.Extra, mark)
		return t.sealer.EncryptTicket(cs, s)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		t.rotate()
		s, err := t.sealer.DecryptTicket(ticket, cs)
		if s == nil || err != nil {
			return nil, err
		}
		for _, e := range s.Extra {
			if bytes.Equal(e, mark) {
				return s, nil
			}
		}
		return nil, nil // a full handshake
	}
}

// rotate makes a new key where it is time, and drops those that are too old,
// however long nobody has come.
func (t *tickets) rotate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if len(t.keys) > 0 && now.Sub(t.keys[0].made) < ticketRotation {
		return
	}
	fresh := ticketKey{made: now}
	_, _ = rand.Read(fresh.secret[:]) // never fails
	keys, secrets := []ticketKey{fresh}, [][32]byte{fresh.secret}
	for _, k := range t.keys {
		if now.Sub(k.made) < ticketKeys*ticketRotation {
			keys, secrets = append(keys, k), append(secrets, k.secret)
		}
	}
	t.keys = keys
	t.sealer.SetSessionTicketKeys(secrets)
}
