package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// step is one line of a client, with its end.
type step struct {
	line string
	kind string // verb and kind of argument, as "DELE zero before"
}

// stream makes up a client's session: the login, and then commands of which most
// are good, some have odd arguments, and some are out of place.
type stream struct {
	*rand.Rand
	user, password string
	messages       int  // about how many there are
	odd            bool // also lines that end wrongly or are too long, and wrong passwords
}

func (s stream) pick(list ...string) string { return list[s.IntN(len(list))] }

func (s stream) session() []step {
	var steps []step
	add := func(kind, line string) { steps = append(steps, step{line + "\r\n", kind}) }
	for range s.IntN(3) {
		steps = append(steps, s.early())
	}
	add("USER", "USER "+s.user)
	if s.odd && s.IntN(8) == 0 {
		add("PASS wrong", "PASS "+s.password+s.pick("x", " "))
		add("USER", "user "+s.user)
	}
	add("PASS", "PASS "+s.password)
	for range 5 + s.IntN(40) {
		steps = append(steps, s.command())
	}
	if s.IntN(3) > 0 {
		add("QUIT", "QUIT")
	}
	return steps
}

// early is a command before the login.
func (s stream) early() step {
	line := s.pick("CAPA", "CAPA", "STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0", "UIDL", "XXXX", "AUTH X-NONE", "PASS "+s.password)
	return step{line + "\r\n", "early " + line}
}

// command is one of the session's work.
func (s stream) command() step {
	switch s.IntN(12) {
	case 0:
		line := s.pick("USER "+s.user, "PASS "+s.password, "AUTH PLAIN", "XXXX", "XTND XMIT", "LAST", "APOP a b")
		return step{line + "\r\n", strings.TrimSuffix(strings.Fields(line)[0]+" late", " ")}
	case 1:
		if s.odd {
			return s.broken()
		}
	case 2:
		line := s.pick("STAT x", "RSET x", "NOOP x", "RETR", "DELE", "TOP", "TOP 1", "TOP 1 x", "TOP 1 -1", "TOP 1 1 1", "CAPA x", "QUIT x")
		return step{line + "\r\n", line}
	}
	verb := s.pick("STAT", "LIST", "LIST n", "RETR n", "RETR n", "DELE n", "DELE n", "NOOP", "RSET", "TOP n m", "TOP n m", "UIDL", "UIDL n", "CAPA")
	word, arguments, has := strings.Cut(verb, " ")
	if s.IntN(6) == 0 {
		word = s.pick(strings.ToLower(word), word[:1]+strings.ToLower(word[1:]))
	}
	if !has {
		return step{word + "\r\n", verb}
	}
	number, kind := s.number()
	line := word + " " + number
	if arguments == "n m" {
		line += " " + s.pick("0", "1", "2", "7", "1000000", "2147483647")
	}
	return step{line + "\r\n", strings.Fields(verb)[0] + " " + kind}
}

// number is that of a message, or of none.
func (s stream) number() (text, kind string) {
	if s.IntN(4) > 0 {
		return fmt.Sprint(1 + s.IntN(max(1, s.messages))), "number"
	}
	switch s.IntN(8) {
	case 0:
		return "0", "nought"
	case 1:
		return fmt.Sprint(s.messages + 1 + s.IntN(3)), "beyond"
	case 2:
		return "0" + fmt.Sprint(1+s.IntN(max(1, s.messages))), "zero before"
	case 3:
		return s.pick("-1", "+1"), "sign"
	case 4:
		return s.pick("x", "1x", "1e0", "0x1"), "letters"
	case 5:
		return s.pick("4294967297", "18446744073709551617", "99999999999999999999999999"), "huge"
	case 6:
		return " 1", "blank before"
	}
	return "1 ", "blank behind"
}

// broken is a line that is none.
func (s stream) broken() step {
	line := s.pick("NOOP\n", "NOOP\x00\r\n", "NO\rOP\r\n", "\r\n", " NOOP\r\n", "NOOP \r\n", "LIST \r\n", "NOOP\t\r\n", "ſtat\r\n",
		strings.Repeat("x", 255)+"\r\n", "DELE "+strings.Repeat("9", 600)+"\r\n", "NOOP "+strings.Repeat("y", 2043)+"\r\n", "NOOP "+strings.Repeat("y", 2044)+"\r\n")
	return step{line, "broken"}
}
