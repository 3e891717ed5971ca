package maildrop

import (
	"bytes"
	"io"
	"sync"
)

// octetsBuffer is what Octets reads at once.
const octetsBuffer = 64 << 10

var octetsBuffers = sync.Pool{New: func() any { return new([octetsBuffer]byte) }}

// Octets reads r until io.EOF and returns the Size of the message it gave: the
// octets a client holds after un-stuffing (RFC 1939 §11). Only LF ends a line.
// A bare LF goes out as CRLF and counts two, a lone CR is content, and a
// missing last line end counts two. An empty message has none. The error is
// one of r, with the size so far.
func Octets(r io.Reader) (int64, error) {
	buf := octetsBuffers.Get().(*[octetsBuffer]byte)
	defer octetsBuffers.Put(buf)
	var c octets
	for idle := 0; ; {
		n, err := r.Read(buf[:])
		c.add(buf[:n])
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case err == io.EOF:
			return c.end(), nil
		case err != nil:
			return c.size, err
		case idle == 100:
			return c.size, io.ErrNoProgress
		}
	}
}

// octets counts a message that comes in parts.
type octets struct {
	size     int64
	open, cr bool // the last octet was no LF; it was a CR
}

func (c *octets) add(p []byte) {
	if len(p) == 0 {
		return
	}
	c.size += int64(len(p) + bareLF(p, c.cr))
	last := p[len(p)-1]
	c.open, c.cr = last != '\n', last == '\r'
}

func (c *octets) end() int64 {
	if c.open {
		return c.size + 2
	}
	return c.size
}

// bareLF counts the LF in p that no CR precedes; cr says that the octet before
// p is one.
func bareLF(p []byte, cr bool) int {
	n := bytes.Count(p, []byte{'\n'})
	if n > 0 && cr && p[0] == '\n' {
		n--
	}
	if n == 0 || bytes.IndexByte(p, '\r') < 0 {
		return n
	}
	for i := 0; ; {
		j := bytes.IndexByte(p[i:], '\n')
		if j < 0 {
			return n
		}
		if i += j; i > 0 && p[i-1] == '\r' {
			n--
		}
		i++
	}
}
