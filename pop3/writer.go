package pop3

import (
	"encoding/base64"
	"io"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/postwain/postwain/internal/dot"
)

const (
	bufferSize = 64 << 10
	maxReply   = 510 // octets of a reply line without its line end (RFC 2449 §4)
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Writer sends replies. A reply line is begun by OK, Err or Line, goes on with
// Int, Text and the like, each behind a space, and is ended by End. Control
// characters in any text become '?', and a line that grows over 510 octets is
// cut, so nothing that a line is made of can end it or begin another.
//
// It takes a buffer from a pool when a reply begins and gives it back in
// Flush. The first error is kept: nothing is sent after it, and Flush returns it.
type Writer struct {
	w     io.Writer
	buf   *[bufferSize]byte
	n     int
	line  int // octets in the current line
	total int64
	dots  dot.Writer
	err   error
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Octets is the number of octets sent and buffered so far.
func (w *Writer) Octets() int64 { return w.total }

// OK begins a reply line of +OK.
func (w *Writer) OK() *Writer { return w.begin("+OK") }

// Err begins a reply line of -ERR, with code in brackets if it has one.
func (w *Writer) Err(code Code) *Writer {
	w.begin("-ERR")
	if code != "" {
		w.text(" [", string(code), "]")
	}
	return w
}

// Line begins a line of a multi-line reply with first, and adds the dot if
// that begins with one.
func (w *Writer) Line(first string) *Writer {
	if len(first) > 0 && first[0] == '.' {
		w.begin(".")
	} else {
		w.begin("")
	}
	w.text(first)
	return w
}

// IntLine begins a line of a multi-line reply with the number n.
func (w *Writer) IntLine(n int) *Writer {
	w.begin("")
	return w.digits(int64(n))
}

// Text adds s to the line; nothing if s is empty.
func (w *Writer) Text(s string) *Writer {
	if s != "" {
		w.text(" ", s)
	}
	return w
}

// Int adds the number n to the line.
func (w *Writer) Int(n int64) *Writer {
	w.text(" ")
	return w.digits(n)
}

// End ends the line.
func (w *Writer) End() { w.raw("\r\n") }

// Dot ends a multi-line reply.
func (w *Writer) Dot() { w.raw(".\r\n") }

// Challenge sends a line of "+ " and the base64 form of challenge, which may be
// empty (RFC 5034 §4).
func (w *Writer) Challenge(challenge []byte) {
	w.raw("+ ")
	e := base64.NewEncoder(base64.StdEncoding, w)
	e.Write(challenge)
	e.Close()
	w.raw("\r\n")
}

// Message sends the stored message that r gives, dot-stuffed and with its end
// dot: all of it if lines is negative, else its header, the empty line and
// lines lines of the body. It returns the octets that the client will count.
// After an error of r, too, the Writer sends nothing more, so that the client
// cannot take a part for the whole.
func (w *Writer) Message(r io.Reader, lines int) (int64, error) {
	if lines >= 0 {
		r = dot.Head(r, lines)
	}
	d := &w.dots
	d.Reset((*lender)(w))
	if _, err := io.Copy(d, r); err != nil {
		w.fail(err)
	}
	if err := d.Close(); err != nil {
		w.fail(err)
	}
	return d.Octets(), w.err
}

// Flush sends what is buffered and returns the first error of the Writer.
func (w *Writer) Flush() error {
	if w.err == nil && w.n > 0 {
		_, err := w.w.Write(w.buf[:w.n])
		w.fail(err)
	}
	w.n = 0
	if w.buf != nil {
		buffers.Put(w.buf)
		w.buf = nil
	}
	return w.err
}

// Write sends p as it is. It makes a Writer the destination of other encoders.
func (w *Writer) Write(p []byte) (int, error) {
	if w.n+len(p) > bufferSize {
		w.Flush()
	}
	if w.err != nil {
		return 0, w.err
	}
	w.total += int64(len(p))
	if len(p) >= bufferSize {
		_, err := w.w.Write(p)
		w.fail(err)
		return len(p), err
	}
	if w.buf == nil {
		w.buf = buffers.Get().(*[bufferSize]byte)
	}
	w.n += copy(w.buf[w.n:], p)
	return len(p), nil
}

// WriteString is Write without a copy of s.
func (w *Writer) WriteString(s string) (int, error) {
	w.raw(s)
	return len(s), w.err
}

// lender gives the codec the buffer of a Writer.
type lender Writer

func (l *lender) Write(p []byte) (int, error) { return (*Writer)(l).Write(p) }

func (l *lender) WriteString(s string) (int, error) { return (*Writer)(l).WriteString(s) }

func (l *lender) Room(n int) ([]byte, error) {
	if w := (*Writer)(l); !w.room(n) {
		return nil, w.err
	}
	return l.buf[l.n:], nil
}

func (l *lender) Fill(n int) {
	l.n += n
	l.total += int64(n)
}

func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// room reports whether n octets, fewer than a buffer has, can be added at w.n.
func (w *Writer) room(n int) bool {
	if w.n+n > bufferSize {
		w.Flush()
	}
	if w.err != nil {
		return false
	}
	if w.buf == nil {
		w.buf = buffers.Get().(*[bufferSize]byte)
	}
	return true
}

// raw adds s, which is short and ours.
func (w *Writer) raw(s string) {
	if w.room(len(s)) {
		w.n += copy(w.buf[w.n:], s)
		w.total += int64(len(s))
	}
}

func (w *Writer) begin(s string) *Writer {
	w.line = len(s)
	w.raw(s)
	return w
}

// text adds what may come from anywhere to the line.
func (w *Writer) text(parts ...string) {
	for _, s := range parts {
		if cut := max(maxReply-w.line, 0); len(s) > cut {
			for cut > 0 && !utf8.RuneStart(s[cut]) {
				cut--
			}
			s = s[:cut]
		}
		if !w.room(len(s)) {
			return
		}
		to := w.buf[w.n : w.n+len(s)]
		copy(to, s)
		for i, c := range to {
			if c < ' ' || c == 0x7F {
				to[i] = '?'
			}
		}
		w.n += len(s)
		w.line += len(s)
		w.total += int64(len(s))
	}
}

func (w *Writer) digits(n int64) *Writer {
	if w.room(20) {
		had := w.n
		w.n = len(strconv.AppendInt(w.buf[:had], n, 10))
		w.line += w.n - had
		w.total += int64(w.n - had)
	}
	return w
}
