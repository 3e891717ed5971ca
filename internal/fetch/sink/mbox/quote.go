package mbox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"
)

const from = "From "

// errBroke is the error of a message that did not come to its end.
type errBroke struct{ error }

func (e errBroke) Error() string { return "message broke off: " + e.error.Error() }
func (e errBroke) Unwrap() error { return e.error }

// render writes the message of r as it stands in the file.
func render(ctx context.Context, w *bufio.Writer, at time.Time, r io.Reader) error {
	w.WriteString(from + "MAILER-DAEMON " + at.UTC().Format(time.ANSIC) + "\n")
	q := quoter{w: w}
	buf := make([]byte, 32<<10)
	for idle := 0; ; {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			q.take(c)
		}
		if err == io.EOF {
			break
		}
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle == 100 {
			err = io.ErrNoProgress
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return errBroke{err}
		}
	}
	q.end()
	w.WriteByte('\n')
	return w.Flush()
}

// quoter makes the lines of a message those of an mbox file. CRLF becomes LF,
// except behind another CR: so the wire form of the message can be told from
// what is stored. Errors are those that w remembers.
type quoter struct {
	w     *bufio.Writer
	held  bool // a CR that was not passed on yet: an LF may follow
	cr    bool // a CR was passed on last
	part  bool // the line has begun otherwise than by ">" and "From "
	match int  // how much of "From " is held
	open  bool // the last octet passed on was no LF
}

func (q *quoter) take(c byte) {
	if q.held && c != '\n' {
		q.line('\r')
	}
	q.held = c == '\r' && !q.cr
	if !q.held {
		q.line(c)
	}
}

// line passes on an octet of a line whose line end is LF.
func (q *quoter) line(c byte) {
	q.cr = c == '\r'
	q.open = c != '\n'
	switch {
	case q.part, c == '>' && q.match == 0:
	case c == from[q.match]:
		if q.match++; q.match == len(from) {
			q.w.WriteByte('>')
			q.begun()
		}
		return
	default:
		q.begun()
	}
	q.w.WriteByte(c)
	if c == '\n' {
		q.part = false
	}
}

// begun passes on what was held of "From ".
func (q *quoter) begun() {
	q.w.WriteString(from[:q.match])
	q.part, q.match = true, 0
}

// end ends the last line. Behind a CR only CRLF is a line end of its own.
func (q *quoter) end() {
	if q.held {
		q.line('\r')
	}
	if q.match > 0 {
		q.begun()
	}
	if q.cr {
		q.w.WriteByte('\r')
	}
	if q.open {
		q.w.WriteByte('\n')
	}
}
