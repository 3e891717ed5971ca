package apppassword

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// A password is four groups of five letters with hyphens between them. i, l and
// o are not among them: they look like others.
const (
	alphabet    = "abcdefghjkmnpqrstuvwxyz"
	groupLength = 5
	wordLength  = 4 * groupLength
)

// hash is what is stored of a password.
type hash [sha256.Size]byte

// hashed hashes an account's password, which normal has given.
func hashed(account, letters string) hash {
	return sha256.Sum256([]byte("postwain app password\x00" + account + "\x00" + letters))
}

// String is the field of the file.
func (h hash) String() string { return "{SHA256}" + base64.RawStdEncoding.EncodeToString(h[:]) }

func parseHash(field string) (h hash, err error) {
	text, ok := strings.CutPrefix(field, "{SHA256}")
	sum, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(sum) != len(h) {
		return h, errors.New("no hash of the form {SHA256} and 43 digits of base64")
	}
	return hash(sum), nil
}

// newWord draws the letters of a new password.
func newWord() string {
	const fair = 256 / len(alphabet) * len(alphabet) // octets from here would favour some
	word := make([]byte, 0, wordLength)
	var octets [2 * wordLength]byte
	for len(word) < wordLength {
		rand.Read(octets[:]) // never fails
		for _, c := range octets {
			if int(c) < fair && len(word) < wordLength {
				word = append(word, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(word)
}

// shown is how a password is shown.
func shown(word string) string {
	var groups []string
	for i := 0; i < len(word); i += groupLength {
		groups = append(groups, word[i:i+groupLength])
	}
	return strings.Join(groups, "-")
}

// normal gives the letters of a password as somebody has typed it, with or
// without hyphens and spaces, in capitals or not. What has not the form of one
// gives some letters all the same, so that it is as much work.
func normal(typed string) (letters string, ok bool) {
	const longest = 2*wordLength + 8
	var b [longest]byte
	n := 0
	ok = len(typed) <= longest
	for i := range min(len(typed), longest) {
		c := typed[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c == '-' || c == ' ' {
			continue
		}
		ok = ok && strings.IndexByte(alphabet, c) >= 0
		b[n] = c
		n++
	}
	return string(b[:min(n, wordLength)]), ok && n == wordLength
}
