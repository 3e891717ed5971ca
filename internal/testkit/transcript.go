package testkit

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Transcript is a session written down, as in:
//
//	# what is shown
//	-- option strict-utf8 --
//	-- mail alice --
//	Subject: hello
//
//	world\x00
//	-- end --
//	S: +OK*
//	C: STAT
//	S: +OK 1 24
//	-- idle 10m --
//	-- closed --
//
// C: is sent, S: expected; lines of C: that follow one another go out in one
// write. In an expected line each * stands for anything. Both know \r, \n, \t,
// \\ and \xHH, and a \c at the end of C: leaves out the CRLF. The other
// directives: idle lets time pass; cut closes the connection; end-input closes
// its sending half; tls makes it one of TLS; closed expects the end; reopen
// begins another connection.
type Transcript struct {
	Options []string // what stands behind "option"
	Mail    []Mail
	steps   []step
}

// Mail is a message that is there when the session begins.
type Mail struct{ Account, Data string }

type step struct {
	line int
	verb string // C, S, or a directive
	arg  string
}

// ParseTranscript reads a transcript.
func ParseTranscript(data string) (*Transcript, error) {
	t := &Transcript{}
	var mail *Mail
	for i, line := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		directive, ok := strings.CutPrefix(line, "-- ")
		if ok {
			directive, ok = strings.CutSuffix(directive, " --")
		}
		var err error
		switch {
		case ok && directive == "end" && mail != nil:
			t.Mail = append(t.Mail, *mail)
			mail = nil
		case mail != nil:
			var text string
			if text, err = unescape(line); err == nil {
				mail.Data += text + "\n"
			}
		case ok:
			verb, arg, _ := strings.Cut(directive, " ")
			switch verb {
			case "option":
				t.Options = append(t.Options, arg)
			case "mail":
				mail = &Mail{Account: arg}
			default:
				t.steps = append(t.steps, step{i + 1, verb, arg})
			}
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "C: ") || strings.HasPrefix(line, "S: "):
			t.steps = append(t.steps, step{i + 1, line[:1], line[3:]})
		default:
			err = fmt.Errorf("neither a directive nor C: nor S")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return t, nil
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	return strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
}

// Run plays the transcript over connections that dial makes; pool is what a
// client trusts.
func (t *Transcript) Run(tb testing.TB, dial func() net.Conn, config *tls.Config) {
	tb.Helper()
	p := player{tb: tb, dial: dial, config: config}
	p.open()
	defer func() { p.conn.Close() }()
	for i, s := range t.steps {
		if s.verb != "C" {
			p.flush(t.steps[max(i-1, 0)])
		}
		if !p.play(s) {
			return
		}
	}
	if len(t.steps) > 0 {
		p.flush(t.steps[len(t.steps)-1])
	}
}

type player struct {
	tb     testing.TB
	dial   func() net.Conn
	config *tls.Config
	conn   net.Conn
	in     *bufio.Reader
	queue  strings.Builder
}

func (p *player) open() {
	p.conn = p.dial()
	p.in = bufio.NewReader(p.conn)
}

// flush sends the lines of C: that were gathered.
func (p *player) flush(s step) {
	if p.queue.Len() == 0 {
		return
	}
	if _, err := io.WriteString(p.conn, p.queue.String()); err != nil {
		p.tb.Errorf("line %d: sending: %v", s.line, err)
	}
	p.queue.Reset()
}

func (p *player) play(s step) bool {
	switch s.verb {
	case "C":
		text, noEnd := strings.CutSuffix(s.arg, `\c`)
		text, err := unescape(text)
		if err != nil {
			p.tb.Fatalf("line %d: %v", s.line, err)
		}
		p.queue.WriteString(text)
		if !noEnd {
			p.queue.WriteString("\r\n")
		}
	case "S":
		return p.expect(s)
	case "idle":
		d, err := time.ParseDuration(s.arg)
		if err != nil {
			p.tb.Fatalf("line %d: %v", s.line, err)
		}
		time.Sleep(d)
	case "cut":
		p.conn.Close()
	case "end-input":
		p.conn.(interface{ CloseWrite() error }).CloseWrite()
	case "reopen":
		p.conn.Close()
		p.open()
	case "tls":
		c := tls.Client(p.conn, p.config)
		if err := c.Handshake(); err != nil {
			p.tb.Errorf("line %d: handshake: %v", s.line, err)
			return false
		}
		p.conn, p.in = c, bufio.NewReader(c)
	case "closed":
		p.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if rest, err := io.ReadAll(p.in); len(rest) > 0 || err != nil {
			p.tb.Errorf("line %d: the connection is not closed: got %q, %v", s.line, rest, err)
			return false
		}
	default:
		p.tb.Fatalf("line %d: no directive %q", s.line, s.verb)
	}
	return true
}

func (p *player) expect(s step) bool {
	want, err := unescape(s.arg)
	if err != nil {
		p.tb.Fatalf("line %d: %v", s.line, err)
	}
	p.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := p.in.ReadString('\n')
	if err != nil {
		p.tb.Errorf("line %d: want %q, got %q and %v", s.line, want, got, err)
		return false
	}
	p.conn.SetReadDeadline(time.Time{})
	line, crlf := strings.CutSuffix(got, "\r\n")
	if !crlf || !match(want, line) {
		p.tb.Errorf("line %d: got %q, want %q", s.line, got, want)
		return false
	}
	return true
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

// Replay says where transcripts are to be played in place of the test's own
// server, by the environment: POSTWAIN_REPLAY is a host:port whose users have
// the password "secret", and POSTWAIN_REPLAY_MAILDIR a Maildir into which the
// mail of each transcript is put.
func Replay() (addr, maildir string, ok bool) {
	addr = os.Getenv("POSTWAIN_REPLAY")
	return addr, os.Getenv("POSTWAIN_REPLAY_MAILDIR"), addr != ""
}
