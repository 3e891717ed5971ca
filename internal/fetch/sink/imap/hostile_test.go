package imap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/sasl"
)

// script is a server that answers each command by what stands behind its name,
// or as one that is empty and likes everything. %s is the tag. "hang up" closes
// the connection, "silence" says nothing.
type script map[string]string

func (s script) DialContext(context.Context, string, string) (net.Conn, error) {
	near, far := testkit.Pipe()
	go s.serve(far)
	return near, nil
}

func (s script) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	if !s.answer(conn, "greeting", "", "* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\n") {
		return
	}
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, arguments, _ := strings.Cut(rest, " ")
		usual := "%s OK done\r\n"
		switch name {
		case "CAPABILITY":
			usual = "* CAPABILITY IMAP4rev1 LITERAL+\r\n%s OK done\r\n"
		case "EXAMINE":
			usual = "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n%s OK done\r\n"
		case "APPEND":
			var size int64
			fmt.Sscanf(arguments[strings.LastIndexByte(arguments, '{'):], "{%d", &size)
			if !strings.Contains(arguments, "+}") {
				if _, ok := s["continue"]; ok {
					if !s.answer(conn, "continue", tag, "") {
						return
					}
					continue
				}
				io.WriteString(conn, "+ go on\r\n")
			}
			io.CopyN(io.Discard, br, size)
			br.ReadString('\n')
		}
		if !s.answer(conn, name, tag, usual) {
			return
		}
	}
}

func (s script) answer(conn net.Conn, name, tag, usual string) bool {
	reply, ok := s[name]
	if !ok {
		reply = usual
	}
	switch reply {
	case "hang up":
		return false
	case "silence":
		return true
	}
	_, err := io.WriteString(conn, strings.ReplaceAll(reply, "%s", tag))
	return err == nil
}

func (s script) options() Options {
	return Options{Address: "mail.example.org:143", Security: Plaintext, User: "ann", Password: secret, Dialer: s}
}

// What each refusal means.
func TestRefusals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	for _, tt := range []struct {
		at, reply        string
		refused, unknown bool
	}{
		{"APPEND", "%s NO Message contains NUL characters\r\n", true, false},
		{"APPEND", "%s NO [TOOBIG] x\r\n", true, false},
		{"APPEND", "%s NO [LIMIT] x\r\n", true, false},
		{"APPEND", "%s BAD x\r\n", true, false},
		{"APPEND", "%s NO [OVERQUOTA] x\r\n", false, false},
		{"APPEND", "%s NO [SERVERBUG] x\r\n", false, false},
		{"APPEND", "%s NO [TRYCREATE] x\r\n", false, false},
		{"APPEND", "hang up", false, true},
		{"APPEND", "* BYE x\r\n", false, true},
		{"APPEND", "rubbish\r\n", false, true},
		{"continue", "%s NO [OVERQUOTA] x\r\n", false, false},
		{"continue", "%s NO [TOOBIG] x\r\n", true, false},
		{"LOGIN", "%s NO [AUTHENTICATIONFAILED] " + secret + "\r\n", false, false},
		{"LOGIN", "%s NO [UNAVAILABLE] x\r\n", false, false},
		{"CAPABILITY", "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n%s OK\r\n", false, false},
		{"CREATE", "%s NO x\r\n", false, false},
		{"EXAMINE", "%s BAD x\r\n", false, false},
		{"EXAMINE", "%s NO x\r\n", false, false},
		{"greeting", "* BYE \x1b[2J\r\n", false, false},
		{"greeting", "hang up", false, false},
	} {
		t.Run(tt.at+" "+tt.reply, func(t *testing.T) {
			t.Parallel()
			s := script{tt.at: tt.reply}
			if tt.at == "CREATE" {
				s["EXAMINE"] = "%s NO x\r\n"
			}
			if tt.at == "CAPABILITY" {
				s["greeting"] = "* OK x\r\n"
			}
			var err error
			synctest.Test(t, func(t *testing.T) {
				b := mustSink(t, s.options())
				err = put(t, b, "k", long)
				b.Close()
			})
			if err == nil || errors.Is(err, sink.ErrRefused) != tt.refused || errors.Is(err, sink.ErrUnknownOutcome) != tt.unknown {
				t.Fatal(err)
			}
			if errors.Is(err, sasl.ErrRefused) != strings.Contains(tt.reply, "AUTHENTICATIONFAILED") {
				t.Errorf("%v is a wrong password or is not", err)
			}
			judgeText(t, err)
		})
	}
}

func judgeText(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7F }) {
		t.Errorf("not fit for a log: %q", text)
	}
	if strings.Contains(text, secret) {
		t.Errorf("the error tells the password: %s", text)
	}
}

// Whatever a server sends, or does not, there is an end to it.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"greeting", "LOGIN", "EXAMINE", "UID", "APPEND", "continue"} {
		for name, reply := range map[string]string{
			"silence":       "silence",
			"no line end":   strings.Repeat("x", 1<<20),
			"endless text":  "* OK " + strings.Repeat("x", 1<<20),
			"many lines":    strings.Repeat("* 1 EXISTS\r\n", 100_000),
			"huge literal":  "* 1 FETCH (BODY[] {9000000000}\r\n" + strings.Repeat("x", 1<<20),
			"huge string":   "* LIST () {9000000000}\r\n" + strings.Repeat("x", 1<<20),
			"deep list":     "* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 200_000),
			"strange tag":   "X1 OK\r\n",
			"continuations": strings.Repeat("+ go on\r\n", 100),
			"HTTP":          "HTTP/1.1 400 Bad Request\r\n\r\n",
			"NUL":           "\x00\x00\x00\r\n",
			"controls":      "%s NO \x1b[2J\x07\r\n",
			"big number":    "* 99999999999999999999 EXISTS\r\n%s OK\r\n",
		} {
			t.Run(at+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := script{at: reply}
					if at == "UID" {
						s["EXAMINE"] = "* 5 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n%s OK done\r\n"
					}
					b := mustSink(t, s.options())
					err := put(t, b, "k", strings.Repeat("x", 5000))
					if err == nil {
						t.Fatal("it succeeds")
					}
					judgeText(t, err)
					b.Close()
				})
			})
		}
	}
}

// Whoever gives up is not kept waiting, wherever the server hangs.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"greeting", "LOGIN", "EXAMINE", "UID", "APPEND", "continue"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := script{at: "silence"}
				if at == "UID" {
					s["EXAMINE"] = "* 5 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n%s OK done\r\n"
				}
				b := mustSink(t, s.options())
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() {
					done <- b.Put(ctx, sink.Message{Key: "k"}, strings.NewReader(strings.Repeat("x", 5000)))
				}()
				synctest.Wait()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				b.Close()
			})
		})
	}
}
