package maildroptest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postwain/postwain/maildrop"
)

// What Size says is what comes out is what went in.
func checkOctets(r *run) {
	c := corpus()
	r.fill(alice, c...)
	r.expect(alice, c...)
	r.restart()
	r.expect(alice, c...)
}

func checkSmall(r *run) {
	c := small(3)
	r.fill(alice, c...)
	r.expect(alice, c...)
}

// A message that nobody should hold in memory.
func checkBig(r *run) {
	size := int64(8 << 20)
	if testing.Short() {
		size = 2 << 20
	}
	line := strings.Repeat("0123456789abcdef", 4) + "\r\n"
	size -= size % int64(len(line))
	content := func() io.Reader { return io.LimitReader(&endless{line: line}, size) }
	if err := r.Deliverer.Deliver(r.Context(), alice, maildrop.Incoming{}, content()); err != nil {
		r.Fatalf("Deliver of %d octets: %v", size, err)
	}
	b := r.open(alice)
	defer r.close(b)
	if list := b.Messages(); len(list) != 1 || list[0].Size != size {
		r.Fatalf("listed as %+v, want one message of %d octets", list, size)
	}
	rc, err := b.Get(r.Context(), 0, -1)
	if err != nil {
		r.Fatalf("Get: %v", err)
	}
	defer rc.Close()
	got, want := sha256.New(), sha256.New()
	n, err := io.Copy(got, &crlfReader{r: rc})
	io.Copy(want, content())
	if err != nil || n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		r.Errorf("the message came back with %d octets of %d, or changed: %v", n, size, err)
	}
}

// endless repeats a line.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.line[e.at:])
		n += c
		e.at = (e.at + c) % len(e.line)
	}
	return n, nil
}

// crlfReader turns the bare LF of a text without lone CR into CRLF, for a text
// too long for wire.
type crlfReader struct {
	r    io.Reader
	last byte
	rest []byte
	buf  [4096]byte
	err  error
}

func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		var n int
		n, c.err = c.r.Read(c.buf[:])
		for _, b := range c.buf[:n] {
			if b == '\n' && c.last != '\r' {
				c.rest = append(c.rest, '\r')
			}
			c.rest = append(c.rest, b)
			c.last = b
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// A part is a beginning of the whole, and enough of it.
func checkPartial(r *run) {
	contents := []string{
		"",
		"Subject: header only\n",
		"Subject: no line end",
		"Subject: no body\n\n",
		"\none\ntwo\nthree\n",
		"Subject: LF\n\none\ntwo\nthree\nfour\nfive",
		"Subject: CRLF\r\n\r\none\r\ntwo\r\n\r\nthree\r\n",
		"Subject: CR is content\n\r\r\nstill header\n\nbody\n",
		"Subject: long\n\n" + strings.Repeat("a line of the body\r\n", 10_000),
		"Subject: long header\n" + strings.Repeat("X-Line: of the header\n", 10_000) + "\nbody\nbody\n",
	}
	r.fill(alice, contents...)
	b := r.open(alice)
	defer r.close(b)
	for i := range contents {
		all := []byte(r.whole(b, i))
		for _, lines := range []int{0, 1, 2, 3, 1000, 1 << 30} {
			p, err := read(r.Context(), b, i, lines)
			if err != nil {
				r.Fatalf("Get(%d, %d): %v", i, lines, err)
			}
			part := wire(p)
			if !bytes.HasPrefix(all, part) && !bytes.HasPrefix(all, bytes.TrimSuffix(part, []byte("\r\n"))) {
				r.Errorf("Get(%d, %d) of %s is no beginning of it: %s", i, lines, brief(contents[i]), brief(string(part)))
			}
			if want := head(all, lines); len(part) < len(want) {
				r.Errorf("Get(%d, %d) of %s gives %d octets, fewer than %d", i, lines, brief(contents[i]), len(part), len(want))
			}
		}
	}
}

// Readers are independent of each other and may be given up.
func checkReaders(r *run) {
	contents := letters(1, 3)
	r.fill(alice, contents...)
	b := r.open(alice)
	first, err := b.Get(r.Context(), 0, -1)
	if err != nil {
		r.Fatalf("Get: %v", err)
	}
	var start [5]byte
	if _, err := io.ReadFull(first, start[:]); err != nil {
		r.Fatalf("reading: %v", err)
	}
	given, err := b.Get(r.Context(), 1, 0)
	if err != nil {
		r.Fatalf("Get while another reader is open: %v", err)
	}
	if err := given.Close(); err != nil {
		r.Errorf("closing a reader that was not read: %v", err)
	}
	r.holds(b, contents...)
	r.holds(b, contents...)
	rest, err := io.ReadAll(iotest.OneByteReader(first))
	if err != nil {
		r.Errorf("reading on: %v", err)
	}
	if got := wire(append(start[:], rest...)); string(got) != contents[0] {
		r.Errorf("read in pieces it is %s", brief(string(got)))
	}
	if err := first.Close(); err != nil {
		r.Errorf("closing a reader: %v", err)
	}
	r.close(b)
}

// What is no index of the Box is an error, not another message.
func checkRange(r *run) {
	r.fill(alice, letters(1, 2)...)
	b := r.open(alice)
	for _, i := range []int{-1, 2, 1 << 40} {
		if rc, err := b.Get(r.Context(), i, -1); err == nil {
			rc.Close()
			r.Errorf("Get(%d) of a Box of two messages gives one", i)
		}
	}
	err := b.Commit(r.Context(), []int{0, 2})
	if err == nil {
		r.Error("Commit of an index that does not exist succeeds")
	}
	r.close(b)
	r.expect(alice, letters(1, 2)...)
	empty := r.open(bob)
	if rc, err := empty.Get(r.Context(), 0, 0); err == nil {
		rc.Close()
		r.Error("Get(0) of an empty Box gives a message")
	}
	r.commit(empty)
}
