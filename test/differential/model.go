package differential

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// letter is a message in a maildrop.
type letter struct {
	uid    string
	text   []byte // as a client holds it: each line ends in CRLF
	listed int64  // what the server says it has, in octets
}

func newLetter(uid, text string) letter {
	held := canonical(text)
	return letter{uid, held, int64(len(held))}
}

// state of a session (RFC 1939 §3).
type state int

const (
	authorization state = iota
	transaction
	over
)

func (s state) String() string { return [...]string{"AUTHORIZATION", "TRANSACTION", "over"}[s] }

// bounds are what a server suffers before it hangs up. Zero: anything.
type bounds struct {
	badBefore int // commands that are nonsense or out of place, before login
	badAfter  int // in a row, after it
	refused   int // logins
	line      int // octets of a command
}

// session is what the RFCs have a server do: RFC 1939, with the answers of RFC
// 2449 and 3206, and what they leave to the server as Postwain decides it.
type session struct {
	users    map[string]string // passwords by name
	drop     []letter          // of whoever logs in
	inUse    bool              // by another session
	bounds   bounds
	state    state
	named    bool // USER was given
	user     string
	marked   []bool
	highest  int // message that RETR has had, for LAST
	bad      int
	refused  int
	commits  bool     // QUIT has led to UPDATE
	later    []letter // came when the session had its view
	arrived  bool     // something did
	announce []string
}

// answer is what a reply says, without its words.
type answer struct {
	ok      bool
	code    string  // of RFC 2449 §8
	numbers []int64 // behind +OK
	uid     string  // behind them
	lines   []byte  // of a multi-line reply, unstuffed
	multi   bool
	free    bool // the lines are the server's own affair
	closed  bool // the server hangs up
	bad     bool // it counts towards a bound
}

func yes(numbers ...int64) answer { return answer{ok: true, numbers: numbers} }
func no(code string) answer       { return answer{code: code} }

// blame refuses what no client in order sends.
func blame() answer { return answer{bad: true} }

func many(lines []byte, numbers ...int64) answer {
	return answer{ok: true, multi: true, lines: lines, numbers: numbers}
}

// say answers a line, which has its end.
func (s *session) say(line string) answer {
	a := s.answer(line)
	if a.bad {
		s.bad++
	} else if s.state == transaction {
		s.bad = 0
	}
	limit := s.bounds.badBefore
	if s.state == transaction {
		limit = s.bounds.badAfter
	}
	if a.bad && limit > 0 && s.bad >= limit || !a.ok && s.bounds.refused > 0 && s.refused >= s.bounds.refused {
		a.closed = true
	}
	if a.closed {
		s.state = over
	}
	return a
}

func (s *session) answer(line string) answer {
	text, crlf := strings.CutSuffix(line, "\r\n")
	switch {
	case s.bounds.line > 0 && len(text) > s.bounds.line:
		return answer{closed: true}
	case !crlf, strings.ContainsAny(text, "\x00\r\n"): // RFC 1939 §3: printable, ended by CRLF
		return blame()
	}
	verb, arg, _ := strings.Cut(text, " ")
	verb = upper(verb)
	if s.state == authorization {
		return s.authorize(verb, arg)
	}
	return s.transact(verb, arg)
}

// upper turns a–z into capitals and nothing else.
func upper(word string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, word)
}

// authorize is RFC 1939 §4, and §7 for USER and PASS.
func (s *session) authorize(verb, arg string) answer {
	switch verb {
	case "USER":
		s.named = false
		if arg == "" {
			return no("")
		}
		if strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return blame()
		}
		s.user, s.named = arg, true
		return yes()
	case "PASS":
		if !s.named {
			return blame()
		}
		s.named = false
		return s.login(s.user, arg)
	case "AUTH":
		if arg == "" { // no RFC has it; Outlook asks
			return answer{ok: true, multi: true, free: true}
		}
		return no("") // of those that streams ask for, no mechanism is there
	case "STLS", "APOP":
		return no("") // not offered
	case "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL", "LAST":
		return blame()
	}
	return s.both(verb, arg)
}

// login is §4: the maildrop is locked, or the client may try again.
func (s *session) login(user, password string) answer {
	want, known := s.users[user]
	switch {
	case !known || want != password:
		s.refused++
		return no("AUTH") // RFC 3206 §4
	case s.inUse:
		s.refused++
		return no("IN-USE") // RFC 2449 §8.1.2
	}
	s.state, s.marked, s.bad = transaction, make([]bool, len(s.drop)), 0
	return yes()
}

// both are the commands of both states.
func (s *session) both(verb, arg string) answer {
	switch verb {
	case "QUIT":
		if arg != "" {
			return no("")
		}
		s.commits = s.state == transaction
		a := yes()
		a.closed = true
		return a
	case "CAPA": // RFC 2449 §5
		if arg != "" {
			return no("")
		}
		return answer{ok: true, multi: true, free: s.announce == nil, lines: []byte(strings.Join(s.announce, ""))}
	case "LANG": // RFC 6856 §3
		if arg == "" {
			return answer{ok: true, multi: true, free: true}
		}
		return answer{ok: arg == "en" || arg == "*"}
	case "UTF8": // RFC 6856 §2
		return answer{ok: arg == ""}
	}
	return blame()
}

// transact is RFC 1939 §5, with TOP and UIDL of §7.
func (s *session) transact(verb, arg string) answer {
	switch verb {
	case "STAT", "RSET", "NOOP", "LAST":
		if arg != "" {
			return no("")
		}
		return s.plain(verb)
	case "LIST", "UIDL":
		if arg == "" {
			return s.listing(verb)
		}
		i, ok := s.message(arg)
		switch {
		case !ok:
			return no("")
		case verb == "LIST":
			return yes(int64(i+1), s.size(i))
		}
		return answer{ok: true, numbers: []int64{int64(i + 1)}, uid: s.drop[i].uid}
	case "RETR":
		i, ok := s.message(arg)
		if !ok {
			return no("")
		}
		s.highest = max(s.highest, i+1)
		return many(s.drop[i].text, s.size(i))
	case "TOP":
		number, count, _ := strings.Cut(arg, " ")
		lines, well := parseNumber(count)
		i, ok := s.message(number)
		if !well || !ok {
			return no("")
		}
		return many(top(s.drop[i].text, lines))
	case "DELE":
		i, ok := s.message(arg)
		if !ok {
			return no("")
		}
		s.marked[i] = true
		return yes()
	case "USER", "PASS", "APOP", "AUTH", "STLS":
		return blame()
	}
	return s.both(verb, arg)
}

func (s *session) plain(verb string) answer {
	switch verb {
	case "STAT":
		return yes(s.total())
	case "RSET":
		clear(s.marked)
		s.highest = 0
	case "LAST": // RFC 1460
		return yes(int64(s.highest))
	}
	return yes()
}

// total is what STAT says. The two numbers are one answer.
func (s *session) total() (count, octets int64) {
	for i := range s.drop {
		if !s.marked[i] {
			count, octets = count+1, octets+s.size(i)
		}
	}
	return count, octets
}

func (s *session) listing(verb string) answer {
	var b bytes.Buffer
	for i, l := range s.drop {
		if s.marked[i] {
			continue
		}
		b.WriteString(strconv.Itoa(i+1) + " ")
		if verb == "LIST" {
			b.WriteString(strconv.FormatInt(s.size(i), 10))
		} else {
			b.WriteString(l.uid)
		}
		b.WriteString("\r\n")
	}
	return many(b.Bytes())
}

func (s *session) size(i int) int64 { return s.drop[i].listed }

// message is the index of one that is there and not marked.
func (s *session) message(arg string) (int, bool) {
	n, ok := parseNumber(arg)
	if !ok || n < 1 || n > len(s.drop) || s.marked[n-1] {
		return 0, false
	}
	return n - 1, true
}

// parseNumber takes digits, with no zero before them.
func parseNumber(text string) (int, bool) {
	if text == "" || len(text) > 1 && text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return int(min(n, math.MaxInt)), err == nil
}

// top is the header, the empty line, and so many lines of the body.
func top(text []byte, lines int) []byte {
	end, inBody := 0, false
	for line := range bytes.Lines(text) {
		if inBody {
			if lines == 0 {
				break
			}
			lines--
		}
		end += len(line)
		inBody = inBody || string(line) == "\r\n"
	}
	return text[:end]
}

// arrive is mail that comes in. A session's view is that of its login.
func (s *session) arrive(l letter) {
	s.arrived = true
	if s.state == authorization {
		s.drop = append(slices.Clip(s.drop), l)
		return
	}
	s.later = append(s.later, l)
}

// left is the maildrop after the session has ended.
func (s *session) left() []letter {
	if !s.commits {
		return slices.Concat(s.drop, s.later)
	}
	var rest []letter
	for i, l := range s.drop {
		if !s.marked[i] {
			rest = append(rest, l)
		}
	}
	return append(rest, s.later...)
}
