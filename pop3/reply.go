package pop3

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrNotReply says that a line is neither +OK nor -ERR nor a challenge.
var ErrNotReply = errors.New("pop3: neither +OK nor -ERR")

// Sign is what a status line begins with.
type Sign uint8

// The signs.
const (
	OK        Sign = iota // +OK
	Refused               // -ERR
	Challenge             // + alone, in an exchange of AUTH (RFC 5034 §4)
)

// Reply is a status line.
type Reply struct {
	Sign Sign
	// Text is what stands behind the sign and the blanks after it. It is a
	// part of the line that was parsed.
	Text []byte
}

// maxText is how many octets of a text for people are kept (RFC 2449 §4).
const maxText = 512

// maxCode is how long a response code may be.
const maxCode = 64

// ParseReply takes a status line apart, without its line end. Keywords match in
// small letters too, and nothing need stand behind them; +ERR, which some
// servers send, is a refusal. Anything else gives ErrNotReply. It does not
// allocate.
func ParseReply(line []byte) (Reply, error) {
	switch {
	case len(line) >= 3 && EqualASCII(line[:3], "+OK"):
		return Reply{OK, behind(line[3:])}, nil
	case len(line) >= 4 && (line[0] == '-' || line[0] == '+') && EqualASCII(line[1:4], "ERR"):
		return Reply{Refused, behind(line[4:])}, nil
	case len(line) >= 1 && line[0] == '+':
		return Reply{Challenge, behind(line[1:])}, nil
	}
	return Reply{}, ErrNotReply
}

// behind is the text behind a sign.
func behind(rest []byte) []byte { return bytes.TrimLeft(rest, " \t") }

// Err returns the Error that a Reply of -ERR is, with the response code taken
// from its text (RFC 2449 §8). The text is made fit for logs and terminals by
// Printable and cut after 512 octets.
func (r Reply) Err() *Error {
	code, text := cutCode(r.Text)
	return &Error{Code: code, Text: Printable(text, maxText)}
}

// cutCode takes the response code from the front of a text. Registered codes
// match in small letters too.
func cutCode(text []byte) (Code, []byte) {
	if len(text) == 0 || text[0] != '[' {
		return "", text
	}
	end := bytes.IndexByte(text[:min(len(text), maxCode+2)], ']')
	if end < 2 {
		return "", text
	}
	word := text[1:end]
	for _, c := range word {
		if c <= ' ' || c >= 0x7F {
			return "", text
		}
	}
	for _, known := range codes {
		if EqualASCII(word, string(known)) {
			return known, behind(text[end+1:])
		}
	}
	return Code(word), behind(text[end+1:])
}

// codes are the registered ones.
var codes = [...]Code{CodeInUse, CodeLoginDelay, CodeSysTemp, CodeSysPerm, CodeAuth, CodeUTF8}

// Printable returns text with everything escaped that could do harm in a log or
// on a terminal: control characters, what changes the direction of writing, and
// octets that are not UTF-8. Text beyond limit octets is cut, which an ellipsis
// shows.
func Printable[T string | []byte](text T, limit int) string {
	var b strings.Builder
	s := string(text[:min(len(text), limit+utf8.UTFMax)])
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if limit -= size; limit < 0 {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && size == 1:
			const hex = "0123456789abcdef"
			b.WriteString(`\x` + string(hex[s[0]>>4]) + string(hex[s[0]&15]))
		case strconv.IsPrint(r):
			b.WriteString(s[:size])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// Temporary reports whether trying again later may help. The code decides:
// IN-USE, LOGIN-DELAY and SYS/TEMP are temporary. Where there is none, words do
// that servers without codes use for a maildrop that is locked and a service
// that is out.
func (e *Error) Temporary() bool {
	switch e.Code {
	case CodeInUse, CodeLoginDelay, CodeSysTemp:
		return true
	case "":
	default:
		return false
	}
	for i := range len(e.Text) {
		if i > 0 && isLetter(e.Text[i-1]) {
			continue
		}
		for _, word := range passing {
			if rest := e.Text[i:]; len(rest) >= len(word) && EqualASCII(rest[:len(word)], word) {
				return true
			}
		}
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// passing are the beginnings of words of servers without response codes.
var passing = [...]string{"LOCK", "IN USE", "BUSY", "UNAVAILABLE", "TRY AGAIN LATER", "TEMPORAR", "PLEASE WAIT", "WAIT ", "EXCEED"}
