package fetch

import (
	"fmt"
	"math"
	"time"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// Action is what a round does with a message.
type Action uint8

// The actions.
const (
	Leave   Action = iota // nothing
	Fetch                 // fetch it, and delete it where the policy says so
	Delete                // delete it: it was fetched before
	Compare               // read it, since its UID does not tell whether it was fetched
)

// String returns the action in small letters.
func (a Action) String() string {
	names := [...]string{"leave", "fetch", "delete", "compare"}
	if int(a) >= len(names) {
		return "unknown"
	}
	return names[a]
}

// Planned is what a round would do with a message.
type Planned struct {
	Number int
	UID    string // escaped; empty: it has none
	Size   int64  // in octets, a hint; 0: unknown
	Action Action
	Reason string // why it is left or compared; empty: nothing to be said
}

// item is a message that the server lists.
type item struct {
	number int
	size   int64
	text   string // its UID as the server gave it
	uid    uid    // its name in the journal; zero: none until it was compared
	nonce  nonce
	action Action
	reason string

	content *digest  // what is in it, if that is its name
	fresh   bool     // a key of its own is to be settled in the journal
	failure *failure // why it is left; nil: not because it failed
	large   bool     // it is left because it is too large
	read    bool     // it was read to its end in this session
}

// id names an item among those of its session, and as well as can be in others.
func (it *item) id() uid {
	if it.uid == (uid{}) {
		return hashed('n', fmt.Appendf(nil, "%d %d", it.number, it.size))
	}
	return it.uid
}

// keyed says that an earlier session may have stored the message under a key
// that holds only as long as it has its number.
func (it *item) keyed() bool { return !it.fresh && it.nonce != nonce{} }

// merge makes items of the answers to UIDL and LIST, both in the order of
// numbers. What only one of them knows is there as well (quirk 44); sizes are
// hints. Where the server has no UIDL, uids is nil.
func merge(uids, sizes []pop3client.Listed) []item {
	list := make([]item, 0, max(len(uids), len(sizes)))
	for len(uids) > 0 || len(sizes) > 0 {
		var it item
		switch {
		case len(sizes) == 0, len(uids) > 0 && uids[0].Number < sizes[0].Number:
			it.number = uids[0].Number
		default:
			it.number = sizes[0].Number
		}
		if len(uids) > 0 && uids[0].Number == it.number {
			it.text = uids[0].UID
			uids = uids[1:]
		}
		if len(sizes) > 0 && sizes[0].Number == it.number {
			it.size = max(sizes[0].Size, 0)
			sizes = sizes[1:]
		}
		list = append(list, it)
	}
	return list
}

// planner decides what becomes of the messages of a listing. It changes nothing.
type planner struct {
	policy *Policy
	table  *table
	now    time.Time
	asked  map[uid]struct{} // what this round has deleted already

	hides bool // the server lists nothing that was read in a session that ended in QUIT

	ambiguous []uid // UIDs that turn out to be worth nothing
	elsewhere int   // messages that are stored in another destination
	kept      int   // messages that the server keeps although they are deleted again and again
	doubtful  int   // messages that may be stored already, and nobody can be asked
	renewed   bool  // no UID is known any more
}

// manyKept is how often a message is deleted in vain before people are told.
const manyKept = 3

// fewest is how many messages there must have been before it is suspicious that
// none of them is listed.
const fewest = 20

// plan fills in what is to be done with each message.
func (p *planner) plan(list []item) {
	count := make(map[uid]int, len(list))
	for i := range list {
		it := &list[i]
		if it.text != "" {
			it.uid = uidOf(it.text)
			count[it.uid]++
		}
	}
	for u, n := range count {
		if n > 1 && p.table.entries[u].flags&flagAmbiguous == 0 {
			p.ambiguous = append(p.ambiguous, u)
		}
	}
	for i := range list {
		it := &list[i]
		if it.text == "" || count[it.uid] > 1 || p.table.entries[it.uid].flags&flagAmbiguous != 0 {
			it.action, it.uid, it.reason = Compare, uid{}, "its UID does not tell it from others"
			if it.text == "" {
				it.reason = "it has no UID"
			}
			if !p.setAside(it) {
				p.limit(it)
			}
			continue
		}
		p.decide(it)
	}
	p.renewed = p.table.renewed || p.allNew(count)
}

// allNew says that the server knows none of many messages any more (quirk 41,
// fault 100).
func (p *planner) allNew(listed map[uid]int) bool {
	known := 0
	for u, e := range p.table.entries {
		if _, there := listed[u]; there {
			return false
		}
		if e.state == stateStored || e.state == stateDeleted || e.state == stateKnown {
			known++
		}
	}
	return known >= fewest && len(listed) > 0
}

// decide is for a message that has a name, be it a UID or what is in it.
func (p *planner) decide(it *item) {
	it.action, it.reason = Leave, ""
	e := p.table.entries[it.uid]
	switch {
	case !e.state.safe() && p.setAside(it):
	case e.state == stateKnown, p.policy.OnlyNew && !p.table.met && e.state == stateNone:
		it.reason = "it was there at first"
	case e.state.safe():
		p.decideSafe(it, &e)
	default:
		it.action, it.nonce = Fetch, e.nonce()
		if e.state == stateStoring {
			it.reason = "it may be stored already"
			p.doubtful++
		}
		if it.byUID() && reusable(it.text) {
			it.fresh = e.state == stateNone || e.epoch != p.table.epoch
		}
		p.limit(it)
	}
}

// setAside leaves a message that has failed, if it is not its time yet.
func (p *planner) setAside(it *item) bool {
	f := p.table.failures[it.id()]
	if f == nil || !f.waits(p.policy, p.now) {
		return false
	}
	if it.large = f.large; !f.large {
		it.failure = f
	}
	it.action, it.reason = Leave, f.reason
	return true
}

// byUID says that the name of the item is its UID.
func (it *item) byUID() bool { return it.content == nil }

// decideSafe is for a message that the destination has.
func (p *planner) decideSafe(it *item, e *entry) {
	if e.commits() >= manyKept {
		p.kept++
	}
	deletes := p.policy.deletes(int64(e.time), p.now)
	switch _, asked := p.asked[it.uid]; {
	case !deletes && p.hides && e.flags&flagTold == 0 && it.byUID():
		it.action, it.reason = Compare, "it was fetched before, and the server has to be told again"
	case !deletes:
		it.reason = "it was fetched before"
	case e.flags&flagElsewhere != 0:
		p.elsewhere++
		it.reason = "it was stored in another destination"
	case asked:
		it.reason = "the server keeps it, although it was deleted"
	case e.epoch != p.table.epoch && e.commits() < manyKept && it.byUID() && reusable(it.text):
		it.action, it.reason = Compare, "another message may have its UID by now"
	default:
		it.action = Delete
	}
	if it.action == Compare {
		p.setAside(it)
	}
}

// limit leaves a message that is too large.
func (p *planner) limit(it *item) {
	if p.policy.MaxSize > 0 && it.size > p.policy.MaxSize {
		it.action, it.large, it.reason = Leave, true, "it is too large"
	}
}

// plus adds sizes, which may be anything.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (it *item) planned() Planned {
	return Planned{Number: it.number, UID: pop3.Printable(it.text, maxUID), Size: it.size, Action: it.action, Reason: it.reason}
}
