package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxLine bounds a line of a reply. RFC 5321 wants 512; challenges of AUTH
	// may have 12288 octets (RFC 4954 §4).
	maxLine = 16 << 10
	// maxLines bounds a reply.
	maxLines = 200
	// maxText bounds what an error shows of a reply.
	maxText = 300
)

var errProtocol = errors.New("server breaks the protocol")

// reply is what a server answers.
type reply struct {
	code  int
	lines []string // what stands behind the code
}

// readReply reads a whole reply (RFC 5321 §4.2). The buffer of br has maxLine
// octets.
func readReply(br *bufio.Reader) (reply, error) {
	var r reply
	for range maxLines {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return r, fmt.Errorf("%w: a line of a reply has more than %d octets", errProtocol, maxLine)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return r, err
		}
		text := strings.TrimSuffix(string(line[:len(line)-1]), "\r")
		code, more, ok := cutCode(&text)
		if !ok || r.code != 0 && r.code != code {
			return r, fmt.Errorf("%w: %s is no reply", errProtocol, shown(text))
		}
		r.code = code
		r.lines = append(r.lines, text)
		if !more {
			return r, nil
		}
	}
	return r, fmt.Errorf("%w: a reply has more than %d lines", errProtocol, maxLines)
}

// cutCode takes the code and what separates it off a line. more says that
// another line follows.
func cutCode(text *string) (code int, more, ok bool) {
	s := *text
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || !isDigit(s[1]) || !isDigit(s[2]) {
		return 0, false, false
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if len(s) > 3 {
		if more = s[3] == '-'; !more && s[3] != ' ' {
			return 0, false, false
		}
		s = s[1:]
	}
	*text = s[3:]
	return code, more, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// class is the first digit of the code.
func (r reply) class() int { return r.code / 100 }

// status gives the enhanced status code (RFC 2034) without its class, such as
// "2.2", and its length in the text with the class and a dot, or "" and 0.
func (r reply) status() (subject string, n int) {
	if len(r.lines) == 0 {
		return "", 0
	}
	code, _, _ := strings.Cut(r.lines[0], " ")
	class, rest, ok := strings.Cut(code, ".")
	subject, detail, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || len(class) != 1 || int(class[0]-'0') != r.class() || !isNumber(subject) || !isNumber(detail) {
		return "", 0
	}
	return rest, len(code)
}

// isNumber reports whether s has one to three digits.
func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

// refusal is the error of a reply that is not the one hoped for.
type refusal struct {
	step   string
	reply  reply
	silent bool // the text is not shown: it may repeat a secret
}

func (e *refusal) Error() string {
	text := strings.Join(e.reply.lines, " ")
	if e.silent {
		_, n := e.reply.status()
		text = e.reply.lines[0][:n]
	}
	return fmt.Sprintf("%s: server answers %d %s", e.step, e.reply.code, shown(text))
}

// shown is text of a server in a form that does nothing to a terminal.
func shown(text string) string {
	if len(text) > maxText {
		return fmt.Sprintf("%.*q…", maxText, text)
	}
	return fmt.Sprintf("%q", text)
}
