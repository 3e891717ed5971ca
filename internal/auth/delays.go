package auth

import (
	"net/netip"
	"time"
)

// How fast levels go down by one, and beyond what they make no difference but
// take longer to go away.
const (
	narrowPace = time.Minute
	widePace   = 15 * time.Second

	maxNetLevel  = 10
	maxNameLevel = 30
	maxWideLevel = 160

	maxNetDelay = 15 * time.Second
)

// netDelay is what a guesser waits.
func netDelay(level int) time.Duration {
	switch level {
	case 0:
		return 0
	case 1:
		return 2 * time.Second
	case 2:
		return 4 * time.Second
	case 3:
		return 8 * time.Second
	}
	return maxNetDelay
}

// wideDelay is what everybody waits in a network of many guessers. Those who
// have guessed themselves wait for their own delay on top of it.
func wideDelay(level int) time.Duration {
	switch {
	case level < 32:
		return 0
	case level < 64:
		return time.Second
	case level < 128:
		return 2 * time.Second
	}
	return 4 * time.Second
}

// nameDelay is what everybody waits who gives a name that many have guessed
// at: never so long that its owner could not sign in.
func nameDelay(level int) time.Duration {
	switch {
	case level < 5:
		return 0
	case level < 10:
		return time.Second
	case level < 20:
		return 2 * time.Second
	}
	return 4 * time.Second
}

// networks are the ones that an address is in. The machine itself, where a web
// mailer may sign in for everybody, is local: it counts as no guesser's and no
// owner's network. Nor does what has no address.
type networks struct {
	local bool
	exact netip.Prefix // one guesser: an IPv4 address, an IPv6 /64
	home  netip.Prefix // where one owner's address changes: /24, /56
	wide  netip.Prefix // what one attacker may have all of: /24, /48
}

func networksOf(a netip.Addr) networks {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return networks{local: true}
	}
	if a.Is4() {
		return networks{exact: around(a, 32), home: around(a, 24), wide: around(a, 24)}
	}
	return networks{exact: around(a, 64), home: around(a, 56), wide: around(a, 48)}
}

func around(a netip.Addr, bits int) netip.Prefix {
	return netip.PrefixFrom(a, bits).Masked()
}
