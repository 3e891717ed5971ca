// Package testkit is what the tests of several packages share: a network in
// memory that runs in a testing/synctest bubble, transcripts of sessions, and
// certificates.
package testkit

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// window is how much of one direction may be under way.
const window = 64 << 10

// Pipe returns the two ends of a connection in memory. Unlike net.Pipe it has a
// buffer, as a socket has, so that Write need not wait for Read. Its addresses
// are those of a client on another machine: 192.0.2.1:40000 and 192.0.2.2:110.
func Pipe() (client, server *Conn) {
	up, down := newStream(), newStream()
	a := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}
	b := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 110}
	return &Conn{in: down, out: up, local: a, remote: b}, &Conn{in: up, out: down, local: b, remote: a}
}

// Conn is one end of a Pipe.
type Conn struct {
	in, out       *stream
	local, remote net.Addr
}

// From makes the other end's address a, before the connection is used.
func (c *Conn) From(a net.Addr) { c.remote = a }

// Read waits for octets, the end, or the deadline.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write waits while the other end reads too little.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// LocalAddr is the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetReadDeadline wakes a Read that waits, too.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.setLimit(&c.in.readLimit, t) }

// SetWriteDeadline wakes a Write that waits, too.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.setLimit(&c.out.writeLimit, t) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// CloseWrite ends what this end sends.
func (c *Conn) CloseWrite() error {
	c.out.end(func(s *stream) { s.eof = true })
	return nil
}

// Close ends both directions. Octets under way to the other end still arrive.
func (c *Conn) Close() error {
	c.out.end(func(s *stream) { s.eof, s.writerGone = true, true })
	c.in.end(func(s *stream) { s.readerGone = true })
	return nil
}

// stream is one direction of a Pipe.
type stream struct {
	mu                    sync.Mutex
	change                *sync.Cond
	data                  []byte
	eof                   bool // nothing more comes
	writerGone            bool // closed, by the one who writes
	readerGone            bool
	readLimit, writeLimit limit
}

// limit is a deadline that wakes who waits.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) over() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

func newStream() *stream {
	s := &stream{}
	s.change = sync.NewCond(&s.mu)
	return s
}

func (s *stream) setLimit(l *limit, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.at = t
	switch {
	case t.IsZero() && l.timer != nil:
		l.timer.Stop()
	case t.IsZero():
	case l.timer == nil:
		l.timer = time.AfterFunc(time.Until(t), func() { s.end(func(*stream) {}) })
	default:
		l.timer.Reset(time.Until(t))
	}
	s.change.Broadcast()
	return nil
}

// end changes s and wakes who waits.
func (s *stream) end(change func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	for _, l := range []*limit{&s.readLimit, &s.writeLimit} {
		if l.timer != nil && (s.readerGone || s.writerGone) {
			l.timer.Stop()
		}
	}
	s.change.Broadcast()
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case s.readLimit.over():
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			if s.data = s.data[n:]; len(s.data) == 0 {
				s.data = nil
			}
			s.change.Broadcast()
			return n, nil
		case s.eof:
			return 0, io.EOF
		}
		s.change.Wait()
	}
}

func (s *stream) write(p []byte) (sent int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.writerGone || s.eof:
			return sent, net.ErrClosed
		case s.readerGone:
			return sent, io.ErrClosedPipe
		case s.writeLimit.over():
			return sent, os.ErrDeadlineExceeded
		}
		n := min(len(p)-sent, window-len(s.data))
		s.data = append(s.data, p[sent:sent+n]...)
		sent += n
		s.change.Broadcast()
		if sent == len(p) {
			return sent, nil
		}
		s.change.Wait()
	}
}

// Listener accepts connections that Dial makes.
type Listener struct {
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Listen returns a Listener in memory.
func Listen() *Listener {
	return &Listener{queue: make(chan net.Conn, 128), done: make(chan struct{})}
}

// Dial returns the client's end of a new connection to l.
func (l *Listener) Dial() (*Conn, error) {
	client, server := Pipe()
	if err := l.Give(server); err != nil {
		return nil, err
	}
	return client, nil
}

// Give lets l accept c.
func (l *Listener) Give(c net.Conn) error {
	select {
	case <-l.done:
		return net.ErrClosed
	default:
	}
	select {
	case <-l.done:
		return net.ErrClosed
	case l.queue <- c:
		return nil
	}
}

// Accept is that of net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	case c := <-l.queue:
		return c, nil
	}
}

// Close ends Accept.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is that of the server's end of a Pipe.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 110} }
