package pop3

import (
	"bytes"
	"errors"
	"io"
)

// Bounds of a line without its line end. RFC 2449 §4 lets a client send 255
// octets; tokens as passwords and in AUTH are longer.
const (
	MaxLine     = 2 << 10  // a command
	MaxAuthLine = 17 << 10 // AUTH, and a SASL response: 16 KiB behind the name of the mechanism
)

// smallBuffer is what a Reader holds while it waits.
const smallBuffer = 512

// Errors of a line. Neither is the end: the next read goes on behind the line
// after ErrBareLF, and after ErrLineTooLong returns the same error for ever.
var (
	ErrLineTooLong = errors.New("pop3: line too long")
	ErrBareLF      = errors.New("pop3: line does not end in CRLF")
)

// Reader reads lines that end in CRLF. It holds a small buffer, grows it for a
// long line up to the bound, and lets go of it after.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int // buf[start:end] is not yet read
	total      int64
	err        error
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Buffered is the number of octets that have arrived and are not yet read.
func (r *Reader) Buffered() int { return r.end - r.start }

// Octets is the number of octets that have arrived.
func (r *Reader) Octets() int64 { return r.total }

// Command reads a command line. AUTH may have MaxAuthLine octets, others
// MaxLine. Beside errors of the underlying reader it returns ErrLineTooLong,
// ErrBareLF and ErrSyntax; an end within a line is io.ErrUnexpectedEOF. The
// command is valid until the next read.
func (r *Reader) Command() (Command, error) {
	line, err := r.line(MaxLine, true)
	if err != nil {
		return Command{}, err
	}
	return ParseCommand(line)
}

// Line reads a line of at most limit octets and returns it without its line
// end. Errors are those of Command without ErrSyntax. The line is valid until
// the next read.
func (r *Reader) Line(limit int) ([]byte, error) { return r.line(limit, false) }

func (r *Reader) line(limit int, command bool) ([]byte, error) {
	for seen := 0; ; {
		if r.err != nil {
			return nil, r.err
		}
		in := r.buf[r.start:r.end]
		if command && len(in) > 4 && in[4] == ' ' && EqualASCII(in[:4], "AUTH") {
			limit = MaxAuthLine
		}
		j := bytes.IndexByte(in[seen:], '\n')
		seen += j
		if j < 0 {
			seen = len(in)
		}
		if seen > limit+1 || j >= 0 && seen > limit && in[seen-1] != '\r' {
			r.err = ErrLineTooLong
			continue
		}
		if j < 0 {
			r.fill(limit)
			continue
		}
		r.start += seen + 1
		if seen == 0 || in[seen-1] != '\r' {
			return nil, ErrBareLF
		}
		return in[:seen-1], nil
	}
}

// fill waits for more input. What cannot be read now is an error of the next
// look at the buffer, which has all of the line.
func (r *Reader) fill(limit int) {
	have := r.end - r.start
	switch {
	case have == 0 && (r.buf == nil || len(r.buf) > smallBuffer):
		r.buf = make([]byte, smallBuffer)
		r.start, r.end = 0, 0
	case have == len(r.buf):
		grown := make([]byte, min(2*len(r.buf), limit+2))
		copy(grown, r.buf)
		r.buf = grown
	case r.start > 0:
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, have
	}
	n, err := r.r.Read(r.buf[r.end:])
	r.end += n
	r.total += int64(n)
	if n == 0 && err != nil {
		if err == io.EOF && have > 0 {
			err = io.ErrUnexpectedEOF
		}
		r.err = err
	}
}
