package fetch

import "math"

// state is how far a message has come.
type state uint8

const (
	stateNone      state = iota
	stateSeen            // its key is settled
	stateStoring         // it may be in the destination
	stateStored          // it is in the destination
	stateDeleted         // and DELE was answered +OK in this session
	stateCommitted       // and so was QUIT
	stateKnown           // it was there before the first fetch and stays
)

// safe says that the destination has the message.
func (s state) safe() bool { return s >= stateStored && s <= stateCommitted }

// flags say more of a message. All but the lowest three bits count how often it
// was deleted and committed.
type flags uint8

const (
	flagAmbiguous flags = 1 << iota // its UID is worth nothing
	flagTold                        // it was read in a session that ended in QUIT
	flagElsewhere                   // it is stored in another place than where messages go now
	oneCommit
)

// entry is what is known of one message, in as few octets as may be: there can
// be a million.
type entry struct {
	digest digest // until the message is stored: the nonce
	time   uint32 // when it was stored, or first met
	epoch  uint32 // in which that was, or in which its key was settled
	day    uint16 // when it was last seen, in days since 1970, give or take seenDays
	state  state
	flags  flags
}

func (e *entry) nonce() nonce { return nonce(e.digest[:8]) }

func (e *entry) commits() int { return int(e.flags / oneCommit) }

// failure is why a message was set aside.
type failure struct {
	tries       int
	next        int64 // not before
	size        int64
	uid, reason string // escaped
	large       bool   // it is above the limit, which is nobody's fault
}

// table is what a journal knows.
type table struct {
	entries  map[uid]entry
	failures map[uid]*failure
	deleted  []uid // in this session
	met      bool  // the mailbox has been listed once
	serial   bool  // the server cannot take commands ahead
	named    bool  // the server gives UIDs
	renewed  bool  // others than before, and not all of them are known yet
	place    uid   // where messages go; zero: it was not said

	// epoch is how many sessions have deleted something, or may have. After each
	// of them a number may be the UID of another message.
	epoch uint32
}

func newTable() table {
	return table{entries: map[uid]entry{}, failures: map[uid]*failure{}}
}

// apply makes of the table what r says.
func (t *table) apply(r *record) {
	switch {
	case r.kind.general():
		t.applyGeneral(r)
	case r.kind == kindGone:
		delete(t.entries, r.uid)
		delete(t.failures, r.uid)
	default:
		e := t.entries[r.uid]
		t.applyTo(&e, r)
		t.entries[r.uid] = e
	}
}

func (t *table) applyGeneral(r *record) {
	switch r.kind {
	case kindBegin:
		t.endSession(func(e *entry) { e.state = stateStored })
	case kindCommitted:
		t.endSession(func(e *entry) {
			e.state = stateCommitted
			if e.flags <= math.MaxUint8-oneCommit {
				e.flags += oneCommit
			}
		})
	case kindMet:
		t.met = true
	case kindSerial:
		t.serial = true
	case kindNamed:
		t.named = true
	case kindRenewed:
		t.renewed = true
	case kindSettled:
		t.renewed = false
	case kindEpoch:
		t.epoch = uint32(r.octets)
	case kindPlace:
		t.move(r.uid)
	}
}

// move makes place where messages go. What is stored is elsewhere then.
func (t *table) move(place uid) {
	if t.place != (uid{}) && t.place != place {
		for u, e := range t.entries {
			if e.state.safe() {
				e.flags |= flagElsewhere
				t.entries[u] = e
			}
		}
	}
	t.place = place
}

func (t *table) applyTo(e *entry, r *record) {
	switch r.kind {
	case kindSeen: // a message that is new, whatever had its UID before
		*e = entry{day: dayOf(r.time), epoch: t.epoch, state: stateSeen, flags: e.flags & flagAmbiguous}
		copy(e.digest[:], r.nonce[:])
	case kindStoring:
		e.state, e.day = stateStoring, dayOf(r.time)
	case kindStored:
		e.digest, e.epoch, e.state, e.flags = r.digest, t.epoch, stateStored, e.flags&flagAmbiguous
		e.met(r.time)
		delete(t.failures, r.uid)
	case kindKnown:
		e.state = stateKnown
		e.met(r.time)
	case kindDeleted:
		e.state = stateDeleted
		t.deleted = append(t.deleted, r.uid)
	case kindTold:
		e.flags |= flagTold
	case kindListed:
		e.day = dayOf(r.time)
	case kindAmbiguous:
		e.flags |= flagAmbiguous
		e.day = dayOf(r.time)
	case kindFailed, kindTooLarge:
		f := r.failure
		e.day = dayOf(f.next)
		t.failures[r.uid] = &f
	case kindEntry:
		*e = r.entry
		if e.state == stateDeleted {
			t.deleted = append(t.deleted, r.uid)
		}
	}
}

func (e *entry) met(at int64) {
	e.time = uint32(min(max(at, 0), math.MaxUint32))
	e.day = dayOf(at)
}

func dayOf(at int64) uint16 { return uint16(min(max(at, 0)/(24*60*60), math.MaxUint16)) }

// endSession changes what was deleted in the session.
func (t *table) endSession(change func(*entry)) {
	for _, u := range t.deleted {
		if e := t.entries[u]; e.state == stateDeleted {
			change(&e)
			t.entries[u] = e
		}
	}
	if len(t.deleted) > 0 {
		t.epoch++
	}
	t.deleted = nil
}

// records gives the records that make the table of an empty one.
func (t *table) records(yield func(*record) bool) {
	for _, g := range []struct {
		kind kind
		is   bool
	}{{kindMet, t.met}, {kindSerial, t.serial}, {kindNamed, t.named}, {kindRenewed, t.renewed}} {
		if g.is && !yield(&record{kind: g.kind}) {
			return
		}
	}
	if t.place != (uid{}) && !yield(&record{kind: kindPlace, uid: t.place}) {
		return
	}
	if t.epoch > 0 && !yield(&record{kind: kindEpoch, octets: int64(t.epoch)}) {
		return
	}
	for u, e := range t.entries {
		if !yield(&record{kind: kindEntry, uid: u, entry: e}) {
			return
		}
	}
	for u, f := range t.failures {
		r := record{kind: kindFailed, uid: u, failure: *f}
		if f.large {
			r.kind = kindTooLarge
		}
		if !yield(&r) {
			return
		}
	}
}
