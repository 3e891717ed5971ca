package pop3server_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
)

// lateConn holds back input that has arrived until another login has ended the
// session, which is seen by the deadline that lies in the past.
type lateConn struct {
	*testkit.Conn
	hold  bool
	ended chan struct{}
}

func (c *lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.hold {
		<-c.ended
	}
	return n, err
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	if t.Equal(time.Unix(1, 0)) {
		close(c.ended)
	}
	return c.Conn.SetReadDeadline(t)
}

// A command that arrives while the session is being ended comes too late: the
// new session may have the maildrop already, and QUIT would remove messages
// behind its back.
func TestTakeOverBeatsArrivingCommand(t *testing.T) {
	t.Parallel()
	for _, late := range []string{"QUIT\r\n", "NOOP\r\nQUIT\r\n", "\n", "QUIT"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.deliver("alice", "a\n", "b\n")
			first, server := testkit.Pipe()
			server.From(loopback)
			held := &lateConn{Conn: server, ended: make(chan struct{})}
			if err := r.lis.Give(held); err != nil {
				t.Fatal(err)
			}
			r.send(first, login+"DELE 1\r\n")
			r.expect(first, "++++")

			time.Sleep(time.Minute)
			synctest.Wait()
			held.hold = true
			r.send(first, late)
			synctest.Wait() // it has arrived and is not yet read
			if got := r.talk(login + "STAT\r\nQUIT\r\n"); signs(got) != "+++++" || !strings.Contains(got, "+OK 2 ") {
				t.Errorf("%q: the new session reads %q", late, got)
			}
			rest, _ := io.ReadAll(first)
			if !strings.HasPrefix(string(rest), "-ERR [SYS/TEMP]") || strings.Count(string(rest), "\n") != 1 {
				t.Errorf("%q: the ended session reads %q", late, rest)
			}
			if left := r.left("alice"); left != "u1 u2" {
				t.Errorf("%q: %q is left", late, left)
			}
		})
	}
}
