package lmtp

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
)

// log keeps what a Trace is told.
type log struct {
	mu      sync.Mutex
	results []Result
	ends    []End
	accepts []error
}

func (l *log) trace() Trace {
	return Trace{
		Recipient: func(r Result) { l.mu.Lock(); defer l.mu.Unlock(); l.results = append(l.results, r) },
		Session:   func(e End) { l.mu.Lock(); defer l.mu.Unlock(); l.ends = append(l.ends, e) },
		Accept:    func(err error) { l.mu.Lock(); defer l.mu.Unlock(); l.accepts = append(l.accepts, err) },
	}
}

// TestUnixSocket delivers through a real socket and shuts the server down.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	d := &drops{}
	srv := NewServer(options(d))
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "lmtp.sock"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	c.hello()
	c.envelope("bob")
	c.data("x\r\n")
	c.expect("250 2.0.0 *")
	if m := d.mail["bob"]; len(m) != 1 || !strings.Contains(m[0], "from mx.example.org\r\n") {
		t.Errorf("got %q", m)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	c.expect("421 4.3.2 *")
	c.expectClosed()
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	if err := srv.Serve(l); err != ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if _, err := net.Dial("unix", l.Addr().String()); err == nil {
		t.Error("the socket is still open")
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error("second Shutdown:", err)
	}
}

// TestLastWords makes sure that a client which is sending on gets the replies
// to the message that ended the session.
func TestLastWords(t *testing.T) {
	t.Parallel()
	var l log
	opt := options(&drops{})
	opt.Trace = l.trace()
	srv := NewServer(opt)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	go srv.Serve(listener)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nDATA\r\n"+
		"a\nb\r\n.\r\n"+strings.Repeat("NOOP\r\n", 100_000))
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(got), string(replyGo+replyBare)) {
		t.Errorf("%q, %v", got, err)
	}
	conn.Close()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(l.ends) != 1 || !errors.Is(l.ends[0].Err, errBare) || l.ends[0].Duration > lingerTime {
		t.Errorf("%+v", l.ends)
	}
}

// TestShutdown finds sessions in every state: idle ones are told, begun
// messages come to their end.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		go1 := make(chan struct{})
		d := &drops{hook: func(account string) {
			if account == "postmaster" {
				<-go1
			}
		}}
		srv := NewServer(options(d))
		fresh, idle, begun, sending, delivering := dial(t, srv), dial(t, srv), dial(t, srv), dial(t, srv), dial(t, srv)
		fresh.expect("220 *")
		idle.hello()
		idle.send("NOO")
		begun.hello()
		begun.envelope("bob")
		sending.hello()
		sending.envelope("carol@example.net")
		sending.send("DATA\r\n")
		sending.expect("354 *")
		delivering.hello()
		delivering.envelope("postmaster")
		delivering.data("x\r\n")
		synctest.Wait()

		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(context.Background()) }()
		for _, c := range []*client{fresh, idle} {
			c.expect("421 4.3.2 *")
			c.expectClosed()
		}
		late := dial(t, srv)
		late.expect("421 4.3.2 *")
		late.expectClosed()
		time.Sleep(time.Minute)
		begun.data("x\r\n")
		begun.expect("250 2.0.0 *", "421 4.3.2 *")
		begun.expectClosed()
		sending.send("x\r\n.\r\nMAIL FROM:<>\r\n")
		sending.expect("250 2.0.0 *", "421 4.3.2 *")
		sending.expectClosed()
		synctest.Wait()
		select {
		case err := <-down:
			t.Fatal("Shutdown did not wait for a delivery:", err)
		default:
		}
		close(go1)
		delivering.expect("250 2.0.0 *", "421 4.3.2 *")
		delivering.expectClosed()
		if err := <-down; err != nil || d.count() != 3 {
			t.Errorf("Shutdown: %v; %d delivered", err, d.count())
		}
	})
}

// TestClose ends what Shutdown was waiting for.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &drops{}
		opt := options(d)
		var l log
		opt.Trace = l.trace()
		srv := NewServer(opt)
		blocked := make(chan struct{})
		d.hook = func(string) { close(blocked); <-srv.ctx.Done() }
		c := dial(t, srv)
		c.hello()
		c.envelope("bob")
		c.data("x\r\n")
		<-blocked
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		srv.Close()
		c.expectClosed()
		synctest.Wait()
		if d.count() != 0 || len(l.results) != 1 || !errors.Is(l.results[0].Err, context.Canceled) || l.results[0].Code != 451 {
			t.Errorf("%d delivered, %+v", d.count(), l.results)
		}
	})
}

// TestBackendTimeout bounds the time of a call to the accounts and the store.
func TestBackendTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &slowBackend{}
		opt := Options{Deliverer: slow, Resolver: slow, Hostname: "mail.example.org", BackendTimeout: time.Minute}
		c := dial(t, NewServer(opt))
		c.hello()
		c.send("MAIL FROM:<>\r\nRCPT TO:<slow>\r\nRCPT TO:<bob>\r\n")
		begun := time.Now()
		c.expect("250 2.1.0 *", "451 4.3.0 *", "250 2.1.5 *")
		c.data("x\r\n")
		c.expect("451 4.3.0 *")
		if d := time.Since(begun); d != 2*time.Minute {
			t.Errorf("took %v", d)
		}
	})
}

type slowBackend struct{ drops }

func (*slowBackend) Resolve(ctx context.Context, address string) (string, error) {
	if address == "slow" {
		<-ctx.Done()
	}
	return address, ctx.Err()
}

func (s *slowBackend) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	<-ctx.Done()
	return s.drops.Deliver(ctx, account, in, r)
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l log
		opt := options(&drops{})
		opt.MaxConnections = 2
		opt.Trace = l.trace()
		srv := NewServer(opt)
		one, two, three := dial(t, srv), dial(t, srv), dial(t, srv)
		synctest.Wait()
		var refused int
		for _, c := range []*client{one, two, three} {
			line, _ := c.next()
			if strings.HasPrefix(line, "421 4.3.2 Too many") {
				refused++
				c.expectClosed()
			} else {
				c.send("QUIT\r\n")
				c.expect("221 *")
			}
		}
		synctest.Wait()
		if refused != 1 || len(l.accepts) != 1 {
			t.Errorf("%d refused, %v", refused, l.accepts)
		}
		dial(t, srv).hello()
	})
}

// TestParallel delivers to many recipients at once, but not to too many.
func TestParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now, most int
		d := &drops{hook: func(string) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
		}}
		opt := options(d)
		opt.MaxRecipients, opt.MaxParallel = 100, 4
		opt.Resolver = resolverFunc(func(a string) (string, error) { return a, nil })
		c := dial(t, NewServer(opt))
		c.hello()
		c.send("MAIL FROM:<>\r\n")
		c.expect("250 *")
		for range 4 {
			for _, a := range "abcdefghij" {
				c.send("RCPT TO:<" + string(a) + ">\r\n")
				c.expect("250 *")
			}
		}
		begun := time.Now()
		c.data("x\r\n")
		for range 40 {
			c.expect("250 2.0.0 *")
		}
		if took := time.Since(begun); most != 4 || took != 3*time.Second || d.count() != 10 {
			t.Errorf("%d at once, took %v, %d delivered", most, took, d.count())
		}
	})
}

// TestGroups answers each group of commands with one write.
func TestGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := testkit.Pipe()
		conn := &countedConn{Conn: far}
		go NewServer(options(&drops{})).ServeConn(conn)
		c := newClient(t, near)
		c.hello()
		c.send("MAIL FROM:<>\r\nRCPT TO:<bob>\r\nRCPT TO:<nobody>\r\nRCPT TO:<last>\r\nDATA\r\n")
		c.expect("250 *", "250 *", "550 *", "250 *", "354 *")
		c.send("x\r\n.\r\nRSET\r\nQUIT\r\n")
		c.expect("250 *", "250 *", "250 *", "221 *")
		c.expectClosed()
		synctest.Wait()
		if conn.writes != 4 {
			t.Errorf("%d writes: greeting, LHLO, envelope and results make 4", conn.writes)
		}
	})
}

type countedConn struct {
	net.Conn
	writes int
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// TestPanic ends one session and no other.
func TestPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l log
		opt := options(&drops{})
		opt.Trace = l.trace()
		opt.Resolver = resolverFunc(func(string) (string, error) { panic("resolver") })
		srv := NewServer(opt)
		other, c := dial(t, srv), dial(t, srv)
		other.hello()
		c.hello()
		c.send("MAIL FROM:<>\r\nRCPT TO:<bob>\r\n")
		c.expectClosed()
		other.quit()
		synctest.Wait()
		if len(l.ends) != 2 || l.ends[0].Err == nil || !strings.Contains(l.ends[0].Err.Error(), "resolver") || l.ends[1].Err != nil {
			t.Errorf("%+v", l.ends)
		}
	})
}

// TestReconfigure takes effect with the next message of an open connection.
func TestReconfigure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, after := &drops{}, &drops{}
		srv := NewServer(options(before))
		c := dial(t, srv)
		c.hello()
		c.envelope("bob")
		opt := options(after)
		opt.MaxMessage = 10
		srv.Reconfigure(opt)
		c.data("a message of more than ten octets\r\n")
		c.expect("250 2.0.0 *")
		c.send("MAIL FROM:<> SIZE=11\r\n")
		c.expect("552 5.3.4 *")
		c.envelope("bob")
		c.data("ten......\r\n")
		c.expect("552 5.3.4 *")
		c.envelope("bob")
		c.data("ten.....\r\n")
		c.expect("250 2.0.0 *")
		if before.count() != 1 || after.count() != 1 {
			t.Errorf("before %d, after %d", before.count(), after.count())
		}
	})
}

// TestTrace is told of each recipient and of the session.
func TestTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l log
		opt := options(&drops{})
		opt.Trace = l.trace()
		c := dial(t, NewServer(opt))
		c.hello()
		c.send("MAIL FROM:<ann@example.net>\r\nRCPT TO:<nobody>\r\nRCPT TO:<outage@example.org>\r\nRCPT TO:<bob+x>\r\nRCPT TO:<full>\r\n")
		c.expect("250 *", "550 *", "451 *", "250 *", "250 *")
		time.Sleep(time.Second)
		c.data("x\r\n")
		c.expect("250 *", "452 *")
		c.quit()
		synctest.Wait()
		want := []Result{
			{To: "nobody", Code: 550}, {To: "outage@example.org", Code: 451},
			{To: "bob+x", Account: "bob", Size: 3, Code: 250}, {To: "full", Account: "full", Size: 3, Code: 452},
		}
		if len(l.results) != len(want) {
			t.Fatalf("%+v", l.results)
		}
		for i, got := range l.results {
			if len(got.ID) != 26 || got.From != "ann@example.net" || got.Peer == nil || (got.Err == nil) != (got.Code == 250) {
				t.Errorf("%+v", got)
			}
			got.ID, got.From, got.Peer, got.Err = "", "", nil, nil
			if got != want[i] {
				t.Errorf("got %+v, want %+v", got, want[i])
			}
		}
		if len(l.ends) != 1 {
			t.Fatalf("%+v", l.ends)
		}
		end := l.ends[0]
		end.Peer = nil
		if want := (End{Duration: time.Second, Messages: 1, Recipients: 1, Octets: 3}); end != want {
			t.Errorf("got %+v, want %+v", end, want)
		}
	})
}

// TestAccept waits while the process has no file descriptor, and gives up on
// what will not pass.
func TestAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l log
		opt := options(&drops{})
		opt.Trace = l.trace()
		srv := NewServer(opt)
		near, far := net.Pipe()
		broken := errors.New("listener is broken")
		fl := &fakeListener{steps: []any{syscall.EMFILE, syscall.EPROTO, far, broken}}
		begun := time.Now()
		if err := srv.Serve(fl); err != broken {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(begun); took != 15*time.Millisecond || len(l.accepts) != 2 || !fl.closed {
			t.Errorf("took %v, %v, closed %v", took, l.accepts, fl.closed)
		}
		newClient(t, near).hello()
	})
}

type fakeListener struct {
	net.Listener
	steps  []any
	closed bool
}

func (l *fakeListener) Accept() (net.Conn, error) {
	step := l.steps[0]
	l.steps = l.steps[1:]
	if c, ok := step.(net.Conn); ok {
		return c, nil
	}
	return nil, step.(error)
}

func (l *fakeListener) Close() error { l.closed = true; return nil }

// TestSlowReader does not take its replies.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l log
		opt := options(&drops{})
		opt.Trace = l.trace()
		near, far := net.Pipe()
		srv := NewServer(opt)
		begun := time.Now()
		go srv.ServeConn(far)
		time.Sleep(defaultCommandTimeout + time.Second)
		synctest.Wait()
		if len(l.ends) != 1 || l.ends[0].Duration != defaultCommandTimeout || time.Since(begun) < defaultCommandTimeout {
			t.Errorf("%+v", l.ends)
		}
		near.Close()
	})
}

// TestHostnames falls back rather than say what is no host name.
func TestHostnames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "localhost", "mail.example.org": "mail.example.org", "a b": "localhost", "a\r\nb": "localhost",
		"bücher.example": "localhost", "[192.0.2.1]": "[192.0.2.1]",
	} {
		if got := (Options{Hostname: in}).filled().Hostname; got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
