package smtp

import (
	"errors"
	"unicode/utf8"
)

// maxMailbox is the longest local part, an @ and the longest domain (RFC 5321
// §4.5.3.1).
const maxMailbox = 64 + 1 + 255

var (
	errEmpty  = errors.New("is empty")
	errLong   = errors.New("is too long")
	errOctets = errors.New("has an octet that no command may have")
	errUTF8   = errors.New("is not valid UTF-8")
)

// checkMailbox says whether s may stand between < and > without ending them:
// whether there is such a mailbox is for the server to say.
func checkMailbox(s string) error {
	switch {
	case s == "":
		return errEmpty
	case len(s) > maxMailbox:
		return errLong
	case !utf8.ValidString(s):
		return errUTF8
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7F || c == '<' || c == '>' {
			return errOctets
		}
	}
	return nil
}

// checkHello says whether s can be a host name or an address literal.
func checkHello(s string) error {
	if len(s) > 255 {
		return errLong
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F {
			return errOctets
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// equalASCII compares words of the protocol, whose letters may have any case.
func equalASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if upper(a[i]) != upper(b[i]) {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}
