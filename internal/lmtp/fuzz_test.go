package lmtp

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// memConn is a connection whose client has sent everything already.
type memConn struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *memConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memConn) Close() error                     { return nil }
func (c *memConn) RemoteAddr() net.Addr             { return fakeAddr("@") }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzSession sends a whole session. Whatever it is, the server says nothing
// but its own words, keeps to its memory, and delivers nothing that has a bare
// line end or whose end was not sent.
func FuzzSession(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.lmtp")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		session := "LHLO mx\r\n"
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "C: "); ok {
				session += strings.TrimSuffix(rest, "\n") + "\r\n"
			}
		}
		f.Add([]byte(session))
	}
	f.Add([]byte("LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nDATA\r\na\n.\r\n.\r\n"))
	f.Add([]byte("LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nBDAT 2\r\n\r\nBDAT 3 LAST\r\nx\r\n"))
	f.Fuzz(func(t *testing.T, session []byte) {
		d := &drops{}
		srv := NewServer(options(d))
		conn := &memConn{in: bytes.NewReader(session)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		srv.ServeConn(conn)
		runtime.ReadMemStats(&after)
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+200*len(session)); used > most {
			t.Errorf("allocated %d octets for %d", used, len(session))
		}
		checkReplies(t, conn.out.String())
		ends := bytes.Count(session, []byte("\r\n.\r\n")) + bytes.Count(bytes.ToUpper(session), []byte(" LAST\r\n"))
		for account, mail := range d.mail {
			if !people[account] || len(mail) > ends {
				t.Errorf("%d messages for %q, at most %d were ended", len(mail), account, ends)
			}
			for _, m := range mail {
				rest := strings.ReplaceAll(m, "\r\n", "")
				if strings.ContainsAny(rest, "\r\n") || strings.HasPrefix(withoutHead(m), "no fields") {
					t.Errorf("%q has %q", account, m)
				}
			}
		}
	})
}

// FuzzNames resolves whatever is a mailbox: no name is empty, can leave a
// directory or has a control character, and quoting makes no difference.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"bob+x@example.org", `"a b\""@Mail.example.org`, "jürgen", `""`, `"../x"@[192.0.2.1]`, "@a,@b:c@d", `"0"@[@]`, "a@[/]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, rest, ok := parsePath("<" + s + ">")
		if !ok || rest != "" {
			return
		}
		names := Names(m.text, "mail.example.org")
		if len(names) > 8 {
			t.Errorf("%q: %q", s, names)
		}
		for _, n := range names {
			local, _, _ := strings.Cut(n, "@")
			if local == "" || strings.ContainsAny(n, "\x00\r\n/\\") || strings.Count(n, "@") > 1 {
				t.Errorf("%q: %q", s, n)
			}
		}
		if m.text != "" && m.text[0] != '"' && len(m.text)+2 <= maxMailbox {
			n := scanLocal(m.text)
			if quoted := Names(`"`+m.text[:n]+`"`+m.text[n:], "mail.example.org"); !slices.Equal(quoted, names) {
				t.Errorf("%q: %q, quoted %q", s, names, quoted)
			}
		}
	})
}

func checkReplies(t *testing.T, out string) {
	ours := []string{"mail.example.org", "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING", "SIZE 1000"}
	for line := range strings.Lines(out) {
		text, ok := strings.CutSuffix(line, "\r\n")
		known := ok && len(text) > 4 && text[3] == '-'
		for _, w := range ours {
			known = known || ok && strings.HasPrefix(text, "2") && text[4:] == w
		}
		known = known || text == "220 mail.example.org LMTP ready" || strings.HasPrefix(text, "250 2.0.0 Delivered as ")
		for _, r := range []reply{
			replyOK, replyBye, replyHelp, replyVerify, replySender, replyRcpt, replyGo, replyChunk, replyErrors,
			replyUnknown, replyNotLMTP, replyLong, replyBareLine, replyControl, replySyntax, replyNotHere, replySequence,
			replyNoRcpt, replyParameter, replyBadSender, replyBadRcpt, replyNeedUTF8, replyTooMany, replyNoSuchUser,
			replyOutage, replyMailFull, replyTooBig, replyBare,
		} {
			known = known || line == string(r)
		}
		if !known {
			t.Errorf("the server said %q", line)
		}
	}
}
