package maildroptest

import (
	"maps"
	"slices"
)

// Clone returns a Ledger that knows what l knows. Check draws conclusions from
// what it finds; so a test that judges several outcomes of one crash checks
// each with a clone.
func (l *Ledger) Clone() *Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Ledger{drops: make(map[string]*ledgerDrop, len(l.drops))}
	for account, d := range l.drops {
		n := *d
		n.mail = make(map[string]*posting, len(d.mail))
		for id, p := range d.mail {
			q := *p
			q.keys = maps.Clone(p.keys)
			n.mail[id] = &q
		}
		n.known = make(map[string]*entry, len(d.known))
		for uid, e := range d.known {
			f := *e
			n.known[uid] = &f
		}
		n.doubts = maps.Clone(d.doubts)
		n.order = slices.Clone(d.order)
		n.faults = slices.Clone(d.faults)
		c.drops[account] = &n
	}
	return c
}
