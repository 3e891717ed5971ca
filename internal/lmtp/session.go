package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// readSize is the input buffer of a connection.
	readSize = 32 << 10
	// writeSize gathers the replies of one group (RFC 2920 §3.2).
	writeSize = 4 << 10
	// maxLine is the longest command with its CRLF. The extensions offered
	// add less than 100 octets to the 512 of RFC 5321 §4.5.3.1.4, and a
	// mailbox may be 256 longer than there.
	maxLine = 2 << 10
	// maxFaults is how many commands may be nonsense.
	maxFaults = 10
)

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readSize) }}

// Why a session ended, beside errors of the connection.
var (
	errDraining = errors.New("lmtp: server shuts down")
	errNonsense = errors.New("lmtp: client does not speak the protocol")
)

// session is one connection. All of it belongs to the goroutine of serve,
// except what mu guards.
type session struct {
	srv   *Server
	opt   *Options
	wire  wire
	in    *bufio.Reader
	begun time.Time

	client string // name given by LHLO
	tx     transaction
	faults int // commands that were nonsense
	end    End
	done   bool
	linger bool // hear the client out before hanging up

	mu       sync.Mutex
	waiting  bool // for a command, between messages
	draining bool
}

func newSession(srv *Server, opt *Options, conn net.Conn) *session {
	c := &session{srv: srv, opt: opt, begun: time.Now()}
	c.wire = wire{conn: conn, left: math.MaxInt64, timeout: opt.CommandTimeout}
	c.wire.out = bufio.NewWriterSize(writerFunc(c.wire.write), writeSize)
	return c
}

// serve runs the connection to its end.
func (c *session) serve() {
	c.in = readers.Get().(*bufio.Reader)
	c.in.Reset(&c.wire)
	defer c.srv.release(c)
	defer c.finish()
	c.greet()
	for !c.done {
		line, err := c.readLine()
		if err != nil {
			c.hangUp(err)
			break
		}
		c.reply(c.command(line))
	}
	if err := c.wire.out.Flush(); err == nil && c.linger {
		c.wire.hearOut()
	}
}

// finish gives back what the session holds, after a panic too.
func (c *session) finish() {
	if p := recover(); p != nil {
		c.end.Err = fmt.Errorf("lmtp: panic: %v\n%s", p, debug.Stack())
	}
	c.reset()
	c.wire.conn.Close()
	c.in.Reset(nil)
	readers.Put(c.in)
	if f := c.opt.Trace.Session; f != nil {
		c.end.Peer = c.wire.conn.RemoteAddr()
		c.end.Duration = time.Since(c.begun)
		f(c.end)
	}
}

func (c *session) greet() {
	out := c.wire.out
	out.WriteString("220 ")
	out.WriteString(c.opt.Hostname)
	out.WriteString(" LMTP ready\r\n")
}

// reply puts r into the group of replies that goes out before the session
// next waits for input.
func (c *session) reply(r reply) { c.wire.out.WriteString(string(r)) }

// close ends the session after the present replies. If the client is to
// blame, it may still be sending.
func (c *session) close(why error) {
	c.done = true
	c.end.Err = why
	c.linger = why != nil
}

// hangUp ends the session because reading failed.
func (c *session) hangUp(err error) {
	switch {
	case errors.Is(err, errDraining):
		c.reply(replyDrain)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.reply(replyIdle)
	}
	c.done = true
	c.end.Err = err
}

// readLine gives the next line with what ends it. What is longer than maxLine
// may come in part; then the session cannot go on.
func (c *session) readLine() ([]byte, error) {
	if err := c.await(); err != nil {
		return nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if c.stopWaiting() && errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errDraining
	}
	if err == io.EOF && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err == bufio.ErrBufferFull {
		err = nil
	}
	return line, err
}

// await sets the deadline for one command and says that drain may end it.
func (c *session) await() error {
	buffered, _ := c.in.Peek(c.in.Buffered())
	whole := bytes.IndexByte(buffered, '\n') >= 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = !c.tx.open
	if c.draining && c.waiting {
		return errDraining
	}
	if whole {
		return nil
	}
	return c.wire.conn.SetReadDeadline(time.Now().Add(c.opt.CommandTimeout))
}

// stopWaiting reports whether the session was draining meanwhile.
func (c *session) stopWaiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.waiting && c.draining
	c.waiting = false
	return was
}

// drain makes the session end as soon as it has no message. Any goroutine may
// call it.
func (c *session) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.waiting {
		c.wire.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// command answers one line. An empty reply means that the command has
// answered.
func (c *session) command(line []byte) reply {
	verb, arg, bad := parseLine(line)
	if bad == replyBareLine || bad == replyLong && line[len(line)-1] != '\n' {
		// The next octets cannot be trusted to be a command.
		c.close(errNonsense)
		return bad
	}
	r := bad
	if r == "" {
		r = c.dispatch(verb, arg)
	}
	if r != "" && (r.code() == 500 || r.code() == 501) {
		if c.faults++; c.faults >= maxFaults && !c.done {
			c.close(errNonsense)
			return r + replyErrors
		}
	}
	return r
}

// parseLine takes a line apart: a verb of four letters, put into capitals,
// and what follows the space behind it.
func parseLine(line []byte) (verb [4]byte, arg string, bad reply) {
	n := len(line)
	switch {
	case n > maxLine:
		return verb, "", replyLong
	case n < 2 || line[n-1] != '\n' || line[n-2] != '\r':
		return verb, "", replyBareLine
	}
	line = line[:n-2]
	for _, b := range line {
		if b < ' ' || b == 0x7F {
			return verb, "", replyControl
		}
	}
	word := line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		word, arg = line[:i], string(line[i+1:])
	}
	if len(word) != len(verb) {
		return [4]byte{}, "", replyUnknown
	}
	for i, b := range word {
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		verb[i] = b
	}
	return verb, arg, ""
}

func (c *session) dispatch(verb [4]byte, arg string) reply {
	switch string(verb[:]) {
	case "LHLO":
		return c.lhlo(arg)
	case "MAIL":
		return c.mail(arg)
	case "RCPT":
		return c.rcpt(arg)
	case "DATA":
		return c.data(arg)
	case "BDAT":
		return c.bdat(arg)
	case "RSET":
		if arg != "" {
			return replySyntax
		}
		c.reset()
		return replyOK
	case "NOOP":
		return replyOK
	case "QUIT":
		if arg != "" {
			return replySyntax
		}
		c.close(nil)
		return replyBye
	case "VRFY":
		return replyVerify
	case "HELP":
		return replyHelp
	case "HELO", "EHLO": // RFC 2033 §4.1
		return replyNotLMTP
	case "EXPN", "AUTH", "ETRN", "TURN":
		return replyNotHere
	}
	return replyUnknown
}

// backend gives the context of one Resolve, or of the deliveries of a message.
func (c *session) backend() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.srv.ctx, c.opt.BackendTimeout)
}
