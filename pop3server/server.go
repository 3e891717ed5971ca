// Package pop3server serves maildrops by POP3.
//
// A [Server] takes connections and speaks the protocol; a [Backend] says who
// may sign in and gives the maildrop. [New] makes one of an account source and
// a store, which is all that most programs need.
//
// There is one file for each state of the protocol. A state is a function that
// takes what it needs and gives what the next one needs: authorization gives a
// maildrop.Box, transaction takes it and gives the messages to be removed,
// update removes them. Only the QUIT of TRANSACTION leads to update.
package pop3server

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrServerClosed is what Serve and ServeConn return after Shutdown or Close.
var ErrServerClosed = errors.New("pop3server: server closed")

const maxBackOff = time.Second // between attempts to accept

// Server serves maildrops by POP3. Its methods may be called at the same time.
type Server struct {
	options    atomic.Pointer[Options]
	handshakes turns
	began      time.Time
	draining   atomic.Bool
	ctx        context.Context // ends at Close; of connections that Serve accepts
	cancel     context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	empty     chan struct{} // made by Shutdown, closed when conns is empty
}

// NewServer returns a Server.
func NewServer(o Options) *Server {
	s := &Server{
		handshakes: newTurns(),
		began:      time.Now().Add(-time.Second),
		listeners:  make(map[net.Listener]struct{}),
		conns:      make(map[*conn]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.options.Store(o.withDefaults())
	return s
}

// Reconfigure gives new connections other Options. Connections that are there
// keep theirs. A nil Sessions stands for the table that the Server has.
func (s *Server) Reconfigure(o Options) {
	if o.Sessions == nil {
		o.Sessions = s.options.Load().Sessions
	}
	s.options.Store(o.withDefaults())
}

// Serve accepts connections on l until it fails or the server is closed, and
// closes l. It returns ErrServerClosed after Shutdown and Close, and otherwise
// the error of l. Errors of the system, as the want of file descriptors, are waited
// for, unless they say that there is no listener any more.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.listen(l) {
		return ErrServerClosed
	}
	defer s.unlisten(l)
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			if n := s.track(c, Peer{}); n != nil {
				go n.serve(s.ctx)
			}
		case s.draining.Load():
			return ErrServerClosed
		case !passing(err):
			return err
		default:
			wait = min(max(2*wait, 5*time.Millisecond), maxBackOff)
			select {
			case <-time.After(wait):
			case <-s.ctx.Done():
				return ErrServerClosed
			}
		}
	}
}

// passing reports whether Accept may work again after err: it is the system's,
// which tells in this way of a network or a firewall that has ended a connection
// before it was accepted as well, and does not mean that there is no listener.
func passing(err error) bool {
	var e syscall.Errno
	return errors.As(err, &e) && e != syscall.EBADF && e != syscall.EINVAL && e != syscall.ENOTSOCK
}

// ServeConn serves one connection, with what the caller knows of its peer, and
// returns when it has ended. What p does not say is asked of c. ctx is for the
// Backend's work. It returns ErrServerClosed if the server was closed before.
func (s *Server) ServeConn(ctx context.Context, c net.Conn, p Peer) error {
	n := s.track(c, p)
	if n == nil {
		return ErrServerClosed
	}
	n.serve(ctx)
	return nil
}

// track makes a connection known before anything runs in it, so that Close
// cannot miss it. It returns nil if the server is closed, and closes c.
func (s *Server) track(c net.Conn, p Peer) *conn {
	o := s.options.Load()
	n := &conn{srv: s, opt: o, wire: &wire{Conn: c, stall: o.WriteTimeout}, began: time.Now()}
	n.net, n.sum.Peer = n.wire, p
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		c.Close()
		return nil
	}
	s.conns[n] = struct{}{}
	return n
}

// forget is the last that a connection does.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) unlisten(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// Shutdown closes the listeners, ends the connections that wait for a command
// by -ERR [SYS/TEMP], lets the others finish theirs, a commit included, and
// returns when all are gone. If ctx ends first it closes the rest and returns
// the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	for c := range s.conns {
		c.end(goingDown, 0)
	}
	var empty chan struct{}
	if len(s.conns) > 0 {
		if s.empty == nil {
			s.empty = make(chan struct{})
		}
		empty = s.empty
	}
	s.mu.Unlock()
	if empty != nil {
		select {
		case <-empty:
		case <-ctx.Done():
			s.Close()
			return ctx.Err()
		}
	}
	s.cancel()
	return nil
}

// Close closes the listeners and all connections at once. Commits that have
// begun go on. It returns nil.
func (s *Server) Close() error {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.wire.Close()
	}
	s.cancel()
	return nil
}

// stop lets nothing new in.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	for l := range s.listeners {
		l.Close()
	}
}

// Connections is the number of connections, logged in or not.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
