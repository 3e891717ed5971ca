package rcfile

import "strings"

// kind is a kind of token of a fetchmailrc.
type kind byte

const (
	end kind = iota
	word
	text
	number
	protocol
	mechanism
	equals
)

// token is a token of a fetchmailrc. A keyword is in its longest form.
type token struct {
	kind kind
	s    string
	line int
}

// lexer takes a fetchmailrc apart as fetchmail's own does: what a word is
// depends on the word before, and of two rules the one that takes more octets
// counts. So a quoted string with something glued to it is an unquoted one.
type lexer struct {
	in   string
	line int
	// name: the next word is a name whatever it looks like. auth: "password"
	// is a mechanism.
	name, auth bool
}

// next gives the next token.
func (l *lexer) next() token {
	for l.in != "" {
		if n := l.blank(); n > 0 {
			l.line += strings.Count(l.in[:n], "\n")
			l.in = l.in[n:]
			continue
		}
		if t, ok := l.take(); ok {
			return t
		}
	}
	return token{end, "", l.line}
}

// blank is the length of what stands between tokens: white space, comments,
// and the signs that mean nothing.
func (l *lexer) blank() int {
	switch c := l.in[0]; {
	case c == '\n' || c != '=' && isSeparator(c):
		return 1
	case c == '\\' && strings.HasPrefix(l.in, "\\\n"):
		return 2
	case c == '#':
		if n := strings.IndexByte(l.in, '\n'); n >= 0 {
			return n + 1
		}
		return len(l.in)
	}
	return 0
}

func isSeparator(c byte) bool { return strings.IndexByte("=;:, \t\r\n", c) >= 0 }

// take takes a token; false if the word means nothing.
func (l *lexer) take() (token, bool) {
	t := token{line: l.line}
	if l.in[0] == '=' {
		l.in, l.name = l.in[1:], true
		t.kind = equals
		return t, true
	}
	bare := 0
	for bare < len(l.in) && !isSeparator(l.in[bare]) {
		bare++
	}
	if c := l.in[0]; c == '"' || c == '\'' {
		if n := strings.IndexByte(l.in[1:], c) + 2; n >= 2 && n >= bare {
			t.kind, t.s = text, unescape(l.in[1:n-1])
			l.line += strings.Count(l.in[:n], "\n")
			l.in, l.name, l.auth = l.in[n:], false, false
			return t, true
		}
	}
	s := l.in[:bare]
	if l.name {
		t.kind, t.s = text, unescape(s)
		l.in, l.name, l.auth = l.in[bare:], false, false
		return t, true
	}
	if rest, ok := strings.CutPrefix(s, "no"); ok && negatable[rest] {
		l.in = l.in[2:]
		t.kind, t.s = word, "no"
		return t, true
	}
	l.in = l.in[bare:]
	if noise[s] {
		return t, false
	}
	l.classify(&t, s)
	return t, true
}

// classify says what an unquoted word is.
func (l *lexer) classify(t *token, s string) {
	if to, ok := synonyms[s]; ok && !(to == "password" && l.auth) {
		s = to
	}
	switch {
	case l.auth && s == "password":
		t.kind, t.s, l.auth = mechanism, s, false
	case keywords[s]:
		t.kind, t.s = word, s
		switch s {
		case "user", "password", "passwordfile", "is", "to":
			l.name, l.auth = true, false
		case "auth":
			l.auth = true
		}
	case mechanisms[s] != "":
		t.kind, t.s, l.auth = mechanism, mechanisms[s], false
	case protocols[s]:
		t.kind, t.s = protocol, strings.ToLower(s)
	case isNumber(s):
		t.kind, t.s = number, s
	default:
		t.kind, t.s = text, unescape(s)
	}
}

func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// unescape decodes \n \t \b \r, decimal \nnn, octal \0ooo and \xhh, which are
// not quite those of C. A backslash at the end of a line joins lines, and
// before anything else it is dropped.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			out = append(out, s[i])
			i++
			continue
		}
		if i++; i == len(s) {
			break
		}
		digits, base, most := "0123456789", 10, 3
		switch c := s[i]; {
		case c == 'x' || c == 'X':
			digits, base, most = "0123456789abcdefABCDEF", 16, 2
			i++
		case c == '0':
			digits, base = "01234567", 8
		case c < '0' || c > '9':
			i++
			if c != '\n' {
				out = append(out, escaped(c))
			}
			continue
		}
		value := 0
		for n := 0; n < most && i < len(s) && strings.IndexByte(digits, s[i]) >= 0; n++ {
			value = value*base + digit(s[i])
			i++
		}
		out = append(out, byte(value))
	}
	return string(out)
}

func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'r':
		return '\r'
	}
	return c
}

func digit(c byte) int {
	switch {
	case c >= 'a':
		return int(c-'a') + 10
	case c >= 'A':
		return int(c-'A') + 10
	}
	return int(c - '0')
}
