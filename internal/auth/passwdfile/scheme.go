package passwdfile

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// secret is a stored password.
type secret interface {
	// verify reports whether password is the one. The time it takes does not
	// depend on how much of it is right.
	verify(password string) bool
	cost() cost
}

// cost is the work that verifying a password is: the same cost, the same work.
type cost struct {
	kind    string
	n, m, p int // rounds, memory and the like, as the kind has them
}

// digested is the cost of what is not slow on purpose.
func digested() cost { return cost{kind: "digest"} }

// notation is how a scheme's octets are written when its name has no suffix.
type notation int

const (
	asIs notation = iota
	inHex
	inBase64 // or hex, where the length tells it
)

// scheme reads the stored passwords of one {SCHEME}.
type scheme struct {
	written notation
	size    int // of a digest without salt; else 0
	parse   func(value string) (secret, error)
}

// errUnknownScheme does not say what stands in the braces: where somebody wrote
// a password without a scheme it may be a part of that.
var errUnknownScheme = errors.New("unknown password scheme")

// parseSecret reads a password field as Dovecot writes it, {SCHEME}value, and
// returns the name of the scheme in capitals, without a suffix, and the
// decoded value. A value without a scheme is {CRYPT}. A field of "" or of one
// that is never a hash ("x", "*", "!…") gives no secret and no error: nobody
// signs in.
func parseSecret(field string) (name, value string, s secret, err error) {
	name, text := "CRYPT", field
	if rest, braced := strings.CutPrefix(field, "{"); braced {
		n, v, closed := strings.Cut(rest, "}")
		if !closed || len(n) > 32 {
			return "", "", nil, errors.New("password scheme without a closing brace")
		}
		name, text = capitals(n), v
	} else if field == "" || field == "x" || field[0] == '*' || field[0] == '!' {
		return "", "", nil, nil
	}
	name, suffix, _ := strings.Cut(name, ".")
	sc, ok := schemes[name]
	if !ok {
		return "", "", nil, errUnknownScheme
	}
	value, err = sc.decode(text, suffix)
	if err == nil {
		s, err = sc.parse(value)
	}
	if err != nil {
		return "", "", nil, fmt.Errorf("{%s}: %w", name, err)
	}
	return name, value, s, nil
}

// decode undoes the encoding that the suffix of the scheme's name says.
func (sc scheme) decode(text, suffix string) (string, error) {
	w := sc.written
	switch suffix {
	case "":
		if w == inBase64 && sc.size > 0 && len(text) == 2*sc.size {
			w = inHex
		}
	case "HEX":
		w = inHex
	case "B64", "BASE64":
		w = inBase64
	default:
		return "", errors.New("unknown encoding of a password scheme")
	}
	var value []byte
	var err error
	switch w {
	case asIs:
		return text, nil
	case inHex:
		value, err = hex.DecodeString(text)
	case inBase64:
		value, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil {
		return "", errors.New("value is not hex or base64") // the cause would quote the value
	}
	return string(value), nil
}

// capitals is ASCII only, as names of schemes are.
func capitals(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - ('a' - 'A')
		}
	}
	return string(b)
}

// parseCrypt reads what crypt(3) writes, by its prefix. DES is not read.
func parseCrypt(value string) (secret, error) {
	for _, kind := range []struct {
		prefix string
		parse  func(value string) (secret, error)
	}{
		{"$1$", parseMD5Crypt}, {"$5$", parseSHACrypt}, {"$6$", parseSHACrypt},
		{"$2a$", parseBcrypt}, {"$2b$", parseBcrypt}, {"$2y$", parseBcrypt},
		{"$argon2i$", parseArgon2}, {"$argon2id$", parseArgon2},
	} {
		if strings.HasPrefix(value, kind.prefix) {
			return kind.parse(value)
		}
	}
	return nil, errors.New("no hash of a known kind (DES is not read)")
}
