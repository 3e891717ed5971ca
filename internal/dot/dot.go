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

// bufferSize is what [Writer.ReadFrom] reads at once.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

var errClosed = errors.New("dot: write after Close")

// What the octets before the next one were.
type place uint8

const (
	lineStart place = iota // nothing, or a line end
	inLine                 // anything else
	afterCR                // a CR
)

// Writer sends one message. It passes on slices of what it is given and writes
// the octets to be added between them, so the destination should have a buffer;
// best it is an io.ByteWriter, too.
type Writer struct {
	w   io.Writer
	b   io.ByteWriter // w, if it is one
	at  place
	n   int64
	err error
}

// NewWriter returns a Writer for one message to w.
func NewWriter(w io.Writer) *Writer {
	d := new(Writer)
	d.Reset(w)
	return d
}

// Reset makes d what NewWriter returns, for another message.
func (d *Writer) Reset(w io.Writer) {
	*d = Writer{w: w}
	d.b, _ = w.(io.ByteWriter)
}

// Octets is the number of octets written so far as the receiver will count
// them: with the line ends that were repaired, without the dots that were added.
func (d *Writer) Octets() int64 { return d.n }

// Write sends p, the next part of the message. After an error every further
// call returns it.
func (d *Writer) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	start, i := 0, 0 // p[start:i] is looked at and not yet sent
	for i < len(p) {
		if d.at == lineStart && p[i] == '.' {
			d.send(p[start:i])
			d.addByte('.')
			start = i
		}
		j := bytes.IndexByte(p[i:], '\n')
		if j < 0 {
			break
		}
		j += i
		if j == i && d.at != afterCR || j > i && p[j-1] != '\r' {
			d.send(p[start:j])
			d.addByte('\r')
			d.n++
			start = j
		}
		i = j + 1
		d.at = lineStart
	}
	if i < len(p) {
		d.at = inLine
		if p[len(p)-1] == '\r' {
			d.at = afterCR
		}
	}
	d.send(p[start:])
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
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

// send passes on octets of the message.
func (d *Writer) send(p []byte) {
	if d.err != nil || len(p) == 0 {
		return
	}
	n, err := d.w.Write(p)
	d.n += int64(n)
	d.err = err
}

// addByte is add for the octet that is added most.
func (d *Writer) addByte(c byte) {
	if d.b == nil {
		d.add(string(rune(c)))
	} else if d.err == nil {
		d.err = d.b.WriteByte(c)
	}
}

// add sends octets that the message does not have.
func (d *Writer) add(s string) {
	if d.err == nil {
		_, d.err = io.WriteString(d.w, s)
	}
}
