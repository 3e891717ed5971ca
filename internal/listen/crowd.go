package listen

import (
	"container/heap"
	"container/list"
	"net/netip"
)

// crowds are the connections that may be closed to make room, by the network
// that they are from. Finding the one to close takes O(log n) for n networks.
type crowds struct {
	byNetwork map[netip.Prefix]*crowd
	bySize    crowdHeap
	changes   uint64
}

// crowd is those of one network.
type crowd struct {
	network netip.Prefix
	tickets list.List // oldest first
	since   uint64    // the change that gave it its size
	index   int       // in the heap
}

func newCrowds() crowds { return crowds{byNetwork: make(map[netip.Prefix]*crowd)} }

// join adds t as the youngest of its network.
func (c *crowds) join(t *ticket, network netip.Prefix) {
	of := c.byNetwork[network]
	if of == nil {
		of = &crowd{network: network}
		c.byNetwork[network] = of
		heap.Push(&c.bySize, of)
	}
	t.crowd, t.element = of, of.tickets.PushBack(t)
	c.changed(of)
}

// leave takes t off; nothing happens if it is in no crowd.
func (c *crowds) leave(t *ticket) {
	of := t.crowd
	if of == nil {
		return
	}
	of.tickets.Remove(t.element)
	t.crowd, t.element = nil, nil
	if of.tickets.Len() == 0 {
		heap.Remove(&c.bySize, of.index)
		delete(c.byNetwork, of.network)
		return
	}
	c.changed(of)
}

func (c *crowds) changed(of *crowd) {
	c.changes++
	of.since = c.changes
	heap.Fix(&c.bySize, of.index)
}

// first is the one to close: the oldest of the network that has the most. Of
// several networks it is the one that has had so many for the longest time: so
// it is never that of a newcomer who has made it equal to another, and where
// each network has one connection it is the oldest of all. Nil: there is none.
func (c *crowds) first() *ticket {
	if len(c.bySize) == 0 {
		return nil
	}
	return c.bySize[0].tickets.Front().Value.(*ticket)
}

// crowdOf is the network that a client is counted in: what one attacker may
// have all of. The machine itself is one, and so are all that have no address
// or whose PROXY header has not come yet.
func crowdOf(ip netip.Addr) netip.Prefix {
	switch {
	case !ip.IsValid():
		return netip.Prefix{}
	case ip.IsLoopback():
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	case ip.Is4():
		return around(ip, 24)
	}
	return around(ip, 48)
}

// crowdHeap implements heap.Interface, the biggest first.
type crowdHeap []*crowd

func (h crowdHeap) Len() int { return len(h) }

func (h crowdHeap) Less(i, j int) bool {
	if a, b := h[i].tickets.Len(), h[j].tickets.Len(); a != b {
		return a > b
	}
	return h[i].since < h[j].since
}

func (h crowdHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *crowdHeap) Push(x any) {
	c := x.(*crowd)
	c.index = len(*h)
	*h = append(*h, c)
}

func (h *crowdHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
