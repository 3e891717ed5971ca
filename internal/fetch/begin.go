package fetch

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

// A message that is stored is remembered for keepDays days after it was last
// seen, since servers hide messages (quirk 1). When it was last seen is noted
// every seenDays days.
const (
	keepDays = 90 + seenDays
	seenDays = 30
)

// plan decides what is to be done, and begins the session in the journal. When
// it returns nil, all that the transfer relies on is on the disk.
func (s *session) plan(ctx context.Context) error {
	p := planner{policy: &s.account.Policy, now: time.Now(), asked: s.asked, hides: s.hides}
	s.journal.change(func(t *table, note func(record)) {
		if len(t.deleted) > 0 { // an earlier session deleted, and QUIT had no answer
			note(record{kind: kindBegin})
		}
		if here := s.account.place(); here != (uid{}) && here != t.place {
			note(record{kind: kindPlace, uid: here})
		}
		p.table = t
		p.plan(s.items)
		s.read = slices.ContainsFunc(s.items, func(it item) bool { return it.action == Compare })
		// When a round looks for more, a message with a new UID and known contents
		// is taken for the old one as well: else a server could go on for ever.
		if s.read || p.renewed || s.looking {
			s.stored = t.digests()
		}
	})
	s.tell(&p)
	if s.read {
		if err := s.compare(ctx, &p); err != nil {
			return err
		}
	}
	s.choose()
	s.journal.change(func(t *table, note func(record)) { s.settle(&p, t, note) })
	if err := s.journal.flush(); err != nil {
		return s.wrap("writing the journal", err)
	}
	s.announce()
	return nil
}

// digests gives what is stored in the destination.
func (t *table) digests() map[digest]struct{} {
	all := make(map[digest]struct{}, len(t.entries))
	for _, e := range t.entries {
		if e.state.safe() && e.flags&flagElsewhere == 0 {
			all[e.digest] = struct{}{}
		}
	}
	return all
}

// tell warns people of what the listing shows.
func (s *session) tell(p *planner) {
	if s.sessions > 0 {
		return
	}
	if p.kept > 0 {
		s.warn(fmt.Sprintf("%d messages have been deleted on the server at least %d times, and it keeps them", p.kept, manyKept))
	}
	if p.elsewhere > 0 {
		s.warn(fmt.Sprintf("%d messages were stored in another destination before, and stay on the server: remove them with a mail program, or fetch them once more with another state directory", p.elsewhere))
	}
	if p.doubtful > 0 {
		s.warn(fmt.Sprintf("fetching was interrupted: %d messages may be stored a second time now", p.doubtful))
	}
	if p.renewed {
		s.warn("the server has given new UIDs to its messages: what is the same as before is not stored again")
	}
	if n := len(p.ambiguous); n > 0 {
		s.warn(fmt.Sprintf("%d UIDs belong to several messages each: these are told apart by their contents", n))
	}
}

// choose fills in the keys of new messages, and leaves for later what the
// policy does not allow in this round.
func (s *session) choose() {
	left := len(s.items)
	if p := s.account.Policy; p.Limit > 0 {
		left = max(0, p.Limit-s.report.Fetched)
	}
	var fresh nonce
	rand.Read(fresh[:])
	for i := range s.items {
		it := &s.items[i]
		if it.action != Fetch {
			continue
		}
		if left == 0 {
			s.bound = s.bound || it.keyed()
			it.action, it.reason = Leave, "the limit of the round is reached"
			continue
		}
		left--
		if it.fresh {
			it.nonce = fresh
		}
		s.numbered = s.numbered || it.nonce != nonce{}
	}
}

// settle notes what the listing says.
func (s *session) settle(p *planner, t *table, note func(record)) {
	at := p.now.Unix()
	today := int(dayOf(at))
	for _, u := range p.ambiguous {
		note(record{kind: kindAmbiguous, uid: u, time: at})
	}
	seen := func(u uid) {
		if e, ok := t.entries[u]; ok && today-int(e.day) >= seenDays {
			note(record{kind: kindListed, uid: u, time: at})
		}
	}
	first, toFetch := !t.met, false
	listed := make(map[uid]struct{}, len(s.items))
	for i := range s.items {
		it := &s.items[i]
		listed[it.uid] = struct{}{}
		if !it.byUID() && it.text != "" { // a UID that is remembered to be worth nothing
			u := uidOf(it.text)
			listed[u] = struct{}{}
			seen(u)
		}
		toFetch = toFetch || it.action == Fetch
		switch e := t.entries[it.uid]; {
		case it.action == Fetch && it.fresh:
			if e.state == stateStored { // and may be there under another number
				note(record{kind: kindStored, uid: uidOfContent(e.digest), digest: e.digest, time: at})
			}
			note(record{kind: kindSeen, uid: it.uid, nonce: it.nonce, time: at})
		case first && p.policy.OnlyNew && e.state == stateNone && it.uid != uid{}:
			note(record{kind: kindKnown, uid: it.uid, time: at})
		default:
			seen(it.uid)
		}
	}
	// What was deleted for good and is gone need not be known any more, and must
	// not be: its UID may come back for another message (RFC 1939 §7). Nor need
	// what has not been seen for long.
	for u, e := range t.entries {
		if s.unsure {
			break
		}
		if _, there := listed[u]; !there && (e.state == stateCommitted || today-int(e.day) > keepDays) {
			note(record{kind: kindGone, uid: u})
		}
	}
	if first {
		note(record{kind: kindMet})
	}
	if s.named && !t.named && len(s.items) > 0 {
		note(record{kind: kindNamed})
	}
	if renewed := p.renewed && toFetch; renewed && !t.renewed {
		note(record{kind: kindRenewed})
	} else if !renewed && t.renewed {
		note(record{kind: kindSettled})
	}
}

// announce tells what will be done.
func (s *session) announce() {
	e := Event{Kind: Listed, Number: len(s.items)}
	s.mu.Lock()
	s.report.Left = len(s.items)
	for i := range s.items {
		it := &s.items[i]
		e.Octets = plus(e.Octets, it.size)
		switch {
		case it.action == Fetch:
			e.Total++
			e.TotalOctets = plus(e.TotalOctets, it.size)
		case it.large:
			s.large[it.id()] = struct{}{}
		case it.failure != nil:
			if _, told := s.failed[it.id()]; !told { // by its number in an earlier session
				s.failed[it.id()] = it.failure.report(it.number)
			}
		}
	}
	s.mu.Unlock()
	s.send(e)
}
