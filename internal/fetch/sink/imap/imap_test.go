package imap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/sasl"
)

const secret = "correct horse"

// rig is a server that keeps mail in memory.
type rig struct {
	user *imapmemserver.User
	net  *testkit.Listener
	tls  *tls.Config

	// cut gives how many octets a connection may carry to the server and back;
	// negative: no limit.
	cut     func() (up, down int)
	serving sync.WaitGroup
}

func newRig(t *testing.T, caps imap.CapSet) *rig {
	t.Helper()
	certificate, roots := testkit.Certificate(t)
	r := &rig{user: imapmemserver.NewUser("ann", secret), net: testkit.Listen(), tls: &tls.Config{RootCAs: roots}}
	if err := r.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	mem := imapmemserver.New()
	mem.AddUser(r.user)
	if caps == nil {
		caps = imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapLiteralPlus: {}}
	}
	srv := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return wholeOnly{mem.NewSession()}, nil, nil
		},
		Caps:         caps,
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}},
		InsecureAuth: true,
		Logger:       log.New(io.Discard, "", 0),
	})
	go srv.Serve(r.net)
	t.Cleanup(func() { srv.Close() })
	return r
}

func (r *rig) DialContext(context.Context, string, string) (net.Conn, error) {
	near, far := testkit.Pipe()
	r.serving.Add(1)
	if err := r.net.Give(&served{Conn: far, done: sync.OnceFunc(r.serving.Done)}); err != nil {
		return nil, err
	}
	if r.cut == nil {
		return near, nil
	}
	up, down := r.cut()
	return &cutConn{Conn: near, up: up, down: down}, nil
}

// wholeOnly stores no message that was cut off, as the server in memory would.
type wholeOnly struct{ imapserver.Session }

func (s wholeOnly) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	text, err := io.ReadAll(r)
	if err == nil && int64(len(text)) != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return s.Session.Append(name, literal{bytes.NewReader(text)}, o)
}

type literal struct{ *bytes.Reader }

// served tells when the server is through with a connection, which it never
// closes when it could not ask for a literal.
type served struct {
	net.Conn
	done func()
}

func (s *served) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil {
		s.done()
	}
	return n, err
}

func (s *served) Close() error {
	defer s.done()
	return s.Conn.Close()
}

// cutConn breaks after some octets in one direction.
type cutConn struct {
	net.Conn
	mu       sync.Mutex
	up, down int
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up < 0 {
		return c.Conn.Write(p)
	}
	n := min(len(p), c.up)
	c.up -= n
	c.Conn.Write(p[:n])
	if n < len(p) || c.up == 0 {
		c.Conn.Close()
		return n, io.ErrClosedPipe
	}
	return n, nil
}

func (c *cutConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	left := c.down
	c.mu.Unlock()
	if left == 0 {
		c.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	if left > 0 {
		p = p[:min(len(p), left)]
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down > 0 {
		c.down -= n
	}
	return n, err
}

func (r *rig) options() Options {
	return Options{Address: "mail.example.org:143", Security: Plaintext, User: "ann", Password: secret, Dialer: r}
}

func mustSink(t *testing.T, o Options) sink.Sink {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s sink.Sink, key, text string) error {
	t.Helper()
	return s.Put(t.Context(), sink.Message{Key: key}, strings.NewReader(text))
}

// mail gives the messages in a mailbox, through a session of its own.
func (r *rig) mail(t *testing.T, name string) (texts []string, times []time.Time) {
	t.Helper()
	saved := r.cut
	r.cut = nil
	defer func() { r.cut = saved }()
	o := r.options()
	o.Mailbox, o.Timeout = name, time.Minute
	s, err := connect(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.conn.allow(1 << 30)
	if s.selected.NumMessages == 0 {
		return nil, nil
	}
	list, err := s.Fetch(imap.UIDSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
		InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		texts = append(texts, string(m.BodySection[0].Bytes))
		times = append(times, m.InternalDate)
	}
	return texts, times
}

func letter(n int) string { return fmt.Sprintf("Subject: letter %d\r\n\r\nbody\r\n", n) }

func TestPut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	o := r.options()
	o.Mailbox = "Entwürfe & more"
	s := mustSink(t, o)
	if s.Parallel() != 4 || !s.Exact() {
		t.Errorf("Parallel() = %d, Exact() = %t", s.Parallel(), s.Exact())
	}
	at := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	long := letter(0) + strings.Repeat("a long line of text\r\n", 20_000)
	for range 2 {
		for n, text := range []string{letter(1), letter(2), letter(2), long} {
			if err := s.Put(t.Context(), sink.Message{Key: fmt.Sprint("k", n), Time: at}, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken := errors.New("broken")
	if err := s.Put(t.Context(), sink.Message{Key: "x"}, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	texts, times := r.mail(t, o.Mailbox)
	if !slices.Equal(texts, []string{letter(1), letter(2), letter(2), long}) || !times[0].Equal(at) {
		t.Errorf("%d messages, the first of %v", len(texts), times[0])
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := put(t, s, "y", "x"); !errors.Is(err, errClosed) {
		t.Errorf("Put after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, errClosed) {
		t.Errorf("Close after Close: %v", err)
	}
}

// After a client that was killed, the mailbox is listed when the server has had
// time to store what that has sent.
func TestSettle(t *testing.T) {
	t.Parallel()
	for _, doubt := range []bool{true, false} {
		o := newRig(t, nil).options()
		o.Settle = 50 * time.Millisecond
		if !doubt {
			o.Settle = time.Hour
		}
		s := mustSink(t, o)
		began := time.Now()
		for n := range 2 {
			m := sink.Message{Key: fmt.Sprint("k", n), Doubt: doubt}
			if err := s.Put(t.Context(), m, strings.NewReader(letter(n))); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); doubt && took < o.Settle {
				t.Errorf("after %v it is stored", took)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := newRig(t, nil).options()
	o.Settle = time.Hour
	if err := mustSink(t, o).Put(ctx, sink.Message{Key: "k", Doubt: true}, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Every text over {a . CR LF} of up to 6 octets arrives in its wire form.
func TestBytes(t *testing.T) {
	t.Parallel()
	words(6, func(w []byte) {
		for _, r := range []io.Reader{bytes.NewReader(w), iotest.OneByteReader(bytes.NewReader(w)), iotest.DataErrReader(bytes.NewReader(w))} {
			got, err := io.ReadAll(&wireLines{r: r})
			if err != nil || !bytes.Equal(got, wire(w)) {
				t.Fatalf("%q becomes %q, %v", w, got, err)
			}
		}
	})
	r := newRig(t, nil)
	s := mustSink(t, r.options())
	var want []string
	words(4, func(w []byte) {
		w = append([]byte("Subject: x\r\n\r\n"), w...) // the server reads it
		want = append(want, string(wire(w)))
		if err := put(t, s, fmt.Sprint("k", len(want)), string(w)); err != nil {
			t.Fatalf("%q: %v", w, err)
		}
	})
	got, _ := r.mail(t, "INBOX")
	for i, w := range want {
		if got[i] != w {
			t.Fatalf("%q arrives as %q", w, got[i])
		}
	}
}

// Wherever the connection breaks, a new process that tries again makes it one
// message, whether or not the server tells UIDs, and for messages that need a
// continuation as well as for those that do not.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, caps := range []imap.CapSet{nil, {imap.CapIMAP4rev1: {}}} {
		for _, size := range []int{10, 5000} {
			for _, down := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d capabilities, %d octets, down=%t", len(caps), size, down), func(t *testing.T) {
					t.Parallel()
					cutAnywhere(t, caps, letter(1)+strings.Repeat("x", size)+"\r\n", down)
				})
			}
		}
	}
}

func cutAnywhere(t *testing.T, caps imap.CapSet, text string, down bool) {
	for n := 1; ; n++ {
		if n > 200 && n < len(text) {
			n += 97
		}
		r := newRig(t, caps)
		before := mustSink(t, r.options())
		if err := put(t, before, "k0", letter(0)+strings.Repeat("y", len(text)-len(letter(0))-2)+"\r\n"); err != nil {
			t.Fatal(err)
		}
		before.Close()
		r.cut = func() (int, int) {
			if down {
				return -1, n
			}
			return n, -1
		}
		s := mustSink(t, r.options())
		err := put(t, s, "k1", text)
		s.Close()
		r.serving.Wait()
		r.cut = nil
		texts, _ := r.mail(t, "INBOX")
		if err != nil && !errors.Is(err, sink.ErrUnknownOutcome) && len(texts) != 1 {
			t.Fatalf("cut after %d octets: the message is there in spite of %v", n, err)
		}
		if errors.Is(err, sink.ErrRefused) {
			t.Fatalf("cut after %d octets: %v", n, err)
		}
		if e := put(t, mustSink(t, r.options()), "k1", text); e != nil {
			t.Fatal(e)
		}
		if texts, _ = r.mail(t, "INBOX"); len(texts) != 2 || texts[1] != text {
			t.Fatalf("cut after %d octets (%v): %d messages", n, err, len(texts))
		}
		if err == nil {
			return
		}
	}
}

// In one process a lost session is replaced, and identical messages with keys
// of their own stay apart.
func TestReconnect(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := mustSink(t, r.options())
	for n := range 3 {
		if err := put(t, s, fmt.Sprint("k", n), letter(1)); err != nil {
			t.Fatal(err)
		}
		s.(*mailbox).session.conn.Conn.Close()
		<-s.(*mailbox).session.Closed()
	}
	if texts, _ := r.mail(t, "INBOX"); len(texts) != 3 {
		t.Errorf("%d messages, not 3", len(texts))
	}
}

func TestParallel(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := mustSink(t, r.options())
	var group sync.WaitGroup
	for k := range parallel {
		group.Go(func() {
			for n := range 50 {
				text := letter(100*k+n) + strings.Repeat("x", n*200) + "\r\n"
				if err := put(t, s, fmt.Sprint("k", k, "x", n), text); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if texts, _ := r.mail(t, "INBOX"); len(texts) != 50*parallel {
		t.Errorf("%d messages", len(texts))
	}
}

func TestSecurity(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	o := r.options()
	o.Security = STARTTLS
	if err := put(t, mustSink(t, o), "k", "x"); err == nil {
		t.Error("a certificate is trusted that nobody vouches for")
	}
	o.TLS = r.tls
	o.Auth = func(_ []string, channel *tls.ConnectionState) (sasl.Client, error) {
		if channel == nil {
			t.Error("no channel inside TLS")
		}
		return sasl.PlainClient("ann", secret), nil
	}
	if err := put(t, mustSink(t, o), "k", "x"); err != nil {
		t.Error(err)
	}
	o.Security = TLS
	if err := put(t, mustSink(t, o), "k1", "x"); err == nil {
		t.Error("TLS with a server that has none")
	}
}

// Nothing is sent in clear text if TLS does not begin.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]script{
		"refused":   {"STARTTLS": "%s BAD no\r\n"},
		"injected":  {"STARTTLS": "%s OK go on\r\n* CAPABILITY IMAP4rev1\r\n"},
		"signed in": {"greeting": "* PREAUTH ready\r\n"},
		"bye":       {"greeting": "* BYE \x1b[2J\r\n"},
		"no OK":     {"STARTTLS": "%s OKAY\r\n"},
		"chatter":   {"STARTTLS": strings.Repeat("* x\r\n", 100) + "%s OK\r\n"},
		"no line":   {"greeting": strings.Repeat("x", 100_000)},
		"hangs up":  {"STARTTLS": "hang up"},
		"no TLS":    {"STARTTLS": "%s OK go on\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := s.options()
			o.Security, o.Timeout = STARTTLS, 500*time.Millisecond
			err := put(t, mustSink(t, o), "k", "x")
			if err == nil || errors.Is(err, sink.ErrRefused) || errors.Is(err, sink.ErrUnknownOutcome) {
				t.Error(err)
			}
			judgeText(t, err)
		})
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, tt := range []struct {
		name   string
		change func(*Options)
		ok     bool
	}{
		{"LOGIN", func(*Options) {}, true},
		{"PLAIN", func(o *Options) {
			o.Auth = func(offered []string, _ *tls.ConnectionState) (sasl.Client, error) {
				if !slices.Contains(offered, "PLAIN") {
					t.Errorf("offered: %q", offered)
				}
				return sasl.PlainClient("ann", secret), nil
			}
		}, true},
		{"wrong password", func(o *Options) { o.Password = "wrong donkey" }, false},
		{"wrong PLAIN", func(o *Options) {
			o.Auth = func([]string, *tls.ConnectionState) (sasl.Client, error) {
				return sasl.PlainClient("ann", "wrong donkey"), nil
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := r.options()
			tt.change(&o)
			err := put(t, mustSink(t, o), "k", "x")
			if (err == nil) != tt.ok || errors.Is(err, sasl.ErrRefused) == tt.ok {
				t.Error(err)
			}
			if err != nil && strings.Contains(err.Error(), "donkey") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"no address":  func(o *Options) { o.Address = "" },
		"no user":     func(o *Options) { o.User = "" },
		"CR LF":       func(o *Options) { o.Password = "x\r\nA1 LOGOUT" },
		"mailbox":     func(o *Options) { o.Mailbox = "a\r\nb" },
		"no UTF-8":    func(o *Options) { o.Mailbox = "\xff" },
		"no security": func(o *Options) { o.Security = 9 },
	} {
		o := (&rig{}).options()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
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
