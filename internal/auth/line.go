package auth

import (
	"container/list"
	"net/netip"
)

// line is a queue in which networks take turns: however many calls one of them
// has, another waits for one of each only. The caller locks.
type line struct {
	waiting   int
	byNetwork map[netip.Prefix]*group
	turns     list.List // of groups, the next first
}

// group is the calls of one network that wait.
type group struct {
	network netip.Prefix
	calls   list.List // oldest first
	turn    *list.Element
}

// call is one that waits. It is told once: nil, that it may run, or why not.
type call struct {
	told  chan error
	line  *line // nil: it does not wait any more
	group *group
	place *list.Element // in the group
}

// add puts a call at the end of its network's.
func (l *line) add(network netip.Prefix) *call {
	g := l.byNetwork[network]
	if g == nil {
		if l.byNetwork == nil {
			l.byNetwork = make(map[netip.Prefix]*group)
		}
		g = &group{network: network}
		l.byNetwork[network], g.turn = g, l.turns.PushBack(g)
	}
	c := &call{told: make(chan error, 1), line: l, group: g}
	c.place = g.calls.PushBack(c)
	l.waiting++
	return c
}

// next takes out the call whose turn it is. There must be one.
func (l *line) next() *call {
	g := l.turns.Front().Value.(*group)
	l.turns.MoveToBack(g.turn)
	c := g.calls.Front().Value.(*call)
	c.remove()
	return c
}

// last takes out the youngest call of the network that has the most. There
// must be one. It looks at all networks: no more than calls may wait.
func (l *line) last() *call {
	most := l.turns.Front().Value.(*group)
	for e := l.turns.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*group); g.calls.Len() >= most.calls.Len() {
			most = g
		}
	}
	c := most.calls.Back().Value.(*call)
	c.remove()
	return c
}

func (c *call) remove() {
	l, g := c.line, c.group
	g.calls.Remove(c.place)
	if g.calls.Len() == 0 {
		l.turns.Remove(g.turn)
		delete(l.byNetwork, g.network)
	}
	l.waiting--
	c.line = nil
}
