package listen

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// guest is a connection that has not signed in, as the plain form of the rule
// knows it.
type guest struct {
	number  int
	address netip.Addr
}

// evictions is a rule: which of those who wait, oldest first, is to go for the
// newcomer, who is the last. It has numbers of its own.
type evictions func(waiting []guest) (number int)

// asDocumented is the rule as Limits tells it, without any haste.
func asDocumented(networkOf func(netip.Addr) netip.Prefix) evictions {
	return func(waiting []guest) int {
		size := map[netip.Prefix]int{}
		for _, g := range waiting {
			size[networkOf(g.address)]++
		}
		most := 0
		for _, n := range size {
			most = max(most, n)
		}
		for _, g := range waiting {
			if size[networkOf(g.address)] == most {
				return g.number
			}
		}
		return 0
	}
}

// judgeEvictions lets clients come from everywhere, sign in and go, as seed
// says, and returns where the Limiter does something else than the rule. Where
// several networks have the most, any of them will do.
func judgeEvictions(seed uint64, rule evictions) (fault string) {
	const places = 40
	random := rand.New(rand.NewPCG(seed, 64))
	l := NewLimiter(Limits{Total: places, Evict: true})
	var waiting []guest
	conns, tickets := map[int]*fake{}, map[int]*ticket{}
	signedIn := 0
	forget := func(number int) {
		waiting = slices.DeleteFunc(waiting, func(g guest) bool { return g.number == number })
		delete(conns, number)
	}
	for number := 1; number < 3000; number++ {
		if len(waiting) > 0 && random.IntN(8) == 0 {
			g := waiting[random.IntN(len(waiting))]
			if t := tickets[g.number]; signedIn < places/2 && random.IntN(2) == 0 {
				l.SignedIn(t.ends.remote, t.ends.local)
				signedIn++
			} else {
				t.leave()
			}
			forget(g.number)
		}
		g := guest{number, visitor(random)}
		conn := new(fake)
		t, err := l.enter(conn, ends(netip.AddrPortFrom(g.address, uint16(number)).String()))
		if err != nil {
			return fmt.Sprintf("%d: %v", number, err)
		}
		waiting, conns[number], tickets[number] = append(waiting, g), conn, t
		closed := 0
		for n, c := range conns {
			if c.closed {
				closed = n
			}
		}
		if closed == 0 {
			continue
		}
		if want := rule(waiting); !equivalent(waiting, closed, want) {
			return fmt.Sprintf("%d from %v: closed %d, not %d", number, g.address, closed, want)
		}
		forget(closed)
	}
	return ""
}

// equivalent reports whether got is as good as want: the oldest of a network
// that has as many.
func equivalent(waiting []guest, got, want int) bool {
	size, oldest, of := map[netip.Prefix]int{}, map[netip.Prefix]int{}, map[int]netip.Prefix{}
	for _, g := range waiting {
		n := crowdOf(g.address)
		of[g.number] = n
		if size[n]++; size[n] == 1 {
			oldest[n] = g.number
		}
	}
	return got == want || oldest[of[got]] == got && oldest[of[want]] == want && size[of[got]] == size[of[want]]
}

// visitor is mostly from one of two floods, the more so the smaller its number.
func visitor(random *rand.Rand) netip.Addr {
	switch n := random.IntN(10); {
	case n < 4:
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(256))})
	case n < 7:
		return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, 1, byte(random.IntN(256)), 15: 1})
	case n < 8:
		return netip.AddrFrom4([4]byte{127, 0, byte(random.IntN(256)), 1})
	case n < 9:
		return netip.AddrFrom4([4]byte{203, 0, byte(random.IntN(256)), 7})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 1, byte(random.IntN(256)), 15: 1})
}

// The places for newcomers come from the network that has the most, and what
// judges it sees the rules that are not meant.
func TestLimiterEvictsTheFullest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		rule evictions
	}{
		{"", asDocumented(crowdOf)}, // sound
		{"the oldest of all", func(waiting []guest) int { return waiting[0].number }},
		{"the youngest", func(waiting []guest) int { return waiting[len(waiting)-2].number }},
		{"networks of one address", asDocumented(prefix)},
		{"wide networks", asDocumented(func(ip netip.Addr) netip.Prefix { return around(ip, 16) })},
		{"loopback like others", asDocumented(func(ip netip.Addr) netip.Prefix {
			if ip.Is4() {
				return around(ip, 24)
			}
			return around(ip, 48)
		})},
		{"the newcomer's network", func(waiting []guest) int {
			last := waiting[len(waiting)-1]
			i := slices.IndexFunc(waiting, func(g guest) bool { return crowdOf(g.address) == crowdOf(last.address) })
			return waiting[i].number
		}},
	} {
		fault := ""
		for seed := range uint64(5) {
			if fault == "" {
				fault = judgeEvictions(seed, tt.rule)
			}
		}
		if (fault != "") != (tt.name != "") {
			t.Errorf("%q: %q", tt.name, fault)
		}
	}
}

// Honest clients who sit in a delay stay while a network floods the server,
// and while it comes back for each place that it has lost.
func TestFloodTakesFromItself(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 10, Evict: true})
	var honest [3]fake
	for i := range honest {
		if _, err := l.enter(&honest[i], ends(fmt.Sprintf("203.0.%d.1:1", i))); err != nil {
			t.Fatal(err)
		}
	}
	flood := make([]fake, 100)
	for i := range flood {
		if _, err := l.enter(&flood[i], ends(fmt.Sprintf("192.0.2.%d:1", i))); err != nil {
			t.Fatal(err)
		}
	}
	var late fake
	if _, err := l.enter(&late, ends("203.0.113.1:1")); err != nil {
		t.Fatal(err)
	}
	for i := range honest {
		if honest[i].closed {
			t.Errorf("honest client %d had to go", i)
		}
	}
	open := 0
	for i := range flood {
		if !flood[i].closed {
			open++
		}
	}
	if open != 6 || late.closed || !flood[93].closed || flood[94].closed {
		t.Errorf("%d of the flood are open, want the last 6; late one closed: %v", open, late.closed)
	}
}

// A network that has as many as another gets no place from it.
func TestEqualNetworks(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 4, Evict: true})
	conns := make([]fake, 5)
	for i, from := range []string{"192.0.2.1:1", "192.0.2.2:1", "203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"} {
		if _, err := l.enter(&conns[i], ends(from)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range conns {
		if conns[i].closed != (i == 2) {
			t.Errorf("%d: closed %v", i, conns[i].closed)
		}
	}
}

// Where each network has one connection the oldest goes, as long as another
// one can.
func TestEvictsOfManyNetworks(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 3, Evict: true})
	conns := make([]fake, 6)
	var last *ticket
	for i := range conns {
		var err error
		if last, err = l.enter(&conns[i], ends(fmt.Sprintf("203.0.%d.1:1", i))); err != nil {
			t.Fatal(err)
		}
		if conns[i].closed || i >= 3 && !conns[i-3].closed {
			t.Fatalf("after %d: %+v", i, conns)
		}
	}
	for _, i := range []int{3, 4, 5} {
		l.SignedIn(ends(fmt.Sprintf("203.0.%d.1:1", i)).remote, last.ends.local)
	}
	var newcomer fake
	if _, err := l.enter(&newcomer, ends("203.0.113.1:1")); !errors.Is(err, ErrTooMany) || newcomer.closed {
		t.Errorf("%v, closed %v", err, newcomer.closed)
	}
	if n := len(l.waiting.byNetwork) + len(l.waiting.bySize); n != 0 {
		t.Errorf("left over: %+v", l.waiting)
	}
}

// Who comes by a proxy belongs to the proxy's unknown clients until the header
// is there, and to its own network then.
func TestCrowdOfProxied(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 3, Evict: true})
	conns := make([]fake, 4)
	for i, from := range []string{"203.0.113.1:1", "192.0.2.1:1", "192.0.2.2:1"} {
		ticket, err := l.enter(&conns[i], pair{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.identify(ticket, ends(from)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.enter(&conns[3], pair{}); err != nil {
		t.Fatal(err)
	}
	for i := range conns {
		if conns[i].closed != (i == 1) {
			t.Errorf("%d: closed %v", i, conns[i].closed)
		}
	}
}

func TestCrowdOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "192.0.3.1", false},
		{"2001:db8:1::1", "2001:db8:1:ffff::1", true},
		{"2001:db8:1::1", "2001:db8:2::1", false},
		{"127.0.0.1", "127.9.9.9", true},
		{"127.0.0.1", "::1", true},
		{"fe80::1%a", "fe80::2%b", true},
		{"192.0.2.1", "127.0.0.1", false},
	} {
		if got := crowdOf(netip.MustParseAddr(tt.a)) == crowdOf(netip.MustParseAddr(tt.b)); got != tt.same {
			t.Errorf("%s and %s: %v", tt.a, tt.b, got)
		}
	}
}

// A connection costs as much where a thousand networks wait as where one does,
// and as many allocations.
func BenchmarkEvict(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n, " networks"), func(b *testing.B) {
			l := NewLimiter(Limits{Total: 10000, Evict: true})
			var c fake
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				from := netip.AddrFrom4([4]byte{10, byte(i % n >> 8), byte(i % n), 1})
				_, err := l.enter(&c, pair{netip.AddrPortFrom(from, uint16(i)), netip.AddrPort{}})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
