package pop3client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/postwain/postwain/pop3"
)

// Client is a connection to a server, for one goroutine at a time.
//
// Each method that talks to the server takes a context, which bounds all of
// it. A context that has ended before anything is sent changes nothing. If it
// ends later, the wait ends at once and so does the connection: the method
// returns the context's error, and every later one ErrBroken. The same goes for
// whatever breaks the connection. A refusal of the server does not.
type Client struct {
	opt  Options
	host string // the server's name for TLS; empty: unknown
	port string // that was dialled; empty: unknown

	wire *wire
	in   *bufio.Reader
	out  []byte // the command that is being made

	greeting string // as it came, for APOP
	tls      *tls.ConnectionState
	caps     pop3.Capabilities
	asked    bool // caps are those of the present state
	signedIn bool
	marked   bool // something is, as deleted
	lf       bool // the last status line ended in LF alone: so do messages

	body    *Body     // a message that is arriving, until its end dot
	pipe    *Pipeline // that has commands under way
	secrets secrets
	err     error // why the connection is broken
}

// New makes a Client of a connection, inside TLS if conn is a *tls.Conn, and
// waits for the greeting. It closes conn if there is none. conn should have a
// buffer, as a socket has.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	c := newClient(o)
	c.attach(conn)
	if o.TLS != nil {
		c.host = o.TLS.ServerName
	}
	var err error
	if t, ok := conn.(*tls.Conn); ok {
		err = c.handshake(ctx, t)
	}
	if err == nil {
		err = c.greet(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func newClient(o Options) *Client { return &Client{opt: o.withDefaults()} }

// attach makes conn the connection.
func (c *Client) attach(conn net.Conn) {
	least := c.opt.Limits.Rate * int(ratePeriod.Seconds())
	c.wire = &wire{raw: conn, conn: conn, timeout: c.opt.Timeout, least: least}
	c.in = bufio.NewReaderSize(c.wire, bufferSize)
}

// greet waits for the greeting.
func (c *Client) greet(ctx context.Context) error {
	if err := c.begin(ctx, stepGreeting); err != nil {
		return err
	}
	defer c.end()
	text, err := c.status(stepGreeting)
	c.greeting = string(text)
	return err
}

// Greeting is the text of the greeting, fit for logs and terminals.
func (c *Client) Greeting() string { return pop3.Printable(c.greeting, maxGreeting) }

const maxGreeting = 512

// begin begins a command: the connection is usable, ctx is watched, and
// nothing of an earlier reply is left.
func (c *Client) begin(ctx context.Context, s step) error {
	switch {
	case c.err != nil:
		return s.wrap(c.err)
	case c.pipe != nil:
		return s.wrap(ErrBusy)
	}
	if err := c.wire.watch(ctx); err != nil {
		return s.wrap(err)
	}
	if c.body != nil {
		if err := c.body.Close(); err != nil {
			return err
		}
		if err := c.wire.watch(ctx); err != nil { // the Body has ended it
			return s.wrap(err)
		}
	}
	// What nobody asked for is no answer to this command.
	if n := c.in.Buffered(); n > 0 {
		line, _ := c.in.Peek(min(n, maxShown))
		return c.fail(s, garbage("by sending unasked", c.show(line)))
	}
	c.wire.begin()
	return nil
}

// end ends what begin began, unless a message is arriving: that is part of
// the command.
func (c *Client) end() {
	if c.body == nil && c.pipe == nil {
		c.wire.release()
	}
}

// fail ends the connection because of err.
func (c *Client) fail(s step, err error) error {
	err = s.wrap(err)
	if c.err == nil {
		c.err = broken(err)
		c.body, c.pipe = nil, nil
		c.wire.release()
		c.wire.raw.Close()
	}
	return err
}

// simple sends a command whose answer is one line and returns its text, which
// is valid until the next read.
func (c *Client) simple(ctx context.Context, s step) ([]byte, error) {
	if err := c.begin(ctx, s); err != nil {
		return nil, err
	}
	defer c.end()
	if err := c.send(s); err != nil {
		return nil, err
	}
	return c.status(s)
}

// send sends the command that s is.
func (c *Client) send(s step) error {
	c.out = append(s.append(c.out[:0]), "\r\n"...)
	return c.flush(s, "")
}

// flush sends what is in c.out, and shows it to the trace, as shown if that is
// not empty.
func (c *Client) flush(s step, shown string) error {
	c.trace(shown)
	if _, err := c.wire.Write(c.out); err != nil {
		return c.fail(s, err)
	}
	return nil
}

// line reads a line, which is valid until the next read.
func (c *Client) line(s step) ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull || err == nil && len(line) > c.opt.Limits.Line {
		return nil, c.fail(s, fmt.Errorf("%w: a line of more than %d octets", ErrLimit, c.opt.Limits.Line))
	}
	if err != nil {
		return nil, c.fail(s, err)
	}
	line = line[:len(line)-1]
	c.lf = true
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line, c.lf = line[:n-1], false
	}
	c.traceReceived(line)
	return line, nil
}

// status reads a status line and returns the text of +OK. A refusal is a
// *pop3.Error.
func (c *Client) status(s step) ([]byte, error) {
	r, err := c.reply(s)
	switch {
	case err != nil:
		return nil, err
	case r.Sign == pop3.Challenge:
		return nil, c.fail(s, garbage("by answering", `"+"`))
	case r.Sign == pop3.Refused:
		return nil, s.wrap(c.refusal(r))
	}
	return r.Text, nil
}

// reply reads a status line.
func (c *Client) reply(s step) (pop3.Reply, error) {
	line, err := c.line(s)
	if err != nil {
		return pop3.Reply{}, err
	}
	r, err := pop3.ParseReply(line)
	if err != nil {
		return r, c.fail(s, garbage("by answering", c.show(line)))
	}
	return r, nil
}

// Noop does nothing, and so keeps a server from closing an idle connection.
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.simple(ctx, command(pop3.Noop))
	return err
}

// Dele marks message n, from 1, as deleted. It is gone when Quit succeeds.
func (c *Client) Dele(ctx context.Context, n int) error {
	if n < 1 {
		return numbered(pop3.Dele, n).wrap(ErrArgument)
	}
	_, err := c.simple(ctx, numbered(pop3.Dele, n))
	c.marked = c.marked || err == nil
	return err
}

// Rset takes all marks of Dele away.
func (c *Client) Rset(ctx context.Context) error {
	_, err := c.simple(ctx, command(pop3.Rset))
	return err
}

// Quit ends the session and, after a login, has the server remove what is
// marked. Nil means that it says it has; a *pop3.Error that it has removed some
// or none (RFC 1939 §6). After any other error nobody knows, unless nothing
// was sent. The connection is closed in each case. Where messages are marked,
// which takes time to remove, the answer may take ten times the timeout.
func (c *Client) Quit(ctx context.Context) error {
	err := c.quit(ctx, command(pop3.Quit))
	if c.err == nil {
		c.err = broken(errors.New("the session has ended"))
		c.wire.conn.Close()
	}
	return err
}

func (c *Client) quit(ctx context.Context, s step) error {
	if err := c.begin(ctx, s); err != nil {
		return err
	}
	defer c.end()
	if err := c.send(s); err != nil {
		return err
	}
	if c.marked {
		c.wire.allowed *= quitFactor
	}
	_, err := c.status(s)
	return err
}

// Close closes the connection without QUIT: the server removes nothing. It may
// be called more than once. To end a method that is running, end its context.
func (c *Client) Close() error {
	if c.err != nil {
		return nil
	}
	c.err = broken(errors.New("it was closed"))
	busy := c.body != nil || c.pipe != nil
	c.body, c.pipe = nil, nil
	c.wire.release()
	conn := c.wire.conn
	if busy {
		conn = c.wire.raw // TLS would wait for a server that does not read
	}
	if err := conn.Close(); err != nil {
		return stepClose.wrap(err)
	}
	return nil
}
