package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/sasl"
)

const (
	writeBuffer = 32 << 10
	// maxCommand is the longest command with an initial response (RFC 4954
	// §4); a longer response is sent when the server asks for it.
	maxCommand = 512
	// maxSteps bounds an exchange of a SASL mechanism.
	maxSteps = 16
	// quitTime is how long the end of a session may take.
	quitTime = 2 * time.Second
)

// conn is a session with a server that has greeted and is inside TLS and signed
// in as far as the options say.
type conn struct {
	o     *Options
	greet string
	net   net.Conn
	in    *bufio.Reader
	out   *bufio.Writer

	offers  []string // the lines of the reply to the greeting
	used    bool     // messages have gone through it
	midMail bool     // a transaction is open, or may be
	midData bool     // a message has begun and not ended
}

// Write bounds each write of the buffer.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return 0, err
	}
	return c.net.Write(p)
}

// connect opens a session.
func connect(ctx context.Context, o *Options, greet string) (*conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, o.Timeout)
	nc, err := o.Dialer.DialContext(dialCtx, o.Network, o.Address)
	cancel()
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &conn{o: o, greet: greet}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	if err := c.open(ctx, nc); err != nil {
		nc.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	if !stop() {
		nc.Close()
		return nil, ctx.Err()
	}
	return c, nil
}

func (c *conn) open(ctx context.Context, nc net.Conn) error {
	c.use(nc)
	if c.o.Security == TLS {
		if err := c.startTLS(ctx); err != nil {
			return err
		}
	}
	r, err := c.reply(c.o.Timeout)
	if err == nil && r.code != 220 {
		err = &refusal{step: "greeting", reply: r}
	}
	if err != nil {
		return step("greeting", err)
	}
	if err := c.hello(); err != nil {
		return err
	}
	if c.o.Security == STARTTLS {
		if err := c.upgrade(ctx); err != nil {
			return err
		}
	}
	if c.o.Auth != nil {
		return c.signIn()
	}
	return nil
}

// use goes on over nc.
func (c *conn) use(nc net.Conn) {
	c.net = nc
	c.in = bufio.NewReaderSize(nc, maxLine)
	c.out = bufio.NewWriterSize(c, writeBuffer)
}

func (c *conn) hello() error {
	r, err := c.command(c.greet, c.greet+" "+c.o.Hello, 250)
	if err == nil {
		c.offers = r.lines[1:]
	}
	return err
}

// upgrade begins TLS by STARTTLS. What a server sent ahead of it is refused: it
// may be somebody else's (CVE-2011-0411).
func (c *conn) upgrade(ctx context.Context) error {
	if _, ok := c.offer("STARTTLS"); !ok {
		return errors.New("server offers no STARTTLS; nothing was sent in clear text")
	}
	if _, err := c.command("STARTTLS", "STARTTLS", 220); err != nil {
		return err
	}
	if c.in.Buffered() > 0 {
		return fmt.Errorf("STARTTLS: %w: data before TLS began", errProtocol)
	}
	if err := c.startTLS(ctx); err != nil {
		return err
	}
	return c.hello()
}

func (c *conn) startTLS(ctx context.Context) error {
	config := new(tls.Config)
	if c.o.TLS != nil {
		config = c.o.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(c.o.Address)
		if err != nil {
			host = c.o.Address
		}
		config.ServerName = host
	}
	secure := tls.Client(c.net, config)
	if err := c.net.SetDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return step("TLS handshake", err)
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		return step("TLS handshake", err)
	}
	c.use(secure)
	return nil
}

// offer gives the parameters of an extension, and whether the server has it.
func (c *conn) offer(keyword string) (parameters string, ok bool) {
	for _, line := range c.offers {
		word, rest, _ := strings.Cut(line, " ")
		if equalASCII(word, keyword) {
			return rest, true
		}
	}
	return "", false
}

// signIn runs the exchange of a mechanism (RFC 4954 §4).
func (c *conn) signIn() error {
	list, _ := c.offer("AUTH")
	var channel *tls.ConnectionState
	if secure, ok := c.net.(*tls.Conn); ok {
		state := secure.ConnectionState()
		channel = &state
	}
	m, err := c.o.Auth(strings.Fields(list), channel)
	if err != nil {
		return step("AUTH", err)
	}
	initial, has, err := m.Start()
	if err != nil {
		return step("AUTH", err)
	}
	name := "AUTH " + m.Name()
	line := name
	if coded := encode(initial); has && len(name)+len(coded)+3 <= maxCommand {
		line += " " + coded
		has = false
	}
	for range maxSteps {
		r, err := c.exchange(line)
		if err != nil {
			return step(name, err)
		}
		switch {
		case r.code == 235:
			return step(name, m.Done())
		case r.class() == 5:
			return fmt.Errorf("%w: %w", &refusal{name, r, true}, sasl.ErrRefused)
		case r.code != 334:
			return &refusal{name, r, true}
		}
		response := initial
		if !has {
			response, err = answer(m, r)
		}
		has = false
		if err != nil {
			c.exchange("*")
			return step(name, err)
		}
		line = base64.StdEncoding.EncodeToString(response)
	}
	return fmt.Errorf("%s: %w: it does not end", name, errProtocol)
}

func answer(m sasl.Client, r reply) ([]byte, error) {
	challenge, err := base64.StdEncoding.DecodeString(r.lines[0])
	if err != nil || len(r.lines) != 1 {
		return nil, fmt.Errorf("%w: the challenge is not in base64", errProtocol)
	}
	return m.Next(challenge)
}

// encode gives an initial response as it stands on the line of AUTH.
func encode(initial []byte) string {
	if len(initial) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(initial)
}

// command sends a line and wants one of the codes as its answer.
func (c *conn) command(name, line string, want ...int) (reply, error) {
	r, err := c.exchange(line)
	if err != nil {
		return r, step(name, err)
	}
	if !slices.Contains(want, r.code) {
		return r, &refusal{step: name, reply: r}
	}
	return r, nil
}

func (c *conn) exchange(line string) (reply, error) {
	c.out.WriteString(line + "\r\n")
	if err := c.out.Flush(); err != nil {
		return reply{}, err
	}
	return c.reply(c.o.Timeout)
}

// reply reads the next reply, all of it within the time given.
func (c *conn) reply(within time.Duration) (reply, error) {
	if err := c.net.SetReadDeadline(time.Now().Add(within)); err != nil {
		return reply{}, err
	}
	return readReply(c.in)
}

// quit ends the session.
func (c *conn) quit() {
	if c.net.SetDeadline(time.Now().Add(quitTime)) == nil {
		c.net.Write([]byte("QUIT\r\n"))
		readReply(c.in)
	}
	c.net.Close()
}

// step says in which step an error was met.
func step(name string, err error) error {
	if r := (*refusal)(nil); err == nil || errors.As(err, &r) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}
