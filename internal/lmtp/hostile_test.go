package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestManyRecipients says RCPT far more often than is allowed.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		d := &drops{}
		opt := options(d)
		opt.MaxRecipients = 1000
		opt.Resolver = resolverFunc(func(string) (string, error) { asked++; return "bob", nil })
		c := dial(t, NewServer(opt))
		c.hello()
		c.send("MAIL FROM:<>\r\n")
		c.expect("250 *")
		const all = 100_000
		go func() {
			group := strings.Repeat("RCPT TO:<bob>\r\n", 1000)
			for range all / 1000 {
				c.send(group)
			}
		}()
		for i := range all {
			if i < 1000 {
				c.expect("250 2.1.5 *")
			} else {
				c.expect("452 4.5.3 *")
			}
		}
		if asked != 1000 {
			t.Errorf("resolved %d addresses", asked)
		}
		c.data("x\r\n")
		for range 1000 {
			c.expect("250 2.0.0 *")
		}
		c.quit()
		if n := d.count(); n != 1 {
			t.Errorf("%d messages in one account", n)
		}
	})
}

type resolverFunc func(address string) (string, error)

func (f resolverFunc) Resolve(_ context.Context, address string) (string, error) { return f(address) }

// TestGiant sends a message that has no end: the server takes a bounded part
// of it, refuses it to each recipient and hangs up.
func TestGiant(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"lines":   strings.Repeat("0123456789abcdef\r\n", 1000),
		"no line": strings.Repeat("0123456789abcdef", 1000),
		"dots":    strings.Repeat("..\r\n", 4000),
		"bare":    strings.Repeat("\n.\n", 4000),
		"header":  strings.Repeat("X: \r\n\t", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &drops{}
				opt := options(d)
				opt.MaxMessage = 1 << 20
				spool := &fakeSpool{}
				opt.Spool = spool.open
				c := dial(t, NewServer(opt))
				c.hello()
				c.envelope("bob", "carol@example.net")
				c.send("DATA\r\n")
				c.expect("354 *")
				var taken int64
				for range 1 << 20 {
					n, err := io.WriteString(c.conn, part)
					taken += int64(n)
					if err != nil {
						break
					}
				}
				c.expect("552 5.3.4 *", "552 5.3.4 *")
				c.expectClosed()
				if limit := allowance(opt.MaxMessage); taken > limit+readSize || d.count() != 0 {
					t.Errorf("took %d octets, limit %d; %d delivered", taken, limit, d.count())
				}
				if left := spool.left.Load(); left != 0 {
					t.Errorf("%d spool files left", left)
				}
			})
		})
	}
}

// TestLongLines says commands that are too long, and one without an end.
func TestLongLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, NewServer(options(&drops{})))
		c.hello()
		c.send("NOOP " + strings.Repeat("x", maxLine-7) + "\r\n")
		c.expect("250 2.0.0 OK")
		c.send("NOOP " + strings.Repeat("x", maxLine-6) + "\r\n")
		c.expect("500 5.5.2 Line too long")
		c.send("NOOP\r\n")
		c.expect("250 2.0.0 OK")
		taken := 0
		for range 1 << 20 {
			n, err := io.WriteString(c.conn, strings.Repeat("x", 1000))
			taken += n
			if err != nil {
				break
			}
		}
		c.expect("500 5.5.2 Line too long")
		c.expectClosed()
		if taken > readSize+1000 {
			t.Errorf("took %d octets", taken)
		}
	})
}

// TestChunksWithoutEnd sends chunks until the time for a message is over.
func TestChunksWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &drops{}
		c := dial(t, NewServer(options(d)))
		c.hello()
		c.envelope("bob")
		for range 9 {
			c.send("BDAT 100\r\n" + strings.Repeat("x", 100))
			c.expect("250 2.0.0 *")
		}
		c.send("BDAT 101\r\n" + strings.Repeat("x", 101))
		c.expect("552 5.3.4 *")
		for range 4 {
			time.Sleep(2 * time.Minute)
			c.send("BDAT 1\r\nx")
			c.expect("552 5.3.4 *")
		}
		c.send("BDAT 10 LAST\r\nx")
		time.Sleep(2*time.Minute + time.Second)
		c.expect("421 4.4.2 *")
		c.expectClosed()
	})
}

// TestControlCharacters puts every control character into every command: none
// gets through, and so none can begin a field of its own.
func TestControlCharacters(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"MAIL FROM:<a%cb@example.net>", `MAIL FROM:<"a%cb"@example.net>`, "MAIL FROM:<a@example.net%c>",
		"MAIL FROM:<a@[%c]>", "MAIL FROM:<> SIZE=1%c", "MAIL FROM:<> SIZE=1 %cX: y", "LHLO a%cb",
		`MAIL FROM:<"a\%cb"@example.net> SMTPUTF8`,
	} {
		for ch := range rune(32 + 2) {
			if ch == 32 {
				ch = 0x7F
			} else if ch == 33 {
				ch = 0x85
			}
			if ch == 0x85 && strings.Contains(command, "LHLO") {
				continue // two octets there, refused as no host name
			}
			synctest.Test(t, func(t *testing.T) {
				c := dial(t, NewServer(options(&drops{})))
				c.hello()
				c.send(fmt.Sprintf(command, ch) + "\r\n")
				if line, ok := c.next(); !ok || line[0] != '5' {
					t.Errorf("%q with %q: %q", command, ch, line)
				}
			})
		}
	}
}

// TestFields looks at what is added on top.
func TestFields(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		peer, mail, rcpt, account, want string
	}{
		{"192.0.2.7:1234", "<ann@example.net>", "bob+x@Mail.example.org", "bob", "Return-Path: <ann@example.net>\r\n" +
			"Delivered-To: bob+x@Mail.example.org\r\nReceived: from mx.example.org ([192.0.2.7])\r\n" +
			"\tby mail.example.org with LMTP id ID\r\n\tfor <bob+x@Mail.example.org>; DATE\r\n"},
		{"[2001:db8::1%eth0]:1234", "<> SMTPUTF8", "jürgen@example.org", "jürgen@example.org", "Return-Path: <>\r\n" +
			"Delivered-To: jürgen@example.org\r\nReceived: from mx.example.org ([IPv6:2001:db8::1])\r\n" +
			"\tby mail.example.org with UTF8LMTP id ID\r\n\tfor <jürgen@example.org>; DATE\r\n"},
		{"@", `<"X: y\\"@example.net>`, "bob", "bob", `Return-Path: <"X: y\\"@example.net>` + "\r\n" +
			"Delivered-To: bob\r\nReceived: from mx.example.org\r\n" +
			"\tby mail.example.org with LMTP id ID\r\n\tfor <bob>; DATE\r\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &drops{}
			near, far := net.Pipe()
			go NewServer(options(d)).ServeConn(peerConn{far, fakeAddr(tt.peer)})
			c := newClient(t, near)
			c.hello()
			c.send("MAIL FROM:" + tt.mail + "\r\nRCPT TO:<" + tt.rcpt + ">\r\n")
			c.expect("250 *", "250 *")
			// A Return-Path that was there stays: no octet of the message is touched.
			c.data("Return-Path: <old@example.net>\r\n\r\nx\r\n")
			line, _ := c.next()
			id := strings.TrimSpace(strings.TrimPrefix(line, "250 2.0.0 Delivered as "))
			now := time.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700")
			want := strings.NewReplacer("ID", id, "DATE", now).Replace(tt.want) + "Return-Path: <old@example.net>\r\n\r\nx\r\n"
			if got := d.mail[tt.account]; len(got) != 1 || got[0] != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

type peerConn struct {
	net.Conn
	peer net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.peer }

type fakeAddr string

func (fakeAddr) Network() string  { return "fake" }
func (a fakeAddr) String() string { return string(a) }

// fakeSpool makes spool files in memory and can fail at any step.
type fakeSpool struct {
	openErr, writeErr, readErr error
	writes                     int // that succeed before writeErr
	made, left                 atomic.Int64
}

func (f *fakeSpool) open(context.Context) (SpoolFile, error) {
	if f.openErr != nil {
		return nil, f.openErr
	}
	f.made.Add(1)
	f.left.Add(1)
	return &fakeFile{f: f}, nil
}

type fakeFile struct {
	f      *fakeSpool
	octets []byte
	writes int
	closed bool
}

func (f *fakeFile) Write(p []byte) (int, error) {
	if f.f.writeErr != nil && f.writes == f.f.writes {
		return len(p) / 2, f.f.writeErr
	}
	f.writes++
	f.octets = append(f.octets, p...)
	return len(p), nil
}

func (f *fakeFile) ReadAt(p []byte, off int64) (int, error) {
	if f.f.readErr != nil && off > int64(len(f.octets))/2 {
		return 0, f.f.readErr
	}
	if f.closed || off >= int64(len(f.octets)) {
		return 0, io.EOF
	}
	n := copy(p, f.octets[off:])
	return n, nil
}

func (f *fakeFile) Close() error {
	if f.closed {
		return errors.New("closed twice")
	}
	f.closed = true
	f.f.left.Add(-1)
	return nil
}

func TestAllowance(t *testing.T) {
	t.Parallel()
	if n := allowance(math.MaxInt64); n != math.MaxInt64 {
		t.Errorf("allowance without a limit: %d", n)
	}
}
