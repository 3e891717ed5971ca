package rcfile

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var errTuple = errors.New("not a tuple of strings")

// parseTuple reads a Python tuple of strings, such as ("pass", "show"), with or
// without its parentheses. Numbers are taken for strings, as getmail does. A
// single string is not a tuple unless a comma follows.
func parseTuple(s string) ([]string, error) {
	t := tuple{rest: s}
	t.space()
	closed := strings.HasPrefix(t.rest, "(")
	if closed {
		t.rest = t.rest[1:]
	}
	items, comma, err := t.items(closed)
	if err != nil {
		return nil, err
	}
	if t.space(); t.rest != "" || len(items) == 1 && !comma {
		return nil, errTuple
	}
	return items, nil
}

type tuple struct{ rest string }

// space skips white space and comments.
func (t *tuple) space() {
	for t.rest != "" {
		switch c := t.rest[0]; {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			t.rest = t.rest[1:]
		case c == '#':
			_, t.rest, _ = strings.Cut(t.rest, "\n")
		case strings.HasPrefix(t.rest, "\\\n"):
			t.rest = t.rest[2:]
		default:
			return
		}
	}
}

// items reads strings up to the end, and up to the parenthesis if there is one
// to close. comma reports whether there was any comma.
func (t *tuple) items(closed bool) (items []string, comma bool, err error) {
	for {
		t.space()
		if closed && strings.HasPrefix(t.rest, ")") {
			t.rest = t.rest[1:]
			return items, comma, nil
		}
		if t.rest == "" {
			if closed {
				err = errTuple
			}
			return items, comma, err
		}
		if len(items) > 0 {
			if t.rest[0] != ',' {
				return nil, false, errTuple
			}
			comma = true
			t.rest = t.rest[1:]
			if t.space(); t.rest == "" || closed && t.rest[0] == ')' {
				continue
			}
		}
		item, err := t.item()
		if err != nil || len(items) == maxWords {
			return nil, false, errTuple
		}
		items = append(items, item)
	}
}

// item reads a number, or a string of one or more adjacent literals.
func (t *tuple) item() (string, error) {
	if n := len(t.rest) - len(strings.TrimLeft(t.rest, "0123456789")); n > 0 {
		s := t.rest[:n]
		t.rest = t.rest[n:]
		return s, nil
	}
	var b strings.Builder
	for n := 0; ; n++ {
		t.space()
		body := strings.TrimLeft(t.rest, "rRuU") // bytes and formats are no strings
		if len(t.rest)-len(body) > 1 || body == "" || body[0] != '\'' && body[0] != '"' {
			if n == 0 {
				return "", errTuple
			}
			return b.String(), nil
		}
		raw := strings.HasPrefix(t.rest, "r") || strings.HasPrefix(t.rest, "R")
		t.rest = body
		if err := t.literal(&b, raw); err != nil {
			return "", err
		}
	}
}

// literal reads what stands in quotes, single or triple ones.
func (t *tuple) literal(b *strings.Builder, raw bool) error {
	mark := t.rest[:1]
	if strings.HasPrefix(t.rest, strings.Repeat(mark, 3)) {
		mark = strings.Repeat(mark, 3)
	}
	s := t.rest[len(mark):]
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case strings.HasPrefix(s[i:], mark):
			t.rest = s[i+len(mark):]
			return nil
		case c == '\n' && len(mark) == 1:
			return errTuple
		case c == '\\' && i+1 < len(s) && raw:
			b.WriteString(s[i : i+2])
			i += 2
		case c == '\\' && i+1 < len(s):
			n, ok := unescapePython(b, s[i+1:])
			if !ok {
				return errTuple
			}
			i += 1 + n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return errTuple
}

// unescapePython decodes what stands behind a backslash, and gives its length.
func unescapePython(b *strings.Builder, s string) (n int, ok bool) {
	const simple, means = "\n\\'\"abfnrtv", "\x00\\'\"\a\b\f\n\r\t\v"
	c := s[0]
	switch i := strings.IndexByte(simple, c); {
	case i == 0: // lines are joined
		return 1, true
	case i > 0:
		b.WriteByte(means[i])
		return 1, true
	}
	hex := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	switch {
	case hex > 0:
		return 1 + hex, number16(b, s[1:], hex)
	case c >= '0' && c <= '7':
		value := 0
		for n < 3 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
			value = value*8 + int(s[n]-'0')
			n++
		}
		b.WriteRune(rune(value))
		return n, true
	case c == 'N': // a character by its name
		return 0, false
	}
	b.WriteByte('\\')
	b.WriteByte(c)
	return 1, true
}

// number16 writes the character of a hexadecimal number of so many digits.
func number16(b *strings.Builder, s string, digits int) bool {
	if len(s) < digits || strings.Trim(s[:digits], "0123456789abcdefABCDEF") != "" {
		return false
	}
	value := 0
	for _, c := range []byte(s[:digits]) {
		value = value*16 + digit(c)
	}
	if value > utf8.MaxRune {
		return false
	}
	b.WriteRune(rune(value))
	return true
}
