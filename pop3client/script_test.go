package pop3client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// script is a session from three sides, as in:
//
//	# what is shown
//	-- option serial --
//	S: +OK ready
//	do: stat
//	C: STAT
//	S: +OK 1 24
//	is: 1 24
//	-- closed --
//
// S: is what the server sends and C: what it expects of the client, octet for
// octet; do: is what the program asks of the client and is: what comes of it, in
// which * stands for anything. S: knows \r, \n, \t, \\ and \xHH, a \c at its end
// leaves out the CRLF. The other directives are the server's: flood N TEXT sends
// a line N times, idle lets time pass, tls begins TLS, cut ends the connection,
// closed expects its end, next awaits another connection.
type script struct {
	options []string
	server  []step
	actions []action
}

type step struct {
	line int
	verb string // C, S, or a directive
	arg  string
}

type action struct {
	line int
	do   string
	is   []string
}

func parseScript(t *testing.T, data string) *script {
	t.Helper()
	s := &script{}
	for i, line := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		directive, ok := strings.CutPrefix(line, "-- ")
		directive, end := strings.CutSuffix(directive, " --")
		verb, arg, _ := strings.Cut(line, ": ")
		if ok && end {
			verb, arg, _ = strings.Cut(directive, " ")
		}
		switch {
		case line == "" || line[0] == '#':
		case verb == "option":
			s.options = append(s.options, arg)
		case verb == "do":
			s.actions = append(s.actions, action{line: i + 1, do: arg})
		case verb == "is" && len(s.actions) > 0:
			a := &s.actions[len(s.actions)-1]
			a.is = append(a.is, arg)
		case ok && end, verb == "C", verb == "S":
			s.server = append(s.server, step{i + 1, verb, arg})
		default:
			t.Fatalf("line %d makes no sense: %q", i+1, line)
		}
	}
	return s
}

// scripted is a Dialer whose server plays a script, one part for each
// connection.
type scripted struct {
	t      *testing.T
	parts  [][]step
	config *tls.Config // of the server
	begin  string      // "tls": connections begin so
	dialed int
	done   chan struct{}
}

func newScripted(t *testing.T, steps []step) *scripted {
	s := &scripted{t: t, parts: [][]step{nil}, done: make(chan struct{}, 16)}
	for _, step := range steps {
		if last := len(s.parts) - 1; step.verb == "next" {
			s.parts = append(s.parts, nil)
		} else {
			s.parts[last] = append(s.parts[last], step)
		}
	}
	return s
}

func (s *scripted) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.dialed == len(s.parts) {
		return nil, fmt.Errorf("nothing listens the %dth time", s.dialed+1)
	}
	client, server := testkit.Pipe()
	p := &player{t: s.t, conn: server, config: s.config}
	part := s.parts[s.dialed]
	s.dialed++
	go func() {
		defer func() { s.done <- struct{}{} }()
		p.play(part, s.begin)
	}()
	return client, nil
}

// wait waits until the server has played what was dialled.
func (s *scripted) wait() {
	for range s.dialed {
		<-s.done
	}
}

// player is the server's side of one connection.
type player struct {
	t      *testing.T
	conn   net.Conn
	config *tls.Config
	in     *bufio.Reader
}

func (p *player) play(steps []step, begin string) {
	defer func() { p.conn.Close() }()
	p.in = bufio.NewReader(p.conn)
	if begin == "tls" {
		p.tls()
	}
	for _, s := range steps {
		if !p.step(s) {
			return
		}
	}
	if len(steps) == 0 || steps[len(steps)-1].verb != "cut" {
		io.Copy(io.Discard, p.in)
	}
}

func (p *player) tls() {
	c := tls.Server(p.conn, p.config)
	if err := c.Handshake(); err == nil {
		p.conn, p.in = c, bufio.NewReader(c)
	}
}

func (p *player) step(s step) bool {
	switch s.verb {
	case "S":
		text, noEnd := strings.CutSuffix(s.arg, `\c`)
		if !noEnd {
			text += `\r\n`
		}
		io.WriteString(p.conn, unescape(p.t, text)) // the client may be gone
	case "flood":
		n, text, _ := strings.Cut(s.arg, " ")
		times, err := strconv.Atoi(n)
		if err != nil {
			p.t.Errorf("line %d: %v", s.line, err)
		}
		for range times {
			if _, err := io.WriteString(p.conn, unescape(p.t, text)+"\r\n"); err != nil {
				return false
			}
		}
	case "C":
		got, err := p.in.ReadString('\n')
		if want := s.arg + "\r\n"; got != want {
			p.t.Errorf("line %d: the server got %q (%v), want %q", s.line, got, err, want)
			return false
		}
	case "idle":
		d, err := time.ParseDuration(s.arg)
		if err != nil {
			p.t.Errorf("line %d: %v", s.line, err)
		}
		<-time.After(d)
	case "tls":
		p.tls()
	case "cut":
		p.conn.Close()
	case "closed":
		if rest, err := io.ReadAll(p.in); len(rest) > 0 {
			p.t.Errorf("line %d: the connection is not closed: the server got %q, %v", s.line, rest, err)
		}
	default:
		p.t.Errorf("line %d: no directive %q", s.line, s.verb)
		return false
	}
	return true
}

func unescape(t *testing.T, s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Errorf("%q: %v", s, err)
	}
	return text
}

// match reports whether s fits pattern, in which * stands for anything.
func match(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	for i := 0; i <= len(s); i++ {
		if match(rest, s[i:]) {
			return true
		}
	}
	return false
}

// setOptions reads the options of a script.
func setOptions(t *testing.T, s *scripted, names []string) (pop3client.Security, pop3client.Options) {
	t.Helper()
	security, o := pop3client.Plaintext, pop3client.Options{Dialer: s}
	number := func(arg string) int {
		n, err := strconv.Atoi(arg)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, name := range names {
		name, arg, _ := strings.Cut(name, " ")
		switch name {
		case "tls", "stls":
			certificate, pool := testkit.Certificate(t)
			s.config = &tls.Config{Certificates: []tls.Certificate{certificate}}
			o.TLS = &tls.Config{RootCAs: pool}
			if security = pop3client.STLS; name == "tls" {
				security, s.begin = pop3client.TLS, "tls"
			}
		case "nocapa":
			o.NoCapa = true
		case "serial":
			o.Serial = true
		case "line":
			o.Limits.Line = number(arg)
		case "capabilities":
			o.Limits.Capabilities = number(arg)
		case "messages":
			o.Limits.Messages = number(arg)
		case "message":
			o.Limits.Message = int64(number(arg))
		default:
			t.Fatalf("no option %q", name)
		}
	}
	return security, o
}
