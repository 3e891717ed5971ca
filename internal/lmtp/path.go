package lmtp

import (
	"unicode"
	"unicode/utf8"
)

// Limits of a path. RFC 5321 §4.5.3.1 asks for at least 64 octets of local
// part and 256 in all; bounce addresses of mailing lists are often longer.
const (
	maxMailbox = 512
	maxDomain  = 255
)

// mailbox is what stands in a path.
type mailbox struct {
	text   string // local part, and "@" and domain if there is one; empty for <>
	domain bool
	utf8   bool // has octets outside ASCII
}

// parsePath reads a path with its angle brackets from the start of s and
// returns what follows it. A source route is dropped (RFC 5321 §4.1.1.3).
func parsePath(s string) (m mailbox, rest string, ok bool) {
	if len(s) < 2 || s[0] != '<' {
		return m, "", false
	}
	s = s[1:]
	if s[0] == '>' {
		return m, s[1:], true
	}
	if s, ok = skipRoute(s); !ok {
		return m, "", false
	}
	n := scanLocal(s)
	if n == 0 {
		return m, "", false
	}
	if n < len(s) && s[n] == '@' {
		d := scanDomain(s[n+1:])
		if d == 0 {
			return m, "", false
		}
		m.domain = true
		n += 1 + d
	}
	if n >= len(s) || s[n] != '>' || n > maxMailbox {
		return m, "", false
	}
	m.text = s[:n]
	m.utf8, ok = checkText(m.text)
	return m, s[n+1:], ok
}

// skipRoute drops "@one,@two:" from the front of s.
func skipRoute(s string) (string, bool) {
	for len(s) > 0 && s[0] == '@' {
		n := 1 + scanDomain(s[1:])
		if n == 1 || n == len(s) {
			return s, false
		}
		switch s[n] {
		case ':':
			return s[n+1:], true
		case ',':
			s = s[n+1:]
		default:
			return s, false
		}
		if len(s) == 0 || s[0] != '@' {
			return s, false
		}
	}
	return s, true
}

// scanLocal returns the length of the local part at the start of s, 0 if there
// is none: atoms between single dots, or a quoted string (RFC 5321 §4.1.2).
// Octets outside ASCII are left to checkText.
func scanLocal(s string) int {
	if len(s) > 0 && s[0] == '"' {
		return scanQuoted(s)
	}
	i, atom := 0, false
	for ; i < len(s); i++ {
		if s[i] == '.' && atom {
			atom = false
		} else if isAtext(s[i]) {
			atom = true
		} else {
			break
		}
	}
	if !atom {
		return 0
	}
	return i
}

func scanQuoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return 0
			}
		case c < ' ' || c == 0x7F:
			return 0
		}
	}
	return 0
}

// scanDomain returns the length of the domain or address literal at the start
// of s, 0 if there is none. Underscores are taken, since hosts have them.
func scanDomain(s string) int {
	if len(s) > 0 && s[0] == '[' {
		return scanLiteral(s)
	}
	i, prev := 0, byte('.')
	for ; i < len(s); i++ {
		c := s[i]
		inner := c == '-' || c == '.'
		if inner && prev == '.' || c == '.' && prev == '-' || !inner && !isLetDig(c) {
			break
		}
		prev = c
	}
	if prev == '.' || prev == '-' || i > maxDomain {
		return 0
	}
	return i
}

// scanLiteral is for an address in square brackets (RFC 5321 §4.1.3): of what the
// grammar leaves to tags that nobody has registered, an "@" or a slash could make
// it another account's name or path.
func scanLiteral(s string) int {
	for i := 1; i < len(s) && i < maxDomain; i++ {
		switch c := s[i]; {
		case c == ']' && i > 1:
			return i + 1
		case c >= 0x7F || !isLetDig(c) && c != '.' && c != ':' && c != '-':
			return 0
		}
	}
	return 0
}

// isHostname says whether s is fit for LHLO and a Received field.
func isHostname(s string) bool {
	if s == "" || scanDomain(s) != len(s) {
		return false
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || s[i] == '(' || s[i] == ')' {
			return false
		}
	}
	return true
}

// checkText says whether s has octets outside ASCII, and whether those are
// UTF-8 without control characters.
func checkText(s string) (beyond, ok bool) {
	for _, r := range s {
		if r >= utf8.RuneSelf {
			beyond = true
			if r == utf8.RuneError || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
				return true, false
			}
		}
	}
	return beyond, true
}

func isAtext(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return isLetDig(c)
}

func isLetDig(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
}

// nextParam cuts the next ESMTP parameter from s, which follows a path or is
// what an earlier call left. The name is empty when there is no more.
func nextParam(s string) (name, value string, hasValue bool, rest string, ok bool) {
	if s == "" {
		return "", "", false, "", true
	}
	if s[0] != ' ' {
		return "", "", false, "", false
	}
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	i := 0
	for i < len(s) && s[i] != '=' && s[i] != ' ' {
		if !(isLetDig(s[i]) && s[i] != '_' && s[i] < utf8.RuneSelf) && (s[i] != '-' || i == 0) {
			return "", "", false, "", false
		}
		i++
	}
	name, s = s[:i], s[i:]
	if s == "" || s[0] != '=' {
		return name, "", false, s, name != "" || s == ""
	}
	i = 1
	for i < len(s) && s[i] > ' ' && s[i] < 0x7F && s[i] != '=' {
		i++
	}
	if name == "" || i == 1 || i < len(s) && s[i] != ' ' {
		return "", "", false, "", false
	}
	return name, s[1:i], true, s[i:], true
}

// equalASCII compares s with upper, which is in capital letters, without
// regard to ASCII case.
func equalASCII(s, upper string) bool {
	if len(s) != len(upper) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// parseSize reads strict digits, at most the 20 of RFC 1870 §3. What does not
// fit is the largest number.
func parseSize(s string) (n int64, ok bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	const most = 1<<63 - 1
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (most-int64(c-'0'))/10 {
			n = most
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
