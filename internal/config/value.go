package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Store is a kind of mail store.
type Store string

// The stores of this version.
const (
	Maildir  Store = "maildir"
	InBucket Store = "bucket"
)

// UnmarshalText accepts the names of the stores that this version has.
func (s *Store) UnmarshalText(text []byte) error {
	return choose(s, text, []Store{Maildir, InBucket}, "mbox")
}

// Lock says what happens when an account is opened twice.
type Lock string

// The locks.
const (
	Exclusive Lock = "exclusive"
	Snapshot  Lock = "snapshot"
)

// UnmarshalText accepts the names of the locks.
func (l *Lock) UnmarshalText(text []byte) error {
	return choose(l, text, []Lock{Exclusive, Snapshot})
}

// UTF8 says how mail with UTF-8 headers is served.
type UTF8 string

// The ways to serve UTF-8.
const (
	AsStored UTF8 = "as-stored"
	Strict   UTF8 = "strict"
)

// UnmarshalText accepts the names of the ways.
func (u *UTF8) UnmarshalText(text []byte) error {
	return choose(u, text, []UTF8{AsStored, Strict})
}

// Proto is what a listener speaks.
type Proto string

// The protocols of this version.
const (
	POP3  Proto = "pop3"
	POP3S Proto = "pop3s"
	LMTP  Proto = "lmtp"
	KPOP  Proto = "kpop"
)

// UnmarshalText accepts the names of the protocols that this version speaks.
func (p *Proto) UnmarshalText(text []byte) error {
	return choose(p, text, []Proto{POP3, POP3S, LMTP, KPOP})
}

// Format is the form of the log.
type Format string

// The forms of the log.
const (
	Text Format = "text"
	JSON Format = "json"
)

// UnmarshalText accepts the names of the forms.
func (f *Format) UnmarshalText(text []byte) error {
	return choose(f, text, []Format{Text, JSON})
}

// choose sets *to if text is one of the choices. Names in later are known but
// have no code yet.
func choose[T ~string](to *T, text []byte, choices []T, later ...string) error {
	if slices.Contains(choices, T(text)) {
		*to = T(text)
		return nil
	}
	if slices.Contains(later, string(text)) {
		return fmt.Errorf("%q is not in this version", text)
	}
	quoted := make([]string, len(choices))
	for i, c := range choices {
		quoted[i] = strconv.Quote(string(c))
	}
	return fmt.Errorf("%q is none of %s", text, strings.Join(quoted, ", "))
}

// Addr is where to listen.
type Addr struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or the path of a socket
}

// String gives the form that the file uses.
func (a Addr) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// Local reports whether only this machine can reach the address.
func (a Addr) Local() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(a.Address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// UnmarshalText reads host:port or unix:/path.
func (a *Addr) UnmarshalText(text []byte) error {
	s := string(text)
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		// The system's limit for the path of a socket is 107 octets.
		if path == "" || len(path) > 107 || strings.ContainsRune(path, 0) {
			return fmt.Errorf("%q: a socket needs a path of 1 to 107 octets", s)
		}
		*a = Addr{Network: "unix", Address: filepath.Clean(path)}
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address; write \"host:port\" or \"unix:/path\"", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number up to 65535", s)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !validHost(host) {
		return fmt.Errorf("%q: the host is no address and no name", s)
	}
	*a = Addr{Network: "tcp", Address: s}
	return nil
}

// Network is a set of IP addresses.
type Network struct{ netip.Prefix }

// UnmarshalText reads "192.0.2.0/24", or a single address.
func (n *Network) UnmarshalText(text []byte) error {
	if ip, err := netip.ParseAddr(string(text)); err == nil && ip.Zone() == "" {
		n.Prefix = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no network; write \"192.0.2.0/24\" or \"2001:db8::/32\"", text)
	}
	n.Prefix = p.Masked()
	return nil
}

// Mode is the access mode of a file.
type Mode uint32

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is no mode; write octal digits, as \"0660\"", text)
	}
	*m = Mode(n)
	return nil
}

// MarshalText gives octal digits.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// Expire is how long mail is kept: zero for ever, AfterRetrieval until a
// session has retrieved it, else whole days.
type Expire time.Duration

// AfterRetrieval as an Expire removes what a session has retrieved.
const AfterRetrieval Expire = 1

// UnmarshalText reads "never", "after-retrieval" or a duration of days.
func (e *Expire) UnmarshalText(text []byte) error {
	switch string(text) {
	case "never":
		*e = 0
		return nil
	case "after-retrieval":
		*e = AfterRetrieval
		return nil
	}
	const day = 24 * time.Hour
	d, err := ParseDuration(string(text))
	// A zero might be meant as "never", and would remove mail.
	if err != nil || d < day || d%day != 0 {
		return fmt.Errorf("%q is none of \"never\", \"after-retrieval\" and a number of days such as \"30d\"", text)
	}
	*e = Expire(d)
	return nil
}

// MarshalText gives the form that UnmarshalText reads.
func (e Expire) MarshalText() ([]byte, error) {
	switch {
	case e == 0:
		return []byte("never"), nil
	case e == AfterRetrieval:
		return []byte("after-retrieval"), nil
	}
	return []byte(formatDuration(time.Duration(e))), nil
}

// Size is a number of octets.
type Size int64

// UnmarshalText reads a number and a unit.
func (s *Size) UnmarshalText(text []byte) error {
	digits := len(text) - len(strings.TrimLeft(string(text), "0123456789"))
	n, err := strconv.ParseInt(string(text[:digits]), 10, 64)
	for _, u := range sizeUnits {
		if err == nil && u.name == string(text[digits:]) && n <= math.MaxInt64/u.octets {
			*s = Size(n * u.octets)
			return nil
		}
	}
	return fmt.Errorf("%q is no size; write \"512KiB\", \"64MiB\" or \"1GiB\"", text)
}

// MarshalText gives the form that UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.octets == 0 {
			return fmt.Appendf(nil, "%d%s", int64(s)/u.octets, u.name), nil
		}
	}
	return []byte("0"), nil
}

var sizeUnits = []struct {
	name   string
	octets int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"", 1},
}

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

// maxDuration is a hundred years, so that sums cannot overflow.
const maxDuration = 36500 * 24 * time.Hour

// ParseDuration reads numbers with units, as "1h30m" or "30d".
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration; write \"90s\", \"10m\", \"12h\" or \"30d\"", s)
	if s == "" {
		return 0, bad
	}
	var total time.Duration
	for s != "" {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		n, err := strconv.ParseInt(s[:digits], 10, 64)
		s = s[digits:]
		letters := len(s) - len(strings.TrimLeft(s, "dhms"))
		unit := durationUnit(s[:letters])
		s = s[letters:]
		if err != nil || unit == 0 || n > int64(maxDuration/unit) {
			return 0, bad
		}
		if total += time.Duration(n) * unit; total > maxDuration {
			return 0, bad
		}
	}
	return total, nil
}

// durationUnit gives the unit of that name, or zero.
func durationUnit(name string) time.Duration {
	for _, u := range durationUnits {
		if u.name == name {
			return u.unit
		}
	}
	return 0
}

// formatDuration gives a form that ParseDuration reads.
func formatDuration(d time.Duration) string {
	for _, u := range durationUnits {
		if d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return "0s"
}
