package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// besiege makes n wrong guesses at a name, each from a network of its own.
func besiege(s Source, name string, n int) {
	from := netip.MustParseAddr("10.0.0.1")
	for i := range n {
		b := from.As4()
		from = netip.AddrFrom4([4]byte{b[0], b[1] + 1, b[2], b[3]})
		login(s, name, fmt.Sprint("guess ", i), from)
	}
}

// Whatever others guess at a name, its owner does not wait for it where they
// have signed in, nor does a neighbour of that address; all others do.
func TestOwnersAreKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		signed, later string
		wait          int
	}{
		{"192.0.2.1", "192.0.2.1", 0},
		{"192.0.2.1", "::ffff:192.0.2.1", 0},
		{"192.0.2.1", "192.0.2.77", 0},
		{"192.0.2.1", "192.0.3.1", 4},
		{"2001:db8:0:1::1", "2001:db8:0:1::2:3:4", 0},
		{"2001:db8:0:1::1", "2001:db8:0:ff::1", 0},
		{"2001:db8:0:1::1", "2001:db8:0:100::1", 4},
		{"127.0.0.1", "127.0.0.1", 4}, // a web mailer's guesses are everybody's
		{"127.0.0.1", "127.0.0.2", 4},
	} {
		t.Run(tt.signed+" "+tt.later, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slowed(peopleOf("alice", "a secret", "bob", "b secret"))
				login(s, "alice", "a secret", netip.MustParseAddr(tt.signed))
				besiege(s, "alice", 40)
				besiege(s, "bob", 40)
				besiege(s, "nobody", 40)
				later := netip.MustParseAddr(tt.later)
				if got := waits(s, "alice", "a secret", later); got != tt.wait {
					t.Errorf("the owner waits %d s, want %d", got, tt.wait)
				}
				for _, other := range []string{"bob", "nobody"} { // alike
					if got := waits(s, other, "b secret", later); got != 4 {
						t.Errorf("%s, who is not known there, waits %d s", other, got)
					}
				}
			})
		})
	}
}

// A wrong password makes nobody known, and who is known is so for a month.
func TestKnownByLoginOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf("alice", "a secret"))
		login(s, "alice", "wrong", there)
		besiege(s, "alice", 40)
		time.Sleep(4 * time.Minute) // the address is free again, the name is not
		if got := waits(s, "alice", "a secret", there); got != 4 {
			t.Errorf("who has guessed waits %d s", got)
		}
		for _, d := range []struct {
			later time.Duration
			wait  int
		}{{knownFor - 2*time.Hour, 0}, {knownFor + time.Hour, 4}} {
			time.Sleep(d.later)
			besiege(s, "alice", 40)
			if got := waits(s, "alice", "a secret", there); got != d.wait {
				t.Errorf("%v later the owner waits %d s, want %d", d.later, got, d.wait)
			}
		}
	})
}

// Who is known at a name is not at another, and their own guesses count.
func TestKnownAndGuilty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf("alice", "a secret"))
		login(s, "alice", "a secret", here)
		besiege(s, "alice", 40)
		for i, want := range []int{0, 2, 4, 8, 15} {
			if got := waits(s, "alice", fmt.Sprint("guess ", i), here); got != want {
				t.Errorf("guess %d from a known address waits %d s, want %d", i, got, want)
			}
		}
	})
}

// spread makes n wrong guesses, one from each address in turn from first on.
func spread(s Source, first netip.Addr, n int) (last netip.Addr) {
	last = first
	for i := range n {
		login(s, fmt.Sprint("name ", i), "x", last)
		last = last.Next()
	}
	return last
}

// Many guessers in a /24 slow down the rest of it, less than themselves.
func TestWideDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf("alice", "a secret", "bob", "b secret"))
		first := netip.MustParseAddr("192.0.2.1")
		login(s, "alice", "a secret", netip.MustParseAddr("192.0.2.250"))
		next := spread(s, first, 31)
		if got := waits(s, "bob", "b secret", next); got != 0 {
			t.Errorf("31 guesses make the network wait %d s", got)
		}
		next = spread(s, next, 200)
		for _, tt := range []struct {
			user, from string
			wait       int
		}{
			{"bob", "192.0.2.240", 4},
			{"nobody", "192.0.2.241", 4},
			{"alice", "192.0.2.250", 0}, // known
			{"alice", "192.0.2.249", 4}, // only a neighbour of a known address
			{"bob", "192.0.3.1", 0},
		} {
			if got := waits(s, tt.user, "x", netip.MustParseAddr(tt.from)); got != tt.wait {
				t.Errorf("%s at %s waits %d s, want %d", tt.user, tt.from, got, tt.wait)
			}
		}
		guilty := netip.MustParseAddr("192.0.2.240")
		for i, want := range []int{6, 8, 12, 15} {
			if got := waits(s, "bob", fmt.Sprint(i), guilty); got != want {
				t.Errorf("a guesser in it waits %d s, want %d", got, want)
			}
		}
		time.Sleep(time.Hour)
		if got := waits(s, "bob", "b secret", next); got != 0 {
			t.Errorf("an hour later the network waits %d s", got)
		}
	})
}

// The /48 counts as the /24 does, and one guesser alone does not fill it.
func TestWideDelayIPv6(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf())
		for i := range 200 {
			from := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 7, 0, byte(i)})
			login(s, fmt.Sprint(i), "x", from)
		}
		for from, want := range map[string]int{"2001:db8:7:ffff::1": 4, "2001:db8:8::1": 0} {
			if got := waits(s, "nobody", "x", netip.MustParseAddr(from)); got != want {
				t.Errorf("%s waits %d s, want %d", from, got, want)
			}
		}
		program := netip.MustParseAddr("2001:db8:9::1")
		for range 200 {
			login(s, "alice", "old password", program)
		}
		if got := waits(s, "bob", "x", netip.MustParseAddr("2001:db8:9:1::1")); got != 0 {
			t.Errorf("a program with an old password makes its network wait %d s", got)
		}
	})
}

// Nobody in a wide network waits as long as who has guessed there.
func TestWideIsLaxer(t *testing.T) {
	t.Parallel()
	for wide := range maxWideLevel + 1 {
		for net := 1; net <= maxNetLevel; net++ {
			if innocent, guilty := wideDelay(wide), min(netDelay(net)+wideDelay(wide), maxNetDelay); innocent >= guilty {
				t.Errorf("levels %d and %d: %v and %v", wide, net, innocent, guilty)
			}
		}
	}
}

// A new configuration is no new start for guessers, nor for owners.
func TestThrottleGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := peopleOf("alice", "a secret")
		s := mustNew(t, Options{Sources: []Source{p.source()}})
		login(s, "alice", "a secret", there)
		besiege(s, "alice", 40)
		login(s, "bob", "x", here)
		for _, before := range []Source{s, {}} {
			next, want := mustNew(t, Options{Sources: []Source{p.source()}, Before: before}), 0
			calls := p.calls.Load()
			if got := waits(next, "alice", "a secret", there); got != 0 || p.calls.Load() != calls+1 {
				t.Errorf("the owner waits %d s, verified %d times", got, p.calls.Load()-calls)
			}
			if before.throttle != nil {
				want = 2
			}
			if got := waits(next, "bob", "y", here); got != want {
				t.Errorf("the guesser waits %d s, want %d", got, want)
			}
		}
	})
}
