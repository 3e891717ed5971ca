package pop3client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
)

// Open gives the mailbox of a Client that has signed in as a
// [maildrop.Box], which takes the Client over: Close of the Box ends it. It
// needs UIDL. Sizes are hints, and UIDs are what the server says, be they empty,
// equal or longer than they may.
//
// Get asks by RETR, or for a part by TOP if the server announces it. One message
// can arrive at a time: a reader that is read on after another Get asks again and
// skips what it has had.
//
// Commit marks the messages by DELE and sends QUIT. If one is refused, none is
// removed. A *pop3.Error to QUIT means that some were removed and some not; an
// answer to it that is lost is maildrop.ErrUnknownOutcome.
func Open(ctx context.Context, c *Client) (maildrop.Box, error) {
	if _, err := c.Capabilities(ctx); err != nil {
		return nil, err
	}
	listed, err := c.UIDL(ctx)
	if err != nil {
		return nil, err
	}
	sized, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	b := &box{c: c, numbers: make([]int, 0, len(listed)), list: make([]maildrop.Message, 0, len(listed))}
	for _, l := range listed { // both ascend
		for len(sized) > 0 && sized[0].Number < l.Number {
			sized = sized[1:]
		}
		m := maildrop.Message{UID: l.UID}
		if len(sized) > 0 && sized[0].Number == l.Number {
			m.Size = sized[0].Size
		}
		b.numbers = append(b.numbers, l.Number)
		b.list = append(b.list, m)
	}
	return b, nil
}

// box is a remote mailbox.
type box struct {
	c       *Client
	numbers []int // of the messages, on the wire
	list    []maildrop.Message
	reader  *boxReader // whose message is arriving; nil: none
	ended   bool
}

var errBoxEnded = errors.New("pop3client: the Box has ended")

func (b *box) Messages() []maildrop.Message { return b.list }

func (b *box) Get(ctx context.Context, i, lines int) (io.ReadCloser, error) {
	switch {
	case b.ended:
		return nil, errBoxEnded
	case i < 0 || i >= len(b.list):
		return nil, errors.New("pop3client: no such message in this Box")
	case !b.c.announced(pop3.CapTop):
		lines = -1
	}
	r := &boxReader{ctx: ctx, box: b, number: b.numbers[i], lines: lines}
	if err := r.ask(); err != nil {
		return nil, err
	}
	return r, nil
}

// Commit leaves the connection without marks, or closed.
func (b *box) Commit(ctx context.Context, deleted []int) error {
	if b.ended {
		return errBoxEnded
	}
	b.ended = true
	for _, i := range deleted {
		if i < 0 || i >= len(b.list) {
			return errors.New("pop3client: no such message in this Box")
		}
	}
	if err := ctx.Err(); err != nil {
		return command(pop3.Quit).wrap(err)
	}
	err := b.mark(ctx, deleted)
	if err != nil {
		if b.c.Rset(ctx) != nil {
			b.c.Close() // without QUIT the server removes nothing
		}
		return err
	}
	if err := ctx.Err(); err != nil {
		b.c.Close()
		return command(pop3.Quit).wrap(err)
	}
	err = b.c.Quit(ctx)
	if refused := (*pop3.Error)(nil); err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("%w: %w", maildrop.ErrUnknownOutcome, err)
	}
	return err
}

// mark marks messages as deleted.
func (b *box) mark(ctx context.Context, deleted []int) error {
	p := b.c.Pipeline(Window{})
	for _, i := range slices.Sorted(slices.Values(deleted)) {
		p.Dele(b.numbers[i])
	}
	var refused error
	for {
		r, err := p.Next(ctx)
		switch {
		case err == io.EOF:
			return refused
		case err != nil:
			return err
		case r.Err != nil && refused == nil:
			refused = r.Err
		}
	}
}

// Close leaves by QUIT, so that the server gives the mailbox up at once.
func (b *box) Close() error {
	b.ended = true
	if b.c.err == nil && b.c.body == nil && b.c.pipe == nil {
		b.c.Quit(context.Background()) // nothing is marked: its answer tells nothing
	}
	return b.c.Close()
}

// boxReader reads one message.
type boxReader struct {
	ctx           context.Context
	box           *box
	number, lines int
	had           int64
	body          *Body // nil: another reader has the connection
	err           error
}

var errReaderClosed = errors.New("pop3client: read after Close")

// ask asks for the message, and goes to where it was read to.
func (r *boxReader) ask() (err error) {
	if other := r.box.reader; other != nil {
		other.body = nil
	}
	r.box.reader = nil
	if r.lines < 0 {
		r.body, err = r.box.c.Retr(r.ctx, r.number)
	} else {
		r.body, err = r.box.c.Top(r.ctx, r.number, r.lines)
	}
	if err != nil {
		return err
	}
	r.box.reader = r
	if _, err = io.CopyN(io.Discard, r.body, r.had); err == io.EOF {
		err = r.body.step.wrap(fmt.Errorf("%w by giving less of a message than before", ErrProtocol))
	}
	return err
}

func (r *boxReader) Read(p []byte) (n int, err error) {
	if r.err == nil && r.body == nil {
		r.err = r.ask()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, r.err = r.body.Read(p)
	r.had += int64(n)
	if r.err != nil {
		r.box.reader = nil
	}
	return n, r.err
}

// Close swallows the rest, if it is on its way.
func (r *boxReader) Close() error {
	var err error
	if r.err == nil && r.body != nil {
		err = r.body.Close()
		r.box.reader = nil
	}
	r.err = errReaderClosed
	return err
}
