package pop3server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
)

// Row 17: a drain ends who waits by [SYS/TEMP], lets a commit finish, and
// returns when all are gone.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "b\n")
		gate := make(chan struct{})
		b := &brokenBox{}
		b.commit = func(ctx context.Context, deleted []int) error { <-gate; return b.Box.Commit(ctx, deleted) }

		idle := r.dial(loopback)
		r.send(idle, "USER carol\r\nPASS secret\r\n")
		r.expect(idle, "+++")
		fresh := r.dial(loopback)
		r.expect(fresh, "+")
		r.breaks(b)
		committing := r.begin()
		r.send(committing, "DELE 1\r\nQUIT\r\n")
		synctest.Wait()

		done := make(chan error)
		go func() { done <- r.srv.Shutdown(t.Context()) }()
		synctest.Wait()
		for name, c := range map[string]net.Conn{"logged in": idle, "before login": fresh} {
			all, err := io.ReadAll(c)
			if !strings.HasPrefix(string(all), "-ERR [SYS/TEMP]") || err != nil {
				t.Errorf("%s: %q, %v", name, all, err)
			}
			c.Close()
		}
		time.Sleep(2 * time.Second)
		select {
		case err := <-done:
			t.Fatalf("Shutdown returned %v before the commit was done", err)
		default:
		}
		close(gate)
		if err := <-done; err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
		if all, _ := io.ReadAll(committing); signs(string(all)) != "++" {
			t.Errorf("the one that commits reads %q", all)
		}
		if left := r.left("alice"); left != "u2" {
			t.Errorf("%q is left", left)
		}
		if err := r.srv.ServeConn(t.Context(), r.refusedConn(), pop3server.Peer{}); err != pop3server.ErrServerClosed {
			t.Errorf("ServeConn returned %v", err)
		}
		if err := r.srv.Serve(testkit.Listen()); err != pop3server.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func (r *rig) refusedConn() net.Conn {
	_, server := testkit.Pipe()
	return server
}

// A drain that lasts too long is cut off.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", strings.Repeat("x", 1<<20))
		c := r.begin()
		r.send(c, "RETR 1\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if err := r.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(began))
		}
		if all, _ := io.ReadAll(c); strings.HasSuffix(string(all), "\r\n.\r\n") {
			t.Error("a cut message has an end dot")
		}
		synctest.Wait()
		if left := r.left("alice"); left != "u1" {
			t.Errorf("%q is left", left)
		}
	})
}

// A session that is busy when the drain begins ends when it would wait again.
func TestShutdownBusySession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", strings.Repeat("x", 100_000))
		c := r.begin()
		r.send(c, "RETR 1\r\nSTAT\r\n")
		synctest.Wait()
		done := make(chan error)
		go func() { done <- r.srv.Shutdown(t.Context()) }()
		synctest.Wait()
		all, _ := io.ReadAll(c)
		c.Close()
		if !strings.Contains(string(all), "\r\n.\r\n+OK 1 100002\r\n-ERR [SYS/TEMP]") {
			t.Errorf("it reads ...%q", all[max(0, len(all)-80):])
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Reconfigure is for new connections.
func TestReconfigure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		old := r.dial(remote)
		r.expect(old, "+")
		o := r.opt
		o.Hostname, o.InsecureAuth = "new.example.org", true
		r.srv.Reconfigure(o)
		if got := talk(t, old, "USER alice\r\nQUIT\r\n"); signs(got) != "-+" {
			t.Errorf("old connection: %q", got)
		}
		if got := talk(t, r.dial(remote), "USER alice\r\nQUIT\r\n"); signs(got) != "+++" || !strings.Contains(got, "new.example.org") {
			t.Errorf("new connection: %q", got)
		}
	})
}

// starved is a listener that has no file descriptors for a while.
type starved struct {
	*testkit.Listener
	errs  []error
	tries int
}

func (s *starved) Accept() (net.Conn, error) {
	s.tries++
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	return s.Listener.Accept()
}

// Row 13: want of file descriptors is waited for without spinning; other errors
// of a listener end Serve.
func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := pop3server.NewServer(pop3server.Options{Backend: pop3server.New(accounts{}, memdrop.New())})
		l := &starved{Listener: testkit.Listen()}
		for range 5 { // accept(2) gives the errors of networks and firewalls, too
			l.errs = append(l.errs, syscall.EMFILE, syscall.EPROTO, syscall.EPERM, syscall.ENETUNREACH)
		}
		served := make(chan error)
		began := time.Now()
		go func() { served <- srv.Serve(l) }()
		c, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if got := talk(t, c, "QUIT\r\n"); signs(got) != "++" || time.Since(began) < 10*time.Second {
			t.Errorf("got %q after %v", got, time.Since(began))
		}
		srv.Close()
		if err := <-served; err != pop3server.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}

		srv = pop3server.NewServer(pop3server.Options{Backend: pop3server.New(accounts{}, memdrop.New())})
		l = &starved{Listener: testkit.Listen(), errs: []error{syscall.EINVAL}}
		if err := srv.Serve(l); !errors.Is(err, syscall.EINVAL) || l.tries != 1 {
			t.Errorf("Serve returned %v after %d tries", err, l.tries)
		}
	})
}

// The summary of a session has what the log needs.
func TestSummary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "b\n", "c\n")
		c := r.dial(loopback)
		script := login + "RETR 1\r\nRETR 2\r\nTOP 3 0\r\nDELE 1\r\n"
		r.send(c, script)
		time.Sleep(3 * time.Second)
		got := talk(t, c, "QUIT\r\n")
		s := r.lastEnd()
		want := pop3server.Summary{
			Peer: s.Peer, Account: "alice", Mechanism: "USER", Retrieved: 2, Tops: 1, Deleted: 1, Left: 2,
			OctetsIn: int64(len(script) + 6), OctetsOut: int64(len(got)), Duration: 3 * time.Second, Reason: pop3server.ReasonQuit,
		}
		if s != want || s.Peer.Remote.String() != "127.0.0.1:50000" {
			t.Errorf("got %+v, want %+v", s, want)
		}
	})
}

// ServeConn takes what the caller knows of the peer.
func TestServeConn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := pop3server.NewServer(pop3server.Options{Backend: pop3server.New(accounts{}, memdrop.New())})
		client, server := testkit.Pipe()
		done := make(chan error)
		go func() { done <- srv.ServeConn(t.Context(), server, pop3server.Peer{Secure: true}) }()
		if got := talk(t, client, login+"QUIT\r\n"); signs(got) != "++++" {
			t.Errorf("got %q", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
