package pop3

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// URL names a maildrop on a server: pop://user;auth=TYPE@host:port (RFC 2384).
// The scheme pops, which is in wide use and in no RFC, is POP3 inside TLS from
// the first octet.
type URL struct {
	TLS  bool   // the scheme is pops
	User string // empty: ask, or anonymous
	Auth string // a SASL mechanism, or "+APOP"; empty or "*": any
	Host string // a name, or an address without brackets
	Port int    // 0: the scheme's own, 110 or 995
}

var errURL = errors.New("pop3: not a pop:// URL")

// ParseURL parses a pop:// or pops:// URL. A password in it is refused, since
// URLs are written down where passwords should not be (RFC 2384 §8).
func ParseURL(s string) (URL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	tls := EqualASCII(scheme, "POPS")
	if !ok || !tls && !EqualASCII(scheme, "POP") {
		return URL{}, errURL
	}
	u := URL{TLS: tls}
	rest = strings.TrimSuffix(rest, "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := u.parseUser(rest[:at]); err != nil {
			return URL{}, err
		}
		rest = rest[at+1:]
	}
	if err := u.parseHost(rest); err != nil {
		return URL{}, err
	}
	return u, nil
}

func (u *URL) parseUser(s string) (err error) {
	if strings.IndexByte(s, ':') >= 0 {
		return errors.New("pop3: a URL must not contain a password")
	}
	user, auth, has := strings.Cut(s, ";")
	if u.User, err = unescape(user); err != nil {
		return err
	}
	if !has {
		return nil
	}
	if len(auth) <= len("AUTH=") || !EqualASCII(auth[:5], "AUTH=") {
		return errURL
	}
	u.Auth, err = unescape(auth[5:])
	return err
}

func (u *URL) parseHost(s string) error {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		n, err := ParseNumber([]byte(port))
		if err != nil || n == 0 || n > 65535 {
			return errURL
		}
		u.Port = n
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
		if _, err := netip.ParseAddr(host); err != nil {
			return errURL
		}
	} else if strings.ContainsAny(host, ":[]/?#%;@ ") {
		return errURL
	}
	if host == "" {
		return errURL
	}
	for _, c := range []byte(host) {
		if c <= ' ' || c == 0x7F {
			return errURL
		}
	}
	u.Host = host
	return nil
}

// unescape decodes percent signs. What it returns may go into a command, so it
// has no control characters.
func unescape(s string) (string, error) {
	s, err := url.PathUnescape(s)
	if err != nil {
		return "", errURL
	}
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7F {
			return "", errURL
		}
	}
	return s, nil
}

// Addr returns host:port, with the scheme's own port where the URL has none.
func (u URL) Addr() string {
	port := u.Port
	switch {
	case port == 0 && u.TLS:
		port = 995
	case port == 0:
		port = 110
	}
	return u.host() + ":" + strconv.Itoa(port)
}

// host returns the host, an IPv6 address in brackets.
func (u URL) host() string {
	if strings.IndexByte(u.Host, ':') >= 0 {
		return "[" + u.Host + "]"
	}
	return u.Host
}

// String returns the URL. ParseURL gives the same URL back.
func (u URL) String() string {
	var b strings.Builder
	b.WriteString("pop")
	if u.TLS {
		b.WriteByte('s')
	}
	b.WriteString("://")
	if u.User != "" || u.Auth != "" {
		b.WriteString(escape(u.User))
		if u.Auth != "" {
			b.WriteString(";AUTH=" + escape(u.Auth))
		}
		b.WriteByte('@')
	}
	b.WriteString(u.host())
	if u.Port != 0 {
		b.WriteString(":" + strconv.Itoa(u.Port))
	}
	return b.String()
}

// escape encodes all but what RFC 2384 §4 calls achar, the sign of a
// sub-address excepted, which many readers take for a space.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("-_.~*!$'(),&=", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
