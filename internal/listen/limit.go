package listen

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// pair is the two ends of a connection; the zero value: not known.
type pair struct{ remote, local netip.AddrPort }

// Limits are the bounds of a Limiter. Zero means no bound.
type Limits struct {
	// Total is how many connections there may be.
	Total int
	// PerAddress is how many of them from one IPv4 address or one IPv6 /64.
	// Loopback addresses are not counted.
	PerAddress int
	// Evict makes room for a new connection, where Total is reached, by
	// closing one that has not signed in: the oldest of the network, an IPv4
	// /24 or an IPv6 /48, that has the most of those, the new one counted.
	// So a flood from one network takes places from itself only. All loopback
	// addresses are one network, and so are connections without an address.
	Evict bool
}

// Limiter bounds the connections of one or more listeners. A nil *Limiter
// bounds nothing.
type Limiter struct {
	mu        sync.Mutex
	limits    Limits
	open      int
	byAddress map[netip.Prefix]int
	waiting   crowds // tickets that have not signed in
	byEnds    map[pair]*ticket
}

// NewLimiter makes a limiter.
func NewLimiter(l Limits) *Limiter {
	return &Limiter{
		limits: l, byAddress: make(map[netip.Prefix]int), waiting: newCrowds(), byEnds: make(map[pair]*ticket),
	}
}

// Configure changes the bounds. Connections that are open stay.
func (l *Limiter) Configure(limits Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = limits
}

// Open is how many connections there are.
func (l *Limiter) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// SignedIn says that the client of a connection has proved who it is: the
// connection will not be closed to make room.
func (l *Limiter) SignedIn(remote, local netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.byEnds[pair{remote, local}]; t != nil {
		l.settle(t)
	}
}

// ticket is a connection's place.
type ticket struct {
	limiter *Limiter
	conn    net.Conn
	ends    pair
	network netip.Prefix  // counted in byAddress; zero: not counted
	crowd   *crowd        // in waiting; nil: signed in
	element *list.Element // in crowd
	gone    bool
}

// enter takes a place for conn, which is closed if its place is wanted.
func (l *Limiter) enter(conn net.Conn, ends pair) (*ticket, error) {
	if l == nil {
		return &ticket{}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &ticket{limiter: l, conn: conn}
	if err := l.count(t, ends); err != nil {
		return nil, err
	}
	if l.limits.Evict {
		l.waiting.join(t, crowdOf(ends.remote.Addr()))
	}
	if l.limits.Total > 0 && l.open >= l.limits.Total && !l.evict(t) {
		l.discount(t)
		return nil, ErrTooMany
	}
	l.open++
	return t, nil
}

// identify names the ends of a connection that entered without.
func (l *Limiter) identify(t *ticket, ends pair) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.gone {
		return net.ErrClosed
	}
	if err := l.count(t, ends); err != nil {
		return err
	}
	if t.crowd != nil {
		l.waiting.leave(t)
		l.waiting.join(t, crowdOf(ends.remote.Addr()))
	}
	return nil
}

// count adds t to its address.
func (l *Limiter) count(t *ticket, ends pair) error {
	ip := ends.remote.Addr()
	if !ip.IsValid() {
		return nil
	}
	if l.limits.PerAddress > 0 && !ip.IsLoopback() {
		network := prefix(ip)
		if l.byAddress[network] >= l.limits.PerAddress {
			return ErrAddress
		}
		l.byAddress[network]++
		t.network = network
	}
	if l.limits.Evict {
		t.ends = ends
		l.byEnds[ends] = t
	}
	return nil
}

func (l *Limiter) discount(t *ticket) {
	if t.network.IsValid() {
		if l.byAddress[t.network]--; l.byAddress[t.network] == 0 {
			delete(l.byAddress, t.network)
		}
		t.network = netip.Prefix{}
	}
	l.settle(t)
}

// settle takes t off the list of those that may be closed.
func (l *Limiter) settle(t *ticket) {
	if l.byEnds[t.ends] == t {
		delete(l.byEnds, t.ends)
	}
	l.waiting.leave(t)
}

// evict closes a connection that has not signed in, for newcomer, who is
// counted already. Where there is no other it fails.
func (l *Limiter) evict(newcomer *ticket) bool {
	t := l.waiting.first()
	if t == nil || t == newcomer {
		return false
	}
	l.remove(t)
	_ = t.conn.Close()
	return true
}

func (l *Limiter) remove(t *ticket) {
	t.gone = true
	l.open--
	l.discount(t)
}

// leave gives the place back. It may be called more than once.
func (t *ticket) leave() {
	l := t.limiter
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !t.gone {
		l.remove(t)
	}
}

// prefix is the network that is counted as one address.
func prefix(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	return around(ip, bits)
}

func around(ip netip.Addr, bits int) netip.Prefix {
	p, _ := ip.WithZone("").Prefix(bits) // bits is in range
	return p
}
