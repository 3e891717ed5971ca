package lmtp

import (
	"bytes"
	"errors"
	"io"
	"math"
	"time"

	"github.com/postwain/postwain/internal/dot"
)

// allowance is how many octets the client may send for a message of at most
// limit octets: enough to come to the end of one that is somewhat too big or
// full of dots, so that the connection can be used on.
func allowance(limit int64) int64 {
	if limit > math.MaxInt64/4 {
		return math.MaxInt64
	}
	return 2*limit + 1<<20
}

// data receives a message that ends with a dot (RFC 5321 §4.1.1.4).
func (c *session) data(arg string) reply {
	if r := c.refuseData(arg); r != "" {
		// DATA ends a group of commands (RFC 2920 §3.1). What a client sent
		// behind it without waiting is a message, and must not be obeyed.
		if c.in.Buffered() > 0 {
			c.close(errNonsense)
		}
		return r
	}
	c.reply(replyGo)
	sp := newSpool(c.opt, &c.srv.room)
	c.tx.spool = sp
	err := c.receive(dot.NewStrictReader(c.in), time.Now().Add(c.opt.DataTimeout))
	if errors.Is(err, dot.ErrBareLineEnd) {
		// Whoever sent this, or let it through, may see the end of the message
		// elsewhere. What comes behind it is not obeyed.
		sp.fail(errBare)
		c.close(errBare)
		err = nil
	}
	return c.conclude(err)
}

func (c *session) refuseData(arg string) reply {
	switch {
	case arg != "":
		return replySyntax
	case !c.tx.open || c.tx.spool != nil: // RFC 3030 §2: not after BDAT
		return replySequence
	case len(c.tx.rcpts) == 0: // RFC 2033 §4.2
		return replyNoRcpt
	}
	return ""
}

// bdat receives a chunk of a message (RFC 3030 §2). Bare CRs and LFs are
// refused here too, since BINARYMIME is not offered.
func (c *session) bdat(arg string) reply {
	size, last, ok := parseChunk(arg)
	switch {
	case !ok: // where the chunk ends is not known
		c.close(errNonsense)
		return replySyntax
	case size > allowance(c.opt.MaxMessage):
		c.close(errTooBig)
		return replyTooBig
	case !c.tx.open:
		return c.skip(size, replySequence)
	case len(c.tx.rcpts) == 0:
		return c.skip(size, replyNoRcpt)
	}
	if c.tx.spool == nil {
		c.tx.spool = newSpool(c.opt, &c.srv.room)
		c.tx.until = time.Now().Add(c.opt.DataTimeout)
	}
	sp := c.tx.spool
	err := c.receive(&chunk{r: c.in, left: size, ends: &c.tx.ends}, c.tx.until)
	if c.tx.ends.bare || last && c.tx.ends.cr {
		sp.fail(errBare)
	}
	if err != nil || last {
		return c.conclude(err)
	}
	if r := sp.verdict(); r != "" {
		return r
	}
	return replyChunk
}

// parseChunk reads "size" or "size LAST".
func parseChunk(arg string) (size int64, last, ok bool) {
	for i := range len(arg) {
		if arg[i] == ' ' {
			last = equalASCII(arg[i+1:], "LAST")
			size, ok = parseSize(arg[:i])
			return size, last, ok && last
		}
	}
	size, ok = parseSize(arg)
	return size, false, ok
}

// skip reads a chunk that nobody wants.
func (c *session) skip(size int64, r reply) reply {
	if err := c.wire.conn.SetReadDeadline(time.Now().Add(c.opt.DataTimeout)); err != nil {
		c.hangUp(err)
		return ""
	}
	if _, err := io.CopyN(io.Discard, c.in, size); err != nil {
		c.hangUp(err)
		return ""
	}
	return r
}

// receive reads a message or a chunk into the spool.
func (c *session) receive(r io.Reader, until time.Time) error {
	if err := c.wire.conn.SetReadDeadline(until); err != nil {
		return err
	}
	c.wire.left = allowance(c.opt.MaxMessage)
	err := c.tx.spool.fill(c.srv.ctx, r)
	c.wire.left = math.MaxInt64
	return err
}

// conclude ends the transaction: err is what stopped the reading, nil if the
// end of the message came.
func (c *session) conclude(err error) reply {
	defer c.reset()
	sp := c.tx.spool
	switch {
	case errors.Is(err, errAllowance):
		sp.fail(errTooBig)
		c.close(err)
	case err != nil:
		c.hangUp(err)
		return ""
	}
	sp.seal(c.srv.ctx)
	c.end.Messages++
	c.end.Octets += sp.size
	bad := sp.verdict()
	if bad == "" {
		c.deliver()
	}
	for _, rc := range c.tx.rcpts { // RFC 2033 §4.2: one reply each, in their order
		t := &c.tx.targets[rc.target]
		r, why := bad, sp.err
		if bad == "" {
			r, why = deliveryReply(t.err, c.tx.id), t.err
		}
		if why == nil {
			c.end.Recipients++
		}
		c.reply(r)
		c.report(rc.address, t.account, sp.size, r, why)
	}
	return ""
}

// chunk reads left octets of r, no fewer, and looks at their line ends.
type chunk struct {
	r    io.Reader
	left int64
	ends *lineEnds
}

func (k *chunk) Read(p []byte) (int, error) {
	if k.left == 0 {
		return 0, io.EOF
	}
	n, err := k.r.Read(p[:min(int64(len(p)), k.left)])
	k.left -= int64(n)
	k.ends.look(p[:n])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// lineEnds looks for bare CRs and LFs in a message that comes in parts.
type lineEnds struct {
	cr   bool // the last octet was a CR
	bare bool
}

func (e *lineEnds) look(p []byte) {
	if e.bare || len(p) == 0 {
		return
	}
	if e.cr != (p[0] == '\n') {
		e.bare = true
		return
	}
	crs, lfs := bytes.Count(p, []byte{'\r'}), bytes.Count(p, []byte{'\n'})
	pairs := bytes.Count(p, []byte("\r\n"))
	if p[0] == '\n' {
		lfs--
	}
	e.cr = p[len(p)-1] == '\r'
	if e.cr {
		crs--
	}
	e.bare = crs != pairs || lfs != pairs
}
