package lmtp

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("lmtp: server closed")

var errCrowded = errors.New("lmtp: too many connections")

// refuseTimeout is how long a connection that is turned away may take to
// accept the reason.
const refuseTimeout = time.Second

// Server answers LMTP connections. Make it with NewServer.
type Server struct {
	opt    atomic.Pointer[Options]
	room   room
	ctx    context.Context // of all backend calls; ends with Close
	cancel context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	closing   bool
	empty     chan struct{} // closed when closing and no session is left
}

// NewServer returns a Server that works as o says.
func NewServer(o Options) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		ctx:       ctx,
		cancel:    cancel,
		listeners: make(map[net.Listener]struct{}),
		sessions:  make(map[*session]struct{}),
		empty:     make(chan struct{}),
	}
	s.Reconfigure(o)
	return s
}

// Reconfigure puts o in place of the options. Connections take it up with
// their next message.
func (s *Server) Reconfigure(o Options) { s.opt.Store(o.filled()) }

// Serve accepts connections from l until it fails, and closes it. When files
// or memory run out, or the system has another trouble that passes, it waits and
// goes on. The error is never nil:
// ErrServerClosed after Shutdown or Close.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.addListener(l) {
		return ErrServerClosed
	}
	defer s.removeListener(l)
	var wait time.Duration
	for {
		conn, err := l.Accept()
		if err == nil {
			wait = 0
			if c := s.admit(conn); c != nil {
				go c.serve()
			}
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if !isPassing(err) {
			return err
		}
		if f := s.opt.Load().Trace.Accept; f != nil {
			f(err)
		}
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		s.pause(wait)
	}
}

// ServeConn answers one connection and returns when it has ended.
func (s *Server) ServeConn(conn net.Conn) {
	if c := s.admit(conn); c != nil {
		c.serve()
	}
}

// Shutdown closes the listeners, tells idle clients 421, lets every message
// that has been begun come to its end, and waits for that or for ctx, whose
// error it returns. Close may follow.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stop()
	for c := range s.sessions {
		c.drain()
	}
	s.mu.Unlock()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes listeners and connections and ends the contexts of deliveries
// that are under way. It does not wait.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	s.cancel()
	for c := range s.sessions {
		c.wire.conn.Close()
	}
	return nil
}

// stop ends accepting. The caller holds mu.
func (s *Server) stop() {
	if !s.closing {
		s.closing = true
		if len(s.sessions) == 0 {
			close(s.empty)
		}
	}
	for l := range s.listeners {
		l.Close()
	}
}

// admit makes a session that is on the list before its goroutine runs, so
// that none outlives Close unseen. It returns nil if conn is turned away.
func (s *Server) admit(conn net.Conn) *session {
	opt := s.opt.Load()
	s.mu.Lock()
	closing, crowded := s.closing, len(s.sessions) >= opt.MaxConnections
	if !closing && !crowded {
		c := newSession(s, opt, conn)
		s.sessions[c] = struct{}{}
		s.mu.Unlock()
		return c
	}
	s.mu.Unlock()
	why := replyDrain
	if !closing {
		why = replyCrowded
		if f := opt.Trace.Accept; f != nil {
			f(errCrowded)
		}
	}
	conn.SetDeadline(time.Now().Add(refuseTimeout))
	io.WriteString(conn, string(why))
	conn.Close()
	return nil
}

// release takes a session that has ended off the list.
func (s *Server) release(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
	if s.closing && len(s.sessions) == 0 {
		close(s.empty)
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// pause waits for d or for Close.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// isPassing says whether accepting may work again in a while: the error is the
// system's, which tells of connections that were lost before they were accepted
// as well, and does not mean that there is no listener.
func isPassing(err error) bool {
	var e syscall.Errno
	return errors.As(err, &e) && e != syscall.EBADF && e != syscall.EINVAL && e != syscall.ENOTSOCK
}
