package pop3

import (
	"bytes"
	"errors"
	"math"
)

// Verb is a command keyword.
type Verb uint8

// The commands of RFC 1939, 2449 (CAPA), 2595 (STLS), 5034 (AUTH) and 6856
// (LANG, UTF8), and LAST, which RFC 1725 removed and old clients still send.
const (
	Unknown Verb = iota
	Apop
	Auth
	Capa
	Dele
	Lang
	Last
	List
	Noop
	Pass
	Quit
	Retr
	Rset
	Stat
	Stls
	Top
	Uidl
	User
	Utf8
	Verbs // how many verbs there are, Unknown included
)

// keywords are read only.
var keywords = [Verbs]string{
	"unknown", "APOP", "AUTH", "CAPA", "DELE", "LANG", "LAST", "LIST", "NOOP", "PASS",
	"QUIT", "RETR", "RSET", "STAT", "STLS", "TOP", "UIDL", "USER", "UTF8",
}

// String returns the keyword in capitals, or "unknown".
func (v Verb) String() string {
	if v >= Verbs {
		v = Unknown
	}
	return keywords[v]
}

// Command is one command line.
type Command struct {
	Verb Verb // Unknown if the keyword is none of ours
	// Arg is everything behind the first space, with all other spaces, since
	// passwords may have them (RFC 1939 §7, PASS). It is valid until the next
	// read. A keyword with one space behind it and nothing else has none.
	Arg []byte
}

// Errors of a command line.
var (
	// ErrSyntax says that a line has a control character where none may be.
	ErrSyntax = errors.New("pop3: control character in a command")
	// ErrNumber says that an argument is not a number in the strict form.
	ErrNumber = errors.New("pop3: not a number")
)

// ParseCommand takes a command line apart, without its line end. It returns
// ErrSyntax if the line contains CR, LF or NUL. Keywords are matched by ASCII
// alone, in capital or small letters; it does not allocate.
func ParseCommand(line []byte) (Command, error) {
	for _, c := range line {
		if c == 0 || c == '\r' || c == '\n' {
			return Command{}, ErrSyntax
		}
	}
	word, arg, _ := bytes.Cut(line, []byte{' '})
	return Command{Verb: verb(word), Arg: arg}, nil
}

func verb(word []byte) Verb {
	for v := Unknown + 1; v < Verbs; v++ {
		if EqualASCII(word, keywords[v]) {
			return v
		}
	}
	return Unknown
}

// EqualASCII reports whether word is keyword, which has no small letters, when
// the letters a to z and A to Z are taken as equal and nothing else is.
func EqualASCII[T string | []byte](word T, keyword string) bool {
	if len(word) != len(keyword) {
		return false
	}
	for i := range len(keyword) {
		c := word[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != keyword[i] {
			return false
		}
	}
	return true
}

// ParseNumber returns the number that arg is: digits only, the first not zero
// unless it is the only one. Anything else, and what an int cannot hold, gives
// ErrNumber.
func ParseNumber(arg []byte) (int, error) {
	if len(arg) == 0 || len(arg) > 1 && arg[0] == '0' {
		return 0, ErrNumber
	}
	n := 0
	for _, c := range arg {
		if c < '0' || c > '9' || n > (math.MaxInt-int(c-'0'))/10 {
			return 0, ErrNumber
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}
