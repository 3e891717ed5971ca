package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/lmtp"
	"github.com/postwain/postwain/maildrop/memdrop"
)

func put(t *testing.T, s sink.Sink, text string) error {
	t.Helper()
	return s.Put(t.Context(), sink.Message{Key: "k", Size: int64(len(text))}, strings.NewReader(text))
}

// What is said, with and without extensions, in two messages and at the end.
func TestDialogue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		offers []string
		change func(*Options)
		want   []string
	}{
		{"bare", nil, nil, []string{
			"EHLO fetch.example.org",
			"MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.org>", "DATA",
			"MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.org>", "DATA", "QUIT",
		}},
		{"extensions", []string{"PIPELINING", "size 1000", "8BitMime", "SMTPUTF8"}, func(o *Options) { o.From = "" }, []string{
			"EHLO fetch.example.org",
			"MAIL FROM:<> SIZE=3 BODY=8BITMIME", "RCPT TO:<bob@example.org>", "DATA",
			"MAIL FROM:<> SIZE=3 BODY=8BITMIME", "RCPT TO:<bob@example.org>", "DATA", "QUIT",
		}},
		{"utf8", []string{"SMTPUTF8", "PIPELINING"}, func(o *Options) { o.To = "jürgen@example.org" }, []string{
			"EHLO fetch.example.org",
			"MAIL FROM:<ann@example.net> SMTPUTF8", "RCPT TO:<jürgen@example.org>", "DATA",
			"MAIL FROM:<ann@example.net> SMTPUTF8", "RCPT TO:<jürgen@example.org>", "DATA", "QUIT",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &peer{offers: tt.offers}
			o := options(p)
			if tt.change != nil {
				tt.change(&o)
			}
			s := mustSink(t, o)
			for range 2 {
				if err := put(t, s, "x\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			commands, mail := p.seen()
			if !slices.Equal(commands, tt.want) {
				t.Errorf("said %q\nwant %q", commands, tt.want)
			}
			if len(mail) != 2 || mail[0] != "x\r\n" || p.sessions != 1 {
				t.Errorf("got %q in %d sessions", mail, p.sessions)
			}
		})
	}
}

// What each refusal means, with and without pipelining, and that the next
// message goes through, over the same connection if that is left.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const (
		outage = iota
		refused
		unknown
	)
	for _, tt := range []struct {
		at, reply string
		want      int
		sessions  int
	}{
		{"MAIL", "550 5.1.8 Bad sender", outage, 1},
		{"MAIL", "552 5.3.4 Too big", refused, 1},
		{"MAIL", "552 Too big", refused, 1},
		{"MAIL", "552 5.2.2 Full", outage, 1},
		{"MAIL", "452 4.3.1 Full", outage, 1},
		{"RCPT", "550 5.1.1 No such user", outage, 1},
		{"RCPT", "552 5.2.2 Full", outage, 1},
		{"RCPT", "451 4.3.0 Later", outage, 1},
		{"DATA", "554 5.5.1 No", outage, 1},
		{"DATA", "250 What", outage, 1},
		{"DATA", "451 Later", outage, 1},
		{"end", "554 5.6.0 Bad content", refused, 1},
		{"end", "550 5.7.1 Spam", refused, 1},
		{"end", "554 No", refused, 1},
		{"end", "552 5.2.3 Too big for the mailbox", refused, 1},
		{"end", "552 5.3.4 Too big", refused, 1},
		{"end", "552 5.2.2 Full", outage, 1},
		{"end", "550 5.1.1 No such user", outage, 1},
		{"end", "452 4.2.2 Full", outage, 1},
		{"end", "354 What", outage, 1},
		{"end", "421 4.3.2 Shutting down", outage, 2},
		{"RCPT", "421 4.3.2 Shutting down", outage, 2},
		{"MAIL", "hang up", outage, 2},
		{"RCPT", "hang up", outage, 2},
		{"DATA", "hang up", outage, 2},
		{"end", "hang up", unknown, 2},
		{"end", "rubbish", unknown, 2},
		{"end", "99 rubbish", unknown, 2},
		{"end", "250x", unknown, 2},
		{"end", "250-a\r\n251 b", unknown, 2},
		{"RCPT", "\x00\xff", outage, 2},
	} {
		for _, offers := range [][]string{nil, {"PIPELINING"}} {
			t.Run(fmt.Sprintf("%s %s %v", tt.at, tt.reply, offers), func(t *testing.T) {
				t.Parallel()
				p := &peer{offers: offers, replies: map[string][]string{tt.at: {tt.reply, ""}}}
				s := mustSink(t, options(p))
				err := put(t, s, "Subject: x\r\n\r\n.\r\n")
				if err == nil {
					t.Fatal("it succeeds")
				}
				if got := errors.Is(err, sink.ErrRefused); got != (tt.want == refused) {
					t.Errorf("refused: %t: %v", got, err)
				}
				if got := errors.Is(err, sink.ErrUnknownOutcome); got != (tt.want == unknown) {
					t.Errorf("unknown: %t: %v", got, err)
				}
				if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
					t.Errorf("not escaped: %q", err.Error())
				}
				if err := put(t, s, "next\r\n"); err != nil {
					t.Errorf("the next message: %v", err)
				}
				if _, mail := p.seen(); p.sessions != tt.sessions || mail[len(mail)-1] != "next\r\n" {
					t.Errorf("%d sessions, not %d; mail %q", p.sessions, tt.sessions, mail)
				}
			})
		}
	}
}

// A session that the server has ended meanwhile is replaced, once.
func TestIdleSessionEnds(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"hang up", "421 4.4.2 Timeout"} {
		p := &peer{offers: []string{"PIPELINING"}, replies: map[string][]string{"MAIL": {"", reply, "", reply, reply, ""}}}
		s := mustSink(t, options(p))
		for n := range 2 {
			if err := put(t, s, "x\r\n"); err != nil {
				t.Fatalf("%s: message %d: %v", reply, n, err)
			}
		}
		if err := put(t, s, "x\r\n"); err == nil {
			t.Errorf("%s twice: no error", reply)
		}
		if err := put(t, s, "x\r\n"); err != nil {
			t.Errorf("%s: then: %v", reply, err)
		}
	}
}

// A message that breaks off is never ended.
func TestMessageBreaksOff(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, n := range []int{0, 1, 40 << 10, 100 << 10} {
		p := &peer{}
		s := mustSink(t, options(p))
		r := io.MultiReader(strings.NewReader(strings.Repeat("x\r\n", n/3)), iotest.ErrReader(broken))
		if err := s.Put(t.Context(), sink.Message{Key: "k"}, r); !errors.Is(err, broken) || errors.Is(err, sink.ErrUnknownOutcome) {
			t.Errorf("after %d octets: %v", n, err)
		}
		if err := put(t, s, "next\r\n"); err != nil {
			t.Error(err)
		}
		if _, mail := p.seen(); len(mail) != 1 || mail[0] != "next\r\n" {
			t.Errorf("after %d octets the server has %q", n, mail)
		}
	}
}

// Every text over {a . CR LF} of up to 6 octets arrives as it is, and what a
// careless server could take for an end does not arrive at all.
func TestBytes(t *testing.T) {
	t.Parallel()
	p := &peer{}
	s := mustSink(t, options(p))
	words(6, func(w []byte) {
		before := len(p.mail)
		err := s.Put(t.Context(), sink.Message{Key: "k"}, iotest.OneByteReader(bytes.NewReader(w)))
		_, mail := p.seen()
		switch {
		case bytes.Contains(w, []byte("\r.")):
			if !errors.Is(err, sink.ErrRefused) || len(mail) != before {
				t.Fatalf("%q: %v, %q", w, err, mail[before:])
			}
		case err != nil || len(mail) != before+1 || mail[before] != string(wire(w)):
			t.Fatalf("%q: %v, %q", w, err, mail[before:])
		}
	})
}

// The server of this project takes what the client sends, over a socket.
func TestLMTPServer(t *testing.T) {
	t.Parallel()
	drop := memdrop.New()
	srv := lmtp.NewServer(lmtp.Options{
		Hostname: "mail.example.org", Deliverer: drop, Resolver: anybody{}, MaxMessage: 1 << 20,
	})
	path := filepath.Join(t.TempDir(), "lmtp.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { l.Close() })
	s, err := NewLMTP(Options{Network: "unix", Address: path, From: "ann@example.net", To: "bob@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	words(4, func(w []byte) {
		err := put(t, s, string(w))
		if bytes.Contains(bytes.ReplaceAll(w, []byte("\r\n"), []byte("\n")), []byte("\r")) {
			if !errors.Is(err, sink.ErrRefused) {
				t.Fatalf("%q: %v", w, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", w, err)
		}
		want = append(want, string(wire(w)))
	})
	if err := put(t, s, strings.Repeat("x", 2<<20)); !errors.Is(err, sink.ErrRefused) {
		t.Errorf("a message that is too big: %v", err)
	}
	s.Close()
	b, err := drop.Open(t.Context(), "bob@example.org")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if n := len(b.Messages()); n != len(want) {
		t.Fatalf("%d messages, not %d", n, len(want))
	}
	for i, w := range want {
		r, err := b.Get(t.Context(), i, -1)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := io.ReadAll(r); err != nil || !strings.HasSuffix(string(p), "\r\n"+w) {
			t.Fatalf("got %q, want %q", p, w)
		}
		r.Close()
	}
}

type anybody struct{}

func (anybody) Resolve(_ context.Context, address string) (string, error) { return address, nil }

// Whoever gives up gets the connection cut, wherever the server hangs.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", "end"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &peer{replies: map[string][]string{at: {"silence"}}}
				s := mustSink(t, options(p))
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Put(ctx, sink.Message{Key: "k"}, strings.NewReader("x\r\n")) }()
				synctest.Wait()
				cancel()
				err := <-done
				if !errors.Is(err, context.Canceled) || errors.Is(err, sink.ErrUnknownOutcome) != (at == "end") {
					t.Error(err)
				}
			})
		})
	}
}

// A server that says nothing, at whatever point, or no end of it, is given up.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", "end"} {
		for name, reply := range map[string]string{
			"silence":       "silence",
			"no line end":   strings.Repeat("x", 20<<10),
			"endless line":  "250 " + strings.Repeat("x", 20<<10),
			"endless reply": strings.Repeat("250-x\r\n", 300) + "250 x",
			"no code":       "OK",
			"HTTP":          "HTTP/1.1 400 Bad Request\r\n\r\n",
			"NUL":           "\x00\x00\x00",
		} {
			t.Run(at+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := &peer{replies: map[string][]string{at: {reply}}}
					s := mustSink(t, options(p))
					err := put(t, s, "x\r\n")
					if err == nil || errors.Is(err, sink.ErrRefused) || errors.Is(err, sink.ErrUnknownOutcome) != (at == "end") {
						t.Error(err)
					}
					if err != nil && (len(err.Error()) > 1000 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' })) {
						t.Errorf("not fit for a log: %q", err)
					}
				})
			})
		}
	}
}

// A server that refuses in the middle of a message is heard.
func TestRefusedMidway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &peer{replies: map[string][]string{"DATA": {"354 Go on\r\n552 5.3.4 Too big"}}}
		o := options(p)
		o.Dialer = &stingy{p: p}
		s := mustSink(t, o)
		if err := put(t, s, strings.Repeat("x\r\n", 1<<20)); !errors.Is(err, sink.ErrRefused) {
			t.Error(err)
		}
	})
}

// stingy gives connections over which few octets can be sent.
type stingy struct{ p *peer }

func (d *stingy) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.p.DialContext(ctx, network, addr)
	return &shortConn{Conn: c}, err
}

type shortConn struct {
	net.Conn
	sent int
}

func (c *shortConn) Write(p []byte) (int, error) {
	if c.sent += len(p); c.sent > 100_000 {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

func TestClosed(t *testing.T) {
	t.Parallel()
	p := &peer{}
	s := mustSink(t, options(p))
	if s.Parallel() != 1 || s.Exact() {
		t.Errorf("Parallel() = %d, Exact() = %t", s.Parallel(), s.Exact())
	}
	r, w := io.Pipe()
	done := make(chan error)
	go func() { done <- s.Put(t.Context(), sink.Message{Key: "k"}, r) }()
	w.Write([]byte("x\r\n"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-done; err != nil {
		t.Errorf("a Put under way: %v", err)
	}
	if err := put(t, s, "x\r\n"); !errors.Is(err, errClosed) {
		t.Errorf("Put after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, errClosed) {
		t.Errorf("Close after Close: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"no address":     func(o *Options) { o.Address = "" },
		"no recipient":   func(o *Options) { o.To = "" },
		"CR LF":          func(o *Options) { o.To = "bob@example.org>\r\nRSET" },
		"NUL":            func(o *Options) { o.From = "a\x00@example.org" },
		"end of a path":  func(o *Options) { o.To = "bob@example.org> NOTIFY=NEVER" },
		"begin of one":   func(o *Options) { o.From = "<ann@example.net" },
		"blank":          func(o *Options) { o.To = "bob @example.org" },
		"no UTF-8":       func(o *Options) { o.To = "b\xfcb@example.org" },
		"too long":       func(o *Options) { o.To = strings.Repeat("x", 400) },
		"greeting":       func(o *Options) { o.Hello = "a b" },
		"long greeting":  func(o *Options) { o.Hello = strings.Repeat("a", 300) },
		"other security": func(o *Options) { o.Security = 7 },
	} {
		o := options(&peer{})
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := NewLMTP(Options{Address: "x", To: "bob", Security: TLS}); err == nil {
		t.Error("LMTP takes TLS")
	}
	for _, to := range []string{"bob", "-bob@example.org", `"b.b"@example.org`, "bob+x@[192.0.2.1]"} {
		if _, err := NewLMTP(Options{Address: "x", To: to}); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	// An address outside ASCII is not sent to a server that cannot know it.
	o := options(&peer{})
	o.To = "jürgen@example.org"
	if err := put(t, mustSink(t, o), "x\r\n"); err == nil || !strings.Contains(err.Error(), "SMTPUTF8") {
		t.Error(err)
	}
}

// words calls f with every string over {a . CR LF} of at most max octets.
func words(max int, f func(w []byte)) {
	var grow func(w []byte)
	grow = func(w []byte) {
		f(w)
		if len(w) < max {
			for _, c := range []byte("a.\r\n") {
				grow(append(w, c))
			}
		}
	}
	grow(make([]byte, 0, max))
}

// wire is what a receiver holds of a message: lines that end in CRLF.
func wire(p []byte) []byte {
	var out []byte
	for i, c := range p {
		if c == '\n' && (i == 0 || p[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(p) > 0 && p[len(p)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}
