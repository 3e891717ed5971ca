package differential

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// read takes the reply to a command off r. Whether more lines follow is known
// from what the model says; numbers are looked for where it has some.
func read(r *bufio.Reader, want answer) (got answer, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		got.closed = true
		return got, err
	}
	words, ended := strings.CutSuffix(line, "\r\n")
	status, rest, _ := strings.Cut(words, " ")
	if !ended || status != "+OK" && status != "-ERR" {
		return got, fmt.Errorf("differential: the reply %.80q", line)
	}
	if got.ok = status == "+OK"; !got.ok {
		if inner, bracket := strings.CutPrefix(rest, "["); bracket {
			got.code, _, _ = strings.Cut(inner, "]")
		}
		return got, nil
	}
	for len(got.numbers) < len(want.numbers) {
		word, behind, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			break
		}
		got.numbers, rest = append(got.numbers, n), behind
	}
	if want.uid != "" {
		got.uid = rest
	}
	if want.multi {
		got.multi = true
		got.lines, err = readLines(r)
	}
	return got, err
}

// readLines reads up to the end dot (RFC 1939 §3).
func readLines(r *bufio.Reader) ([]byte, error) {
	var lines []byte
	for {
		line, err := r.ReadBytes('\n')
		switch {
		case err == io.EOF:
			return lines, io.ErrUnexpectedEOF
		case err != nil:
			return lines, err
		case string(line) == ".\r\n":
			return lines, nil
		}
		lines = append(lines, bytes.TrimPrefix(line, []byte("."))...)
	}
}

// differs says what two answers do not agree in; empty: nothing.
func (a answer) differs(got answer) string {
	switch {
	case a.ok != got.ok:
		return a.brief() + " → " + got.brief()
	case a.code != "" && a.code != got.code:
		return "[" + a.code + "] → [" + got.code + "]"
	case a.ok && len(a.numbers) > 0 && !a.multi && !slices.Equal(a.numbers, got.numbers):
		return "other numbers"
	case a.uid != got.uid:
		return "another UID"
	case a.multi && !a.free && !bytes.Equal(a.lines, got.lines):
		return "other lines"
	case a.closed != got.closed:
		return fmt.Sprintf("closed %t → %t", a.closed, got.closed)
	}
	return ""
}

func (a answer) brief() string {
	switch {
	case a.ok:
		return "+OK"
	case a.closed:
		return "closed"
	}
	return "-ERR"
}

// String tells an answer to people.
func (a answer) String() string {
	s := a.brief()
	if a.code != "" {
		s += " [" + a.code + "]"
	}
	s += fmt.Sprintf(" %d %s", a.numbers, a.uid)
	if a.multi {
		s += fmt.Sprintf(" %.300q", a.lines)
	}
	if a.closed {
		s += " (closed)"
	}
	return s
}
