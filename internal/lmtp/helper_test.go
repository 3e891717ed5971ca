package lmtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/maildrop"
)

var errOutage = errors.New("account source is away")

// accounts is a Resolver of a fixed set of names.
type accounts map[string]bool

func (a accounts) Resolve(_ context.Context, address string) (string, error) {
	if strings.HasPrefix(address, "outage@") {
		return "", errOutage
	}
	for _, name := range Names(address, "mail.example.org") {
		if a[name] {
			return name, nil
		}
	}
	return "", fmt.Errorf("resolve: %w", maildrop.ErrNoDrop)
}

var people = accounts{
	"bob": true, "carol@example.net": true, "full": true, "gone": true, "broken": true,
	"panic": true, "jürgen@example.org": true, "postmaster": true, "last": true,
}

// drops is a Deliverer that keeps messages, except for accounts that are named
// after what is wrong with them.
type drops struct {
	mu   sync.Mutex
	mail map[string][]string
	hook func(account string) // called before a delivery
}

func (d *drops) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	if d.hook != nil {
		d.hook(account)
	}
	b, err := io.ReadAll(r)
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		return err
	case in != maildrop.Incoming{}:
		return fmt.Errorf("imported: %+v", in)
	case account == "full":
		return fmt.Errorf("deliver: %w", maildrop.ErrFull)
	case account == "gone":
		return fmt.Errorf("deliver: %w", maildrop.ErrNoDrop)
	case account == "broken":
		return errors.New("deliver: input/output error")
	case account == "panic":
		panic("deliver")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mail == nil {
		d.mail = make(map[string][]string)
	}
	d.mail[account] = append(d.mail[account], string(b))
	return nil
}

// of gives the messages of account as they were sent, without the fields on top.
func (d *drops) of(account string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, m := range d.mail[account] {
		out = append(out, withoutHead(m))
	}
	return out
}

// count is the number of messages delivered.
func (d *drops) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, m := range d.mail {
		n += len(m)
	}
	return n
}

// withoutHead cuts off the three fields that the server adds.
func withoutHead(m string) string {
	i := strings.Index(m, "\r\nReceived: ")
	for range 4 {
		if j := strings.Index(m[i:], "\r\n"); i >= 0 && j >= 0 {
			i += j + 2
		}
	}
	if i < 0 || !strings.HasPrefix(m, "Return-Path: <") {
		return "no fields on top: " + m
	}
	return m[i:]
}

// options are those of most tests.
func options(d *drops) Options {
	return Options{
		Hostname: "mail.example.org", Deliverer: d, Resolver: people,
		MaxMessage: 1000, MaxRecipients: 5,
	}
}

// client is the other end of a session over an in-memory connection.
type client struct {
	t     *testing.T
	conn  net.Conn
	lines chan string // closed when the server has hung up
}

func dial(t *testing.T, srv *Server) *client {
	t.Helper()
	near, far := net.Pipe()
	go srv.ServeConn(far)
	return newClient(t, near)
}

func newClient(t *testing.T, conn net.Conn) *client {
	t.Helper()
	c := &client{t: t, conn: conn, lines: make(chan string, 1<<10)}
	go func() {
		defer close(c.lines)
		for sc := bufio.NewReader(conn); ; {
			line, err := sc.ReadString('\n')
			if err != nil {
				if line != "" {
					c.lines <- line
				}
				return
			}
			c.lines <- line
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return c
}

// send writes; what the server does not take because it has hung up is lost.
func (c *client) send(s string) { io.WriteString(c.conn, s) }

// expect reads a line for each of want, which may end in "*" for anything.
func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got, ok := c.next()
		if !ok {
			c.t.Fatalf("server hung up, want %q", w)
		}
		if !strings.HasSuffix(got, "\r\n") {
			c.t.Fatalf("reply %q does not end in CRLF", got)
		}
		got = strings.TrimSuffix(got, "\r\n")
		if p, any := strings.CutSuffix(w, "*"); got != w && !(any && strings.HasPrefix(got, p)) {
			c.t.Fatalf("got  %q\nwant %q", got, w)
		}
	}
}

// next gives the next line, or false if the server has hung up.
func (c *client) next() (string, bool) {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		return line, ok
	case <-time.After(time.Hour): // in a bubble; elsewhere the test's own limit
		c.t.Fatal("no reply")
	}
	return "", false
}

// expectClosed says that nothing more comes.
func (c *client) expectClosed() {
	c.t.Helper()
	if line, ok := c.next(); ok {
		c.t.Fatalf("got %q, want the end", line)
	}
}

// hello takes the session to where MAIL may be said.
func (c *client) hello() {
	c.t.Helper()
	c.expect("220 mail.example.org LMTP ready")
	c.send("LHLO mx.example.org\r\n")
	c.expect("250-mail.example.org", "250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250-8BITMIME",
		"250-SMTPUTF8", "250-CHUNKING", "250 SIZE *")
}

// envelope begins a message for the recipients to.
func (c *client) envelope(to ...string) {
	c.t.Helper()
	c.send("MAIL FROM:<ann@example.net>\r\n")
	c.expect("250 2.1.0 *")
	for _, a := range to {
		c.send("RCPT TO:<" + a + ">\r\n")
		c.expect("250 2.1.5 *")
	}
}

// data sends a message with its end.
func (c *client) data(content string) {
	c.t.Helper()
	c.send("DATA\r\n")
	c.expect("354 *")
	c.send(content + ".\r\n")
}

func (c *client) quit() {
	c.t.Helper()
	c.send("QUIT\r\n")
	c.expect("221 2.0.0 Bye")
	c.expectClosed()
}
