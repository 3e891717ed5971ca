//go:build interop

package interop

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// line is a conversation with a server, line by line.
type line struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, port int) *line {
	t.Helper()
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &line{t, conn, bufio.NewReader(conn)}
}

// expect reads a line that begins so.
func (l *line) expect(prefix string) {
	l.t.Helper()
	s, err := l.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(s, prefix) {
		l.t.Fatalf("wanted %q, came %q, %v", prefix, s, err)
	}
}

func (l *line) send(text string) {
	l.t.Helper()
	if _, err := l.conn.Write([]byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

// ask sends a command and reads the first line of its answer.
func (l *line) ask(command, prefix string) {
	l.t.Helper()
	l.send(command + "\r\n")
	l.expect(prefix)
}

func login(t *testing.T, s *rig.Server, account string) *line {
	t.Helper()
	l := dial(t, s.POP3)
	l.expect("+OK")
	l.ask("USER "+account, "+OK")
	l.ask("PASS "+rig.Password, "+OK")
	return l
}

// TestKilledServer kills the server with SIGKILL at its worst moments.
func TestKilledServer(t *testing.T) {
	account := rig.Account("bob")
	space := newSpace(t, account)
	if err := writeMaildir(space.Maildir(account), asStored(corpus())); err != nil {
		t.Fatal(err)
	}
	postwain := startPostwain(t, space)
	before := list(t, &postwain.Server, space, account)
	restart := func() {
		t.Helper()
		if err := postwain.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := postwain.Start(); err != nil {
			t.Fatal(err)
		}
	}

	// In mid session, with marks set and a message on its way.
	s := login(t, &postwain.Server, account)
	s.ask("DELE 1", "+OK")
	s.ask("DELE 2", "+OK")
	s.ask("RETR 7", "+OK")
	restart()
	if after := list(t, &postwain.Server, space, account); !after.equal(before) {
		t.Errorf("a killed session has changed the maildrop:\n%q\n%q", before, after)
	}

	// Right behind the answer to QUIT.
	s = login(t, &postwain.Server, account)
	s.ask("DELE 1", "+OK")
	s.ask("DELE 3", "+OK")
	s.ask("QUIT", "+OK")
	restart()
	left := listing{ids: append([]string{before.ids[1]}, before.ids[3:]...), sizes: append([]string{before.sizes[1]}, before.sizes[3:]...)}
	if after := list(t, &postwain.Server, space, account); !after.equal(left) {
		t.Errorf("after QUIT two messages are gone for ever:\n%q\n%q", left, after)
	}

	// In the middle of a delivery, and right behind its acknowledgement.
	m := dial(t, postwain.LMTP)
	m.expect("220")
	m.send("LHLO client.example.net\r\n")
	for s := ""; !strings.HasPrefix(s, "250 "); {
		var err error
		if s, err = m.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	transaction := func(data string) {
		m.ask("MAIL FROM:<ann@example.net>", "250")
		m.ask("RCPT TO:<"+account+">", "250")
		m.ask("DATA", "354")
		m.send(data)
	}
	transaction("Subject: acknowledged\r\n\r\nbody\r\n.\r\n")
	m.expect("250")
	transaction("Subject: half\r\n\r\n" + strings.Repeat("half of the body\r\n", 10000))
	restart()
	after := list(t, &postwain.Server, space, account)
	if n := len(left.ids); len(after.ids) != n+1 {
		t.Errorf("%d messages, not %d and the acknowledged one", len(after.ids), n)
	}
}
