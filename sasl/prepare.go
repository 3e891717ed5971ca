package sasl

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Limits of what a client may send, in octets.
const (
	MaxUser     = 255
	MaxPassword = 1024
)

// PrepareUser returns the canonical spelling of a user name: the PRECIS
// profile UsernameCaseMapped (RFC 8265 §3.3), so that every spelling of a name
// is one account. The error wraps ErrRefused and does not contain name. ASCII
// in lower case costs nothing.
//
// Full-width forms become ASCII, '/' and '@' among them: judge a name by its
// canonical spelling only. Account sources do this, for every name they are
// given; mechanisms pass names on as the client sent them.
func PrepareUser(name string) (string, error) {
	if name == "" || len(name) > MaxUser {
		return "", fmt.Errorf("sasl: %w: user name is empty or too long", ErrRefused)
	}
	ascii, lower := true, true
	for i := range len(name) {
		c := name[i]
		ascii = ascii && '!' <= c && c <= '~'
		lower = lower && (c < 'A' || 'Z' < c)
	}
	if ascii && lower {
		return name, nil
	}
	p, err := precis.UsernameCaseMapped.String(name)
	if err != nil || p == "" || len(p) > MaxUser {
		return "", fmt.Errorf("sasl: %w: not a user name", ErrRefused)
	}
	return p, nil
}

// PreparePassword returns the form in which passwords are compared: the PRECIS
// profile OpaqueString (RFC 8265 §4.2), which keeps case and unites the
// spellings of one character. What the profile forbids, such as octets that
// are not UTF-8, is returned as it is: old passwords in Latin-1 stay valid.
func PreparePassword(password string) string {
	if isASCIIText(password) || !utf8.ValidString(password) {
		return password
	}
	if p, err := precis.OpaqueString.String(password); err == nil {
		return p
	}
	return password
}

// EqualNames reports whether two names differ in nothing but the case of ASCII
// letters. A name that PrepareUser changes more than that is not to be taken
// for the one it becomes where somebody else has vouched for it.
func EqualNames(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// isASCIIText reports whether password is what no preparation changes. It looks
// at all of it in any case.
func isASCIIText(password string) bool {
	ascii := true
	for i := range len(password) {
		ascii = ascii && ' ' <= password[i] && password[i] <= '~'
	}
	return ascii
}
