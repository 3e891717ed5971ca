package pop3server

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"time"
)

// turns bounds how many handshakes of a server compute at the same time, so
// that a flood of them leaves the processors to the sessions that are there.
// A handshake that waits for its client holds no turn: half of one costs
// nothing but the connection.
type turns chan struct{}

func newTurns() turns { return make(turns, runtime.GOMAXPROCS(0)) }

// handshakeConn is the wire while TLS shakes hands. It gives the turn away
// before it sends or waits for input, and waits for the next one with the input
// in hand, at the longest until the limit of the handshake.
type handshakeConn struct {
	net.Conn
	turns turns // nil when the handshake is over
	limit time.Time
	has   bool // the turn
}

var errNoTurn = errors.New("pop3server: too many handshakes at once")

func (h *handshakeConn) Read(p []byte) (int, error) {
	h.leave()
	n, err := h.Conn.Read(p)
	if err == nil && h.turns != nil {
		err = h.wait()
	}
	return n, err
}

func (h *handshakeConn) Write(p []byte) (int, error) {
	h.leave()
	return h.Conn.Write(p)
}

// wait takes a turn.
func (h *handshakeConn) wait() error {
	t := time.NewTimer(time.Until(h.limit))
	defer t.Stop()
	select {
	case h.turns <- struct{}{}:
		h.has = true
		return nil
	case <-t.C:
		return errNoTurn
	}
}

func (h *handshakeConn) leave() {
	if h.has {
		<-h.turns
		h.has = false
	}
}

// over makes h the mere wire.
func (h *handshakeConn) over() {
	h.leave()
	h.turns = nil
}

// handshake puts TLS upon the wire.
func (c *conn) handshake() bool {
	if c.opt.TLS == nil {
		c.note(ReasonHandshake, errors.New("pop3server: no TLS configuration"))
		return false
	}
	limit := time.Now().Add(c.opt.HandshakeTimeout)
	if login := c.began.Add(c.opt.LoginTimeout); login.Before(limit) {
		limit = login
	}
	c.wire.SetReadDeadline(limit)
	h := &handshakeConn{Conn: c.wire, turns: c.srv.handshakes, limit: limit}
	defer h.over() // after a panic of the site's callbacks too
	t := tls.Server(h, c.opt.TLS)
	c.net = t
	if err := t.Handshake(); err != nil {
		c.note(ReasonHandshake, err)
		return false
	}
	state := t.ConnectionState()
	c.sum.Peer.TLS, c.sum.Peer.Secure = &state, true
	return true
}
