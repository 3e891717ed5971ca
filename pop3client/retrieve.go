package pop3client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postwain/postwain/pop3"
)

// Retr asks for message n, from 1. The error is a *pop3.Error if the server
// refuses. ctx is also that of the Body.
func (c *Client) Retr(ctx context.Context, n int) (*Body, error) {
	s := numbered(pop3.Retr, n)
	if n < 1 {
		return nil, s.wrap(ErrArgument)
	}
	return c.message(ctx, s)
}

// Top asks for the header and the first lines lines of the body of message n.
// Servers take lines with a grain of salt. The rest is as for Retr.
func (c *Client) Top(ctx context.Context, n, lines int) (*Body, error) {
	s := paired(pop3.Top, n, lines)
	if n < 1 || lines < 0 {
		return nil, s.wrap(ErrArgument)
	}
	return c.message(ctx, s)
}

func (c *Client) message(ctx context.Context, s step) (*Body, error) {
	if err := c.begin(ctx, s); err != nil {
		return nil, err
	}
	defer c.end()
	if err := c.send(s); err != nil {
		return nil, err
	}
	if _, err := c.status(s); err != nil {
		return nil, err
	}
	return c.open(s), nil
}

// open returns the message that comes next.
func (c *Client) open(s step) *Body {
	c.wire.flow()
	c.body = &Body{c: c, step: s, at: lineStart, lf: c.lf}
	return c.body
}

// Body is a message that is arriving. It streams: nothing of it is held but
// what fits into the connection's one buffer of 64 KiB, whatever the lines.
//
// The octets are those that the server sends, without the dots that it adds to
// lines that begin with one. Lines end in CRLF and the message in CRLF, dot,
// CRLF; anything else is content. A dot in front of a line is removed only if
// another one follows, so that nothing is lost where a server fails to add them.
// If a server ends its status lines in LF alone, so do its messages.
type Body struct {
	c      *Client
	step   step
	at     place
	lf     bool
	octets int64
	gaps   bool // octets were swallowed: what follows is not the rest
	err    error
}

var errGaps = errors.New("a part of the message has been swallowed")

// place is what the octets before the next one were.
type place uint8

const (
	lineStart place = iota // nothing, or a line end
	inLine                 // anything else
	afterCR                // a CR
)

// Read gives the next octets. It returns io.EOF only when the end dot has been
// read, and an error that wraps io.ErrUnexpectedEOF if the connection ends
// before. After any error but io.EOF the connection is broken.
func (b *Body) Read(p []byte) (int, error) {
	switch {
	case b.gaps:
		return 0, b.step.wrap(errGaps)
	case len(p) == 0:
		return 0, nil
	}
	run, err := b.next(len(p))
	if err != nil {
		return 0, err
	}
	n := copy(p, run)
	b.c.in.Discard(n)
	return n, nil
}

// WriteTo writes the rest of the message to w, without a copy in between. Its
// error is that of w, or nil after the end dot, or one of Read.
func (b *Body) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if b.gaps {
			return total, b.step.wrap(errGaps)
		}
		run, err := b.next(bufferSize)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(run)
		b.c.in.Discard(len(run))
		total += int64(n)
		if err == nil && n < len(run) {
			err = io.ErrShortWrite
		}
		if err != nil {
			b.gaps = true
			return total, err
		}
	}
}

// Close swallows the rest of the message, after which the connection can be
// used for the next command; so does the next command itself. What was swallowed
// cannot be read: Read fails then. To give a long message up, close the Client.
// The error is that of the connection.
func (b *Body) Close() error {
	if b.err == nil {
		b.gaps = true
	}
	for {
		run, err := b.next(bufferSize)
		switch err {
		case nil:
			b.c.in.Discard(len(run))
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// next gives the next octets of the message, at most most, which the caller
// must then discard from the buffer.
func (b *Body) next(most int) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.c.body != b {
		return nil, b.end(b.step.wrap(b.c.err))
	}
	in, err := b.peek()
	if err != nil {
		return nil, err
	}
	run := in[:min(len(in), most)]
	run = run[:b.plain(run)]
	b.octets += int64(len(run))
	if limit := b.c.opt.Limits.Message; limit > 0 && b.octets > limit {
		return nil, b.end(b.c.fail(b.step, fmt.Errorf("%w: a message of more than %d octets", ErrLimit, limit)))
	}
	return run, nil
}

// peek waits for octets and removes the dot in front of them that is none of
// theirs. At the end dot it returns io.EOF.
func (b *Body) peek() ([]byte, error) {
	br := b.c.in
	if _, err := br.Peek(1); err != nil {
		return nil, b.end(b.c.fail(b.step, err))
	}
	in, _ := br.Peek(br.Buffered())
	if b.at != lineStart || in[0] != '.' {
		return in, nil
	}
	// At least an end of line follows.
	for n := 2; n <= 3; n++ {
		in, err := br.Peek(n)
		if err != nil {
			return nil, b.end(b.c.fail(b.step, err))
		}
		switch {
		case n == 2 && in[1] == '.':
			br.Discard(1)
		case n == 2 && in[1] == '\n' && b.lf, n == 3 && in[2] == '\n':
			br.Discard(n)
			return nil, b.end(io.EOF)
		case n == 2 && in[1] == '\r':
			continue
		}
		break
	}
	b.at = inLine
	in, _ = br.Peek(br.Buffered())
	return in, nil
}

// plain returns how many octets of in come before the next dot that begins a
// line; the first of in is none.
func (b *Body) plain(in []byte) int {
	at := func(i int) place { // behind in[:i]
		switch before := in[i-1]; {
		case before == '\n' && (b.lf || i == 1 && b.at == afterCR || i > 1 && in[i-2] == '\r'):
			return lineStart
		case before == '\r':
			return afterCR
		}
		return inLine
	}
	for i := 0; ; {
		j := bytes.Index(in[i:], lineDot)
		if j < 0 {
			b.at = at(len(in))
			return len(in)
		}
		if i += j + 1; at(i) == lineStart {
			b.at = lineStart
			return i
		}
	}
}

// lineDot is read only.
var lineDot = []byte("\n.")

// end keeps err as what Read returns from now on. The connection is free for
// the next command.
func (b *Body) end(err error) error {
	b.err = err
	if b.c.body == b {
		b.c.body = nil
		b.c.end()
	}
	return err
}
