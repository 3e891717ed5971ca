// Package progress tells people how long work goes on: on a terminal a line
// for each part of it that is redrawn in place, elsewhere a line now and then.
// Its escaper stands between what servers say and whoever reads it.
package progress

import "unicode/utf8"

// maxText bounds what a stranger's text can take of a screen, in octets of
// the text.
const maxText = 1000

// Escape gives text that no terminal takes for an order: plain ASCII in one
// line. Everything else is written as \xNN or \uNNNN, and what is over a
// thousand octets is cut.
func Escape(s string) string {
	more := len(s) > maxText
	if more {
		s = s[:maxText]
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7F {
				b = appendHex(append(b, '\\', 'x'), uint32(c), 2)
			} else {
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = appendHex(append(b, '\\', 'x'), uint32(s[i]), 2)
		case r == '…':
			b = append(b, "..."...)
		case r > 0xFFFF:
			b = appendHex(append(b, '\\', 'U'), uint32(r), 8)
		default:
			b = appendHex(append(b, '\\', 'u'), uint32(r), 4)
		}
		i += n
	}
	if more {
		b = append(b, "..."...)
	}
	return string(b)
}

func appendHex(b []byte, n uint32, digits int) []byte {
	const hex = "0123456789abcdef"
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, hex[n>>shift&15])
	}
	return b
}
