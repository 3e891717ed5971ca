package imap

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// maxDepth is how deep lists in an answer may be nested. The IMAP client is
// recursive.
const maxDepth = 64

var (
	errTooMuch = errors.New("server sends more than was asked for")
	errTooDeep = errors.New("server sends lists that are nested too deep")
)

// conn bounds what comes from a server, and how long it may be silent. The
// deadlines of the IMAP client are not used: they do not cover a server that
// never answers.
type conn struct {
	net.Conn
	timeout time.Duration
	left    atomic.Int64 // octets that may still be read
}

// allow makes n octets the least that may still be read.
func (c *conn) allow(n int64) {
	for {
		left := c.left.Load()
		if left >= n || c.left.CompareAndSwap(left, n) {
			return
		}
	}
}

func (c *conn) Read(p []byte) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		return 0, errTooMuch
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// Write also gives a Read that is waiting more time: a server says nothing
// while a message is sent.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.Conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// answers is the connection as the IMAP client sees it, inside TLS.
type answers struct {
	net.Conn
	first  string      // what is given ahead
	bodies atomic.Bool // messages are being read, which may have any octets
	depth  int         // of the line that is being read
}

func (a *answers) Read(p []byte) (int, error) {
	if a.first != "" {
		n := copy(p, a.first)
		a.first = a.first[n:]
		return n, nil
	}
	n, err := a.Conn.Read(p)
	if a.bodies.Load() {
		a.depth = 0
		return n, err
	}
	for _, c := range p[:n] {
		switch c {
		case '(':
			if a.depth++; a.depth > maxDepth {
				return 0, errTooDeep
			}
		case ')':
			a.depth = max(a.depth-1, 0)
		case '\n':
			a.depth = 0
		}
	}
	return n, err
}
