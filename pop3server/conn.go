package pop3server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// What conn.state holds when it is not the time since when the connection has
// been waiting for input, which is positive.
const (
	busy      = 0 // inside a command
	takenOver = -1
	goingDown = -2
	arriving  = -3 // before the greeting or in a handshake: nothing is lost with it
)

var errNotPOP3 = errors.New("pop3server: client does not speak POP3")

// conn is one connection. Its goroutine alone uses it, but for end and Close:
// they touch state and the wire, and Sessions reads the peer of who is seated.
type conn struct {
	srv   *Server
	opt   *Options
	wire  *wire
	net   net.Conn // the wire, or TLS upon it
	in    *pop3.Reader
	out   *pop3.Writer
	began time.Time

	session    Session
	mechanisms []sasl.Mechanism
	apop       sasl.Mechanism // its challenge was in the greeting; nil: none, or a later session
	policy     Policy
	seat       *seat        // among the sessions of the account; nil before login
	box        maildrop.Box // nil before login and after the commit

	lang           language
	utf8           bool
	announcesDelay bool // CAPA had LOGIN-DELAY before login
	waiting        bool // the command at hand has waited for input
	sum            Summary

	state atomic.Int64
}

// serve runs a connection from its first octet to its last.
func (c *conn) serve(ctx context.Context) {
	defer c.finish()
	if !c.start(ctx) {
		return
	}
	if box := c.authorization(ctx); box != nil {
		if deleted, ok := c.transaction(ctx, box); ok {
			c.update(ctx, box, deleted)
		}
	}
}

// start learns who is there, makes the session and greets.
func (c *conn) start(ctx context.Context) bool {
	if !c.arrive(func() bool { return c.meet(ctx) }) {
		return false
	}
	c.open()
	if err := c.newSession(ctx); err != nil {
		c.write(c.refusal(err))
		c.out.Flush()
		c.note(ReasonStorage, err)
		return false
	}
	c.out.OK().Text(c.opt.Hostname).Text(c.say(textReady))
	if c.apop = c.findAPOP(); c.apop != nil {
		c.out.Text(c.apop.(challenger).Challenge())
	}
	c.out.End()
	return true
}

// arrive runs what talks to a client that is nobody yet. A server that shuts
// down does not wait for it.
func (c *conn) arrive(talk func() bool) bool {
	c.state.Store(arriving)
	if c.srv.draining.Load() {
		c.end(goingDown, 0)
	}
	ok := talk()
	if !c.state.CompareAndSwap(arriving, busy) {
		c.sum.Reason, c.sum.Err = ReasonShutdown, nil // whatever it was that the cut broke
		return false
	}
	return ok
}

// meet learns who is there, up to the greeting.
func (c *conn) meet(ctx context.Context) bool {
	limit := c.began.Add(c.opt.LoginTimeout)
	c.wire.limit = limit
	c.wire.SetReadDeadline(limit) // the address may be behind a PROXY header
	p := &c.sum.Peer
	if !p.Remote.IsValid() {
		p.Remote = addrPort(c.wire.RemoteAddr())
	}
	if !p.Local.IsValid() {
		p.Local = addrPort(c.wire.LocalAddr())
	}
	p.Secure = p.Secure || p.TLS != nil || c.opt.InsecureAuth || p.Remote.Addr().IsLoopback() ||
		!p.Remote.IsValid() && isUnix(c.wire.RemoteAddr())
	if f := c.opt.Trace.SessionStart; f != nil {
		f(*p)
	}
	return (!c.opt.Implicit || p.TLS != nil || c.handshake()) && c.preface(ctx, limit)
}

// preface runs what comes before the greeting.
func (c *conn) preface(ctx context.Context, limit time.Time) bool {
	if c.opt.Preface == nil {
		return true
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	p, err := c.opt.Preface(ctx, c.net, c.sum.Peer)
	if err != nil {
		c.note(ReasonPreface, err)
		return false
	}
	c.sum.Peer = p
	c.wire.SetReadDeadline(limit)
	return true
}

// open makes the codec anew for what is now the stream: nothing that was read
// or buffered before lives on.
func (c *conn) open() {
	if c.in != nil {
		c.sum.OctetsIn += c.in.Octets()
		c.sum.OctetsOut += c.out.Octets()
	}
	c.in, c.out = pop3.NewReader(c), pop3.NewWriter(c.net)
}

// newSession asks the Backend for a Session that knows nothing of an earlier one.
func (c *conn) newSession(ctx context.Context) error {
	if c.session != nil {
		c.session.Close()
		c.session, c.mechanisms, c.apop = nil, nil, nil
	}
	s, err := c.opt.Backend.NewSession(ctx, c.sum.Peer)
	if err != nil {
		return err
	}
	c.session, c.mechanisms, c.policy = s, s.Mechanisms(), s.Policy()
	_, c.announcesDelay = c.loginDelay()
	return nil
}

// Read gives input to the Reader. Before a command waits for the first time,
// the replies go out and the deadline of the whole command is set.
func (c *conn) Read(p []byte) (int, error) {
	if !c.waiting {
		if err := c.out.Flush(); err != nil {
			return 0, err
		}
		now := time.Now()
		limit := c.began.Add(c.opt.LoginTimeout)
		if c.seat != nil {
			limit = now.Add(c.opt.IdleTimeout)
		}
		if err := c.wire.SetReadDeadline(limit); err != nil {
			return 0, err
		}
		c.waiting = true
		c.state.Store(max(int64(now.Sub(c.srv.began)), 1))
		if c.srv.draining.Load() {
			c.end(goingDown, 0)
		}
	}
	n, err := c.net.Read(p)
	if c.seat == nil && c.in.Octets() == 0 && foreign(p[:n]) {
		return 0, errNotPOP3
	}
	return n, err
}

// end ends a connection that has been waiting for input for that long, from
// another goroutine. It reports whether it did. One that is arriving is cut.
func (c *conn) end(why int64, after time.Duration) bool {
	since := c.state.Load()
	if since == arriving && why == goingDown && c.state.CompareAndSwap(arriving, why) {
		c.wire.Close()
		return true
	}
	if since <= busy || time.Since(c.srv.began)-time.Duration(since) < after {
		return false
	}
	if !c.state.CompareAndSwap(since, why) {
		return false
	}
	c.wire.SetReadDeadline(time.Unix(1, 0))
	return true
}

// awake is called when what was waited for is there. It reports whether the
// connection may go on.
func (c *conn) awake() bool {
	if !c.waiting {
		return true
	}
	c.waiting = false
	for {
		since := c.state.Load()
		if since < busy {
			return false
		}
		if c.state.CompareAndSwap(since, busy) {
			return true
		}
	}
}

// stop says goodbye where the protocol allows it and notes why err ended the input.
func (c *conn) stop(err error) {
	switch state := c.state.Load(); {
	case c.out.Flush() != nil:
		err = c.out.Flush()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.note(ReasonStalled, err)
		} else {
			c.note(ReasonDisconnected, err)
		}
	case state == takenOver:
		c.bye(refuse(pop3.CodeSysTemp, textTakenOver), ReasonTakenOver)
	case state == goingDown:
		c.bye(refuse(pop3.CodeSysTemp, textShutdown), ReasonShutdown)
	case err == pop3.ErrLineTooLong:
		c.bye(refuse("", textTooLong), ReasonLineTooLong)
	case err == errNotPOP3:
		c.note(ReasonNotPOP3, nil)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.seat == nil:
		c.note(ReasonLoginTimeout, nil)
	case errors.Is(err, os.ErrDeadlineExceeded): // no reply: RFC 1939 §3
		c.note(ReasonIdle, nil)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		c.note(ReasonDisconnected, nil)
	default:
		c.note(ReasonDisconnected, err)
	}
}

// bye is a last reply.
func (c *conn) bye(r reply, why Reason) {
	c.note(why, nil)
	c.write(r)
	if c.out.Flush() == nil {
		if c.sum.Peer.TLS != nil {
			return // close_notify goes first
		}
		c.wire.linger()
	}
}

// note keeps the first reason.
func (c *conn) note(why Reason, err error) {
	if c.sum.Reason == "" {
		c.sum.Reason, c.sum.Err = why, err
	}
}

// release closes the Box, without removing anything, and frees the account.
func (c *conn) release() {
	if c.box != nil {
		if err := c.box.Close(); err != nil {
			c.fault(fmt.Errorf("pop3server: closing the maildrop: %w", err))
		}
		c.box = nil
	}
	if c.seat != nil {
		c.opt.Sessions.leave(c.seat)
		c.seat = nil
	}
}

// finish is the end of every connection, panics included.
func (c *conn) finish() {
	if v := recover(); v != nil {
		c.note(ReasonPanic, nil)
		if f := c.opt.Trace.Panic; f != nil {
			f(c.sum.Peer, v, debug.Stack())
		}
	}
	defer c.srv.forget(c)
	defer c.wire.Close()
	c.release()
	if c.session != nil {
		c.session.Close()
	}
	if c.in != nil {
		c.out.Flush()
		c.sum.OctetsIn += c.in.Octets()
		c.sum.OctetsOut += c.out.Octets()
	}
	c.wire.stall = min(c.wire.stall, 5*time.Second) // for TLS to say that it ends
	c.net.Close()
	c.note(ReasonDisconnected, nil)
	c.sum.Duration = time.Since(c.began)
	if f := c.opt.Trace.SessionEnd; f != nil {
		f(c.sum)
	}
}

// addrPort returns the address of a, invalid if it has none.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	case nil:
		return netip.AddrPort{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

func isUnix(a net.Addr) bool {
	_, ok := a.(*net.UnixAddr)
	return ok
}
