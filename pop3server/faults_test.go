package pop3server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
)

var errDisk = errors.New("the disk is on fire")

// brokenBox fails as a test wants it to.
type brokenBox struct {
	maildrop.Box
	get    func(i, lines int) (io.ReadCloser, error)
	commit func(ctx context.Context, deleted []int) error
	closed chan struct{}
	once   sync.Once
}

func (b *brokenBox) Get(ctx context.Context, i, lines int) (io.ReadCloser, error) {
	if b.get != nil {
		return b.get(i, lines)
	}
	return b.Box.Get(ctx, i, lines)
}

func (b *brokenBox) Commit(ctx context.Context, deleted []int) error {
	if b.commit != nil {
		return b.commit(ctx, deleted)
	}
	return b.Box.Commit(ctx, deleted)
}

func (b *brokenBox) Close() error {
	b.once.Do(func() {
		if b.closed != nil {
			close(b.closed)
		}
	})
	return b.Box.Close()
}

// breaks makes the maildrops of r those of b's kind.
func (r *rig) breaks(b *brokenBox) {
	r.site.open = func(ctx context.Context, account string) (maildrop.Box, error) {
		box, err := r.store.Open(ctx, account)
		b.Box = box
		return b, err
	}
}

// begin logs alice in and returns the connection, the replies read.
func (r *rig) begin() net.Conn {
	r.t.Helper()
	c := r.dial(loopback)
	r.send(c, login)
	r.expect(c, "+++")
	return c
}

func (r *rig) send(c net.Conn, s string) {
	r.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		r.t.Fatal(err)
	}
}

// expect reads lines and compares their first octets with want.
func (r *rig) expect(c net.Conn, want string) {
	r.t.Helper()
	synctest.Wait()
	c.SetReadDeadline(time.Now().Add(time.Microsecond))
	got, err := io.ReadAll(c)
	c.SetReadDeadline(time.Time{})
	if signs(string(got)) != want {
		r.t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// Row 48: a client that is silently gone frees the maildrop after the idle
// time, or at once when it is wanted again and has been idle for a minute.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "b\n")
		first := r.begin()
		r.send(first, "DELE 1\r\n")
		r.expect(first, "+")

		time.Sleep(59 * time.Second)
		if got := r.talk(login + "QUIT\r\n"); !strings.Contains(got, "-ERR [IN-USE]") {
			t.Errorf("before a minute: %q", got)
		}
		if l := r.logins[len(r.logins)-1]; l.Holder.Remote.Port() != 50000 {
			t.Errorf("the log does not say who holds the maildrop: %+v", l)
		}
		r.send(first, "NOOP\r\n")
		r.expect(first, "+")
		time.Sleep(59 * time.Second)
		if got := r.talk(login + "QUIT\r\n"); !strings.Contains(got, "-ERR [IN-USE]") {
			t.Errorf("a minute after the login, but not after the last command: %q", got)
		}

		time.Sleep(time.Second)
		if got := r.talk(login + "STAT\r\nQUIT\r\n"); signs(got) != "+++++" {
			t.Errorf("after a minute: %q", got)
		}
		rest, _ := io.ReadAll(first)
		if !strings.HasPrefix(string(rest), "-ERR [SYS/TEMP]") {
			t.Errorf("the ended session reads %q", rest)
		}
		if left := r.left("alice"); left != "u1 u2" {
			t.Errorf("its marks had effect: %q is left", left)
		}
	})
}

// A session that is inside a command is not ended, however long it takes.
func TestNoTakeOverInsideCommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", strings.Repeat("x", 1<<20))
		c := r.begin()
		r.send(c, "RETR 1\r\n")
		time.Sleep(90 * time.Second)
		if got := r.talk(login + "QUIT\r\n"); !strings.Contains(got, "-ERR [IN-USE]") {
			t.Errorf("got %q", got)
		}
		c.Close()
	})
}

// Another process's session is never ended.
func TestInUseElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		box, err := r.store.Open(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		time.Sleep(time.Hour)
		if got := r.talk(login + "QUIT\r\n"); !strings.Contains(got, "-ERR [IN-USE]") {
			t.Errorf("got %q", got)
		}
		if h := r.logins[0].Holder; h.Remote.IsValid() {
			t.Errorf("holder %v", h.Remote)
		}
	})
}

func TestSessionsPerAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.opt.Sessions = pop3server.NewSessions(2) })
		r.site.open = func(ctx context.Context, _ string) (maildrop.Box, error) {
			return r.store.Open(ctx, fmt.Sprint("snapshot", time.Now().UnixNano()))
		}
		for range 2 {
			r.begin()
			time.Sleep(time.Second)
		}
		if got := r.talk(login + "QUIT\r\n"); !strings.Contains(got, "-ERR [IN-USE]") {
			t.Errorf("third session: %q", got)
		}
		if n := r.opt.Sessions.Active(); n != 2 {
			t.Errorf("%d sessions are active", n)
		}
		time.Sleep(time.Minute)
		if got := r.talk(login + "QUIT\r\n"); signs(got) != "++++" {
			t.Errorf("third session, with an idle one to end: %q", got)
		}
	})
}

// Row 49: a connection lost before QUIT removes nothing, at whatever octet.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	const script = login + "RETR 1\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n"
	for k := range len(script) - 1 { // without the last LF
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.deliver("alice", "a\n", "b\n")
			c := r.dial(loopback)
			r.send(c, script[:k])
			c.Close()
			synctest.Wait()
			if left := r.left("alice"); left != "u1 u2" {
				t.Errorf("after %q %q is left", script[:k], left)
			}
		})
	}
}

// Row 50: the reply to QUIT is lost; the next session sees the messages gone.
func TestLostReplyToQuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "b\n")
		c := r.begin()
		r.send(c, "DELE 1\r\n")
		r.expect(c, "+")
		r.send(c, "QUIT\r\n")
		c.Close()
		synctest.Wait()
		if left := r.left("alice"); left != "u2" {
			t.Errorf("%q is left", left)
		}
	})
}

// QUIT answers when the commit is done, which does not end with the client, and
// the maildrop is free when the answer is there.
func TestQuitAnswersAfterCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "b\n")
		gate := make(chan struct{})
		var ended error
		b := &brokenBox{closed: make(chan struct{})}
		b.commit = func(ctx context.Context, deleted []int) error {
			<-gate
			ended = ctx.Err()
			return b.Box.Commit(ctx, deleted)
		}
		r.breaks(b)
		c := r.begin()
		r.send(c, "DELE 1\r\nQUIT\r\n")
		synctest.Wait()
		r.expect(c, "") // not even the reply to DELE: nothing was read since
		r.srv.Close()   // the connection and its context are gone
		close(gate)
		<-b.closed
		synctest.Wait()
		if left := r.left("alice"); left != "u2" || ended != nil {
			t.Errorf("%q is left, context %v", left, ended)
		}
	})
}

// slowBox takes its time to close.
type slowBox struct {
	maildrop.Box
	gate <-chan struct{}
}

func (b slowBox) Close() error {
	<-b.gate
	return b.Box.Close()
}

// The answer to QUIT comes when the maildrop is free: a client may be back at once.
func TestQuitAnswersWhenMaildropIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		gate := make(chan struct{})
		r.site.open = func(ctx context.Context, account string) (maildrop.Box, error) {
			box, err := r.store.Open(ctx, account)
			return slowBox{box, gate}, err
		}
		c := r.begin()
		r.send(c, "QUIT\r\n")
		r.expect(c, "")
		close(gate)
		r.expect(c, "+")
		if got := r.talk(login + "QUIT\r\n"); signs(got) != "++++" {
			t.Errorf("back at once: %q", got)
		}
	})
}

// EXPIRE 0 removes nothing for a client that is gone before the message is out.
func TestExpireDeadClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.site.after.Expire = pop3server.DeleteRetrieved })
		r.deliver("alice", "a\n")
		gate := make(chan struct{})
		b := &brokenBox{}
		b.get = func(i, lines int) (io.ReadCloser, error) { <-gate; return b.Box.Get(t.Context(), i, lines) }
		r.breaks(b)
		c := r.begin()
		r.send(c, "RETR 1\r\nQUIT\r\n")
		synctest.Wait()
		c.Close()
		close(gate)
		synctest.Wait()
		if left := r.left("alice"); left != "u1" {
			t.Errorf("%q is left", left)
		}
	})
}

// EXPIRE removes what is older, and only that; an unknown age is none.
func TestExpireKeepsYounger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.site.after.Expire = 30 * 24 * time.Hour })
		r.deliver("alice", "a\n")
		time.Sleep(time.Hour)
		in := maildrop.Incoming{UID: "later"}
		if err := r.store.Deliver(t.Context(), "alice", in, strings.NewReader("b\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30*24*time.Hour - time.Minute)
		if got := r.talk(login + "QUIT\r\n"); signs(got) != "++++" {
			t.Errorf("got %q", got)
		}
		if left := r.left("alice"); left != "later" {
			t.Errorf("%q is left", left)
		}
	})
}

func TestQuitTellsOfFailedCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n")
		r.breaks(&brokenBox{commit: func(context.Context, []int) error { return errDisk }})
		got := r.talk(login + "DELE 1\r\nQUIT\r\n")
		if signs(got) != "++++-" || !strings.Contains(got, "-ERR [SYS/TEMP]") {
			t.Errorf("got %q", got)
		}
		if s := r.lastEnd(); s.Reason != pop3server.ReasonCommit || s.Deleted != 0 || len(r.faults) != 1 {
			t.Errorf("summary %+v, faults %v", s, r.faults)
		}
	})
}

func TestCommitTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n")
		r.breaks(&brokenBox{commit: func(ctx context.Context, _ []int) error { <-ctx.Done(); return ctx.Err() }})
		began := time.Now()
		if got := r.talk(login + "DELE 1\r\nQUIT\r\n"); signs(got) != "++++-" || time.Since(began) != 2*time.Minute {
			t.Errorf("got %q after %v", got, time.Since(began))
		}
	})
}

// Row 51: a panic ends its own session only, and lets go of the maildrop.
func TestPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n")
		other := r.dial(loopback)
		r.send(other, "USER carol\r\nPASS secret\r\n")
		r.expect(other, "+++")
		b := &brokenBox{get: func(int, int) (io.ReadCloser, error) { panic("index out of range") }}
		r.breaks(b)
		if got := r.talk(login + "DELE 1\r\nRSET\r\nRETR 1\r\n"); strings.Contains(got, "index") {
			t.Errorf("the client reads %q", got)
		}
		if got := r.talk("USER panic\r\nPASS secret\r\n"); signs(got) != "++" {
			t.Errorf("a panic before login: %q", got)
		}
		if r.panics != 2 || r.lastEnd().Reason != pop3server.ReasonPanic {
			t.Errorf("%d panics, %+v", r.panics, r.lastEnd())
		}
		if left := r.left("alice"); left != "u1" {
			t.Errorf("%q is left", left)
		}
		r.send(other, "STAT\r\n")
		r.expect(other, "+")
	})
}

// Row 53: nothing is left of many sessions that ended in every way. The bubble
// itself fails if a goroutine stays.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS(); r.opt.Sessions = pop3server.NewSessions(1) })
		for i := range 300 {
			c := r.dial(loopback)
			r.send(c, []string{"", "USER", login, login + "LIST\r\nQUIT\r\n", "STLS\r\n", "AUTH PLAIN\r\n", "GET / HTTP/1.1\r\n"}[i%7])
			synctest.Wait()
			c.Close()
		}
		synctest.Wait()
		if n, m := r.srv.Connections(), r.opt.Sessions.Active(); n != 0 || m != 0 {
			t.Errorf("%d connections and %d sessions are left", n, m)
		}
	})
}

// Row 62: a client that reads nothing holds a bounded buffer, and is cut off
// when nothing has moved for two to four minutes, but not while it reads slowly.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", strings.Repeat("x", 1<<20))
		began := time.Now()
		c := r.begin()
		r.send(c, "RETR 1\r\n")
		buf := make([]byte, 1000)
		for range 20 { // slow, but not still
			time.Sleep(110 * time.Second)
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(241 * time.Second)
		synctest.Wait()
		if s := r.lastEnd(); s.Reason != pop3server.ReasonStalled || s.Retrieved != 0 {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
		if left := r.left("alice"); left != "u1" {
			t.Errorf("%q is left", left)
		}
		if rest, _ := io.ReadAll(c); strings.HasSuffix(string(rest), "\r\n.\r\n") {
			t.Error("a cut message has an end dot")
		}
	})
}

// Row 70: an error after +OK cuts the connection; before it, it is told.
func TestStorageErrors(t *testing.T) {
	t.Parallel()
	gives := func(size int, err error) func(int, int) (io.ReadCloser, error) {
		return func(int, int) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x\n", size/2)), iotest.ErrReader(err))), nil
		}
	}
	fails := func(err error) func(int, int) (io.ReadCloser, error) {
		return func(int, int) (io.ReadCloser, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		get  func(int, int) (io.ReadCloser, error)
		want string // behind the login; empty: cut after +OK
	}{
		"gone":           {fails(maildrop.ErrGone), "-ERR Another program"},
		"damaged":        {fails(maildrop.ErrDamaged), "-ERR [SYS/PERM]"},
		"outage":         {fails(errDisk), "-ERR [SYS/TEMP]"},
		"gone early":     {gives(0, maildrop.ErrGone), "-ERR Another program"},
		"damaged early":  {gives(10_000, maildrop.ErrDamaged), "-ERR [SYS/PERM]"},
		"outage early":   {gives(30_000, errDisk), "-ERR [SYS/TEMP]"},
		"damaged late":   {gives(80_000, maildrop.ErrDamaged), ""},
		"outage late":    {gives(400_000, errDisk), ""},
		"never anything": {func(int, int) (io.ReadCloser, error) { return io.NopCloser(stuck{}), nil }, "-ERR [SYS/TEMP]"},
	} {
		for _, command := range []string{"RETR 1\r\n", "TOP 1 999999\r\n"} {
			t.Run(name+" "+command[:3], func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					r.deliver("alice", "a\n", "b\n")
					r.breaks(&brokenBox{get: c.get})
					got := r.talk(login + command + "DELE 2\r\nSTAT\r\nQUIT\r\n")
					_, after, _ := strings.Cut(got, "Maildrop open\r\n")
					if c.want != "" {
						if !strings.HasPrefix(after, c.want) || signs(after) != "-+++" {
							t.Errorf("got %q", after)
						}
						return
					}
					if strings.Contains(after, "\n.\r\n") || strings.Contains(after, "Goodbye") {
						t.Errorf("the cut message ends in %q", after[max(0, len(after)-50):])
					}
					if s := r.lastEnd(); s.Reason != pop3server.ReasonStorage || s.Deleted != 0 {
						t.Errorf("summary %+v", s)
					}
					if left := r.left("alice"); left != "u1 u2" {
						t.Errorf("%q is left", left)
					}
				})
			})
		}
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// A client that asks for ever for messages that others have removed is in a
// loop, and cut off.
func TestGoneLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n")
		r.breaks(&brokenBox{get: func(int, int) (io.ReadCloser, error) { return nil, maildrop.ErrGone }})
		got := r.talk(login + strings.Repeat("RETR 1\r\n", 1000))
		if n := strings.Count(got, "-ERR"); n > 30 || r.lastEnd().Reason != pop3server.ReasonBadCommands {
			t.Errorf("%d refusals, then %+v", n, r.lastEnd())
		}
	})
}

// What RETR sends is counted, and a difference told to the operator.
func TestSizeMismatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "b\n")
		r.breaks(&brokenBox{get: func(i, _ int) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader([]string{"longer\n", "b\n"}[i])), nil
		}})
		if got := r.talk(login + "RETR 1\r\nRETR 2\r\nQUIT\r\n"); !strings.Contains(got, "longer\r\n.\r\n") {
			t.Errorf("got %q", got)
		}
		if len(r.sizes) != 1 || r.sizes[0] != "alice u1 3 8" {
			t.Errorf("told %v", r.sizes)
		}
	})
}

// A login that fails in the store is none: the error has its code and nothing
// is held.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		maildrop.ErrInUse:   "-ERR [IN-USE]",
		maildrop.ErrNoDrop:  "-ERR [SYS/PERM]",
		maildrop.ErrDamaged: "-ERR [SYS/PERM]",
		errDisk:             "-ERR [SYS/TEMP]",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.open = func(context.Context, string) (maildrop.Box, error) { return nil, fmt.Errorf("open: %w", err) }
			got := r.talk(login + "STAT\r\nQUIT\r\n")
			if !strings.Contains(got, want) || signs(got) != "++--+" || strings.Contains(got, err.Error()) {
				t.Errorf("%v: %q", err, got)
			}
		})
	}
}

func TestNewSessionFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.site.failed = errDisk })
		if got := r.talk(login); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") || signs(got) != "-" {
			t.Errorf("got %q", got)
		}
	})
}
