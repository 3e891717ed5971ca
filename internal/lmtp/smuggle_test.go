package lmtp

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

const forged = "MAIL FROM:<evil@example.net>\r\nRCPT TO:<bob>\r\nDATA\r\nforged\r\n.\r\n"

// TestSmuggling sends what one program or another has taken for the end of a
// message (VU#302671), cut at every octet, and a second message behind it.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r.\n", "\r\n.\r", "\r\n.\n", "\n\r.\r\n", "\r\r\n.\r\n", "\r\n.\r\r\n",
		"\r\x00\n.\r\x00\n", "\n\n.\n\n", "\r\n..\n.\r\n", "\n", "\r", "\n\r",
	} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			t.Parallel()
			content := "Subject: x\r\n\r\na" + end + forged
			for cut := range len(content) + 1 {
				synctest.Test(t, func(t *testing.T) { smuggle(t, content, cut) })
			}
		})
	}
}

func smuggle(t *testing.T, content string, cut int) {
	d := &drops{}
	c := dial(t, NewServer(options(d)))
	c.hello()
	c.envelope("bob", "carol@example.net")
	c.send("DATA\r\n")
	c.expect("354 *")
	c.send(content[:cut])
	synctest.Wait()
	c.send(content[cut:])
	c.expect("554 5.6.0 *", "554 5.6.0 *")
	c.expectClosed()
	if n := d.count(); n != 0 {
		t.Errorf("cut at %d: %d messages delivered", cut, n)
	}
}

// TestDots sends dots wherever they may be mistaken, cut at every octet.
func TestDots(t *testing.T) {
	t.Parallel()
	sent := "..\r\n...\r\n.a\r\n..a\r\n\r\n..\r\n. \r\n..\x00\r\na.\r\n.\r\n"
	want := ".\r\n..\r\na\r\n.a\r\n\r\n.\r\n \r\n.\x00\r\na.\r\n"
	for cut := range len(sent) {
		synctest.Test(t, func(t *testing.T) {
			d := &drops{}
			c := dial(t, NewServer(options(d)))
			c.hello()
			c.envelope("bob")
			c.send("DATA\r\n")
			c.expect("354 *")
			c.send(sent[:cut])
			synctest.Wait()
			if d.count() != 0 {
				t.Fatalf("cut at %d: delivered before its end", cut)
			}
			c.send(sent[cut:])
			c.expect("250 2.0.0 *")
			c.quit()
			if got := d.of("bob"); len(got) != 1 || got[0] != want {
				t.Errorf("cut at %d: %q", cut, got)
			}
		})
	}
}

// TestCut ends the connection after every octet of a session: nothing is
// delivered unless the message came to its end, and nothing is left behind.
func TestCut(t *testing.T) {
	t.Parallel()
	begin := "LHLO mx.example.org\r\nMAIL FROM:<ann@example.net>\r\nRCPT TO:<bob>\r\nRCPT TO:<carol@example.net>\r\n"
	for name, message := range map[string]string{
		"DATA": "DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n",
		"BDAT": "BDAT 12\r\nSubject: x\r\nBDAT 0\r\nBDAT 9 LAST\r\n\r\nhello\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := begin + message
			for n := range len(whole) + 1 {
				synctest.Test(t, func(t *testing.T) {
					d := &drops{}
					srv := NewServer(options(d))
					c := dial(t, srv)
					c.send(whole[:n])
					synctest.Wait()
					c.conn.Close()
					synctest.Wait()
					want := 0
					if n == len(whole) {
						want = 2
					}
					if got := d.count(); got != want || len(srv.sessions) != 0 {
						t.Errorf("cut after %d of %d: %d delivered, %d sessions", n, len(whole), got, len(srv.sessions))
					}
				})
			}
		})
	}
}

// TestCutBetweenReplies hangs up after each octet of the replies to a message:
// the deliveries are as they are, and each that was answered 250 is there.
func TestCutBetweenReplies(t *testing.T) {
	t.Parallel()
	for n := range 80 {
		synctest.Test(t, func(t *testing.T) {
			d := &drops{}
			near, far := net.Pipe()
			srv := NewServer(options(d))
			go srv.ServeConn(far)
			read := func(upTo string) {
				for got, b := "", make([]byte, 1); !strings.HasSuffix(got, upTo); got += string(b) {
					if _, err := near.Read(b); err != nil {
						t.Fatal(err)
					}
				}
			}
			read("\r\n")
			go near.Write([]byte("LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nRCPT TO:<full>\r\nRCPT TO:<last>\r\nDATA\r\n"))
			read("354 End data with <CRLF>.<CRLF>\r\n")
			if _, err := near.Write([]byte("x\r\n.\r\n")); err != nil {
				t.Fatal(err)
			}
			for range n {
				if _, err := near.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			near.Close()
			synctest.Wait()
			if got := d.count(); got != 2 || len(srv.sessions) != 0 {
				t.Errorf("after %d octets: %d delivered, %d sessions", n, got, len(srv.sessions))
			}
		})
	}
}
