// Package dot turns messages into the form in which mail protocols send them
// and back: lines that end in CRLF, a dot in front of each line that begins
// with one, and a line of one dot after the last (RFC 1939 §3, RFC 5321 §4.5.2).
//
// Stored messages may have any line ends. Going out, only LF ends a line: a
// bare LF becomes CRLF, a lone CR is content, and a missing last line end is
// added. Coming in, only CRLF ends a line, so that nothing else can end the
// message.
package dot

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// bufferSize is what [Writer.ReadFrom] reads at once, and what a Writer encodes
// into where the destination lends it no buffer.
const bufferSize = 32 << 10

// leastRoom is enough for [Writer] to get on: what it adds comes in ones and twos.
const leastRoom = 64

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

var errClosed = errors.New("dot: write after Close")

// What the octets before the next one were.
type place uint8

const (
	lineStart place = iota // nothing, or a line end
	inLine                 // anything else
	afterCR                // a CR
)

// Lender is a destination that lends a Writer the buffer that it has anyway.
type Lender interface {
	io.Writer
	// Room returns at least n free octets at the end of the buffer.
	Room(n int) ([]byte, error)
	// Fill makes the first n octets of what Room has returned a part of the
	// output.
	Fill(n int)
}

// Writer sends one message.
type Writer struct {
	w      io.Writer
	lender Lender // w, if it is one
	at     place
	n      int64
	err    error
}

// NewWriter returns a Writer for one message to w, which best is a [Lender].
func NewWriter(w io.Writer) *Writer {
	d := new(Writer)
	d.Reset(w)
	return d
}

// Reset makes d what NewWriter returns, for another message.
func (d *Writer) Reset(w io.Writer) {
	*d = Writer{w: w}
	d.lender, _ = w.(Lender)
}

// Octets is the number of octets written so far as the receiver will count
// them: with the line ends that were repaired, without the dots that were added.
func (d *Writer) Octets() int64 { return d.n }

// Write sends p, the next part of the message. After an error every further
// call returns it.
func (d *Writer) Write(p []byte) (int, error) {
	if d.lender == nil && d.err == nil && len(p) > 0 {
		buf := buffers.Get().(*[bufferSize]byte)
		defer buffers.Put(buf)
		for rest := p; len(rest) > 0 && d.err == nil; {
			n, used := d.encode(buf[:], rest)
			rest = rest[used:]
			_, d.err = d.w.Write(buf[:n])
		}
	}
	for rest := p; d.lender != nil && len(rest) > 0 && d.err == nil; {
		var room []byte
		if room, d.err = d.lender.Room(leastRoom); d.err == nil {
			n, used := d.encode(room, rest)
			rest = rest[used:]
			d.lender.Fill(n)
		}
	}
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// encode puts the sent form of src into dst until src is used up or dst is
// full, and says how much of each it was.
func (d *Writer) encode(dst, src []byte) (n, used int) {
	for used < len(src) {
		rest := src[used:]
		if d.at == lineStart && rest[0] == '.' {
			if n == len(dst) {
				break
			}
			dst[n] = '.'
			n++
			d.at = inLine
		}
		end := bytes.IndexByte(rest, '\n')
		line := rest[:max(end, 0)]
		if end < 0 {
			line = rest
		}
		took := copy(dst[n:], line)
		if took > 0 {
			n, used = n+took, used+took
			d.at = inLine
			if line[took-1] == '\r' {
				d.at = afterCR
			}
		}
		if took < len(line) || end < 0 || len(dst)-n < 2 {
			break
		}
		if d.at != afterCR {
			dst[n] = '\r'
			n++
			d.n++
		}
		dst[n] = '\n'
		n, used = n+1, used+1
		d.at = lineStart
	}
	d.n += int64(used)
	return n, used
}

// ReadFrom sends what r gives until io.EOF. An error of r is remembered like
// one of Write, so that Close cannot end a message that was cut short.
func (d *Writer) ReadFrom(r io.Reader) (int64, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	var total int64
	for empty := 0; d.err == nil; {
		n, err := r.Read(buf[:])
		total += int64(n)
		d.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if empty++; n > 0 {
			empty = 0
		}
		if err == nil && empty == 100 {
			err = io.ErrNoProgress
		}
		if err != nil && d.err == nil {
			d.err = err
		}
	}
	return total, d.err
}

// Close ends the message: it adds a missing last line end and sends the end
// dot. After an error it sends nothing and returns the error.
func (d *Writer) Close() error {
	if d.err != nil {
		return d.err
	}
	if d.at != lineStart {
		d.add("\r\n")
		d.n += 2
	}
	d.add(".\r\n")
	if d.err != nil {
		return d.err
	}
	d.err = errClosed
	return nil
}

// add sends octets that the message does not have.
func (d *Writer) add(s string) {
	if d.err == nil {
		_, d.err = io.WriteString(d.w, s)
	}
}
