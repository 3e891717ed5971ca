package dot

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// ErrBareLineEnd says that a message had an LF without a CR before it or a CR
// without an LF after it.
var ErrBareLineEnd = errors.New("dot: bare CR or LF in the message")

// Places of a Reader beside those of a Writer.
const (
	afterDot   place = afterCR + 1 + iota // a dot that began the line
	afterDotCR                            // that dot and a CR
)

// Reader receives one message. It consumes exactly the message and the line of
// its end dot, and takes lines of any length.
type Reader struct {
	br     *bufio.Reader
	at     place
	strict bool
	bare   bool
	err    error
}

// NewReader returns a Reader of the message that comes next in br. Bare CRs
// and LFs are content and pass unchanged; a dot after one is not special.
func NewReader(br *bufio.Reader) *Reader { return &Reader{br: br} }

// NewStrictReader returns a Reader that refuses a message with a bare CR or
// LF, which the next program might take for a line end: it swallows the rest of
// the message and then returns ErrBareLineEnd in place of io.EOF.
func NewStrictReader(br *bufio.Reader) *Reader { return &Reader{br: br, strict: true} }

// Read gives the next octets of the message. It returns io.EOF when the end
// dot has been consumed, and io.ErrUnexpectedEOF if the input ends before it.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil {
		if _, err := r.br.Peek(1); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			r.err = err
			break
		}
		in, _ := r.br.Peek(r.br.Buffered())
		n, used := r.decode(p, in)
		r.br.Discard(used)
		if r.bare && r.err == io.EOF {
			r.err = ErrBareLineEnd
		}
		if n > 0 && !r.bare {
			return n, nil
		}
	}
	return 0, r.err
}

// decode un-stuffs octets of in into p until one of them is used up or the
// message ends.
func (r *Reader) decode(p, in []byte) (n, used int) {
	for used < len(in) && n < len(p) {
		switch c := in[used]; {
		case r.at == lineStart && c == '.':
			r.at = afterDot
			used++
		case r.at == afterDot && c == '\r':
			r.at = afterDotCR
			used++
		case r.at == afterDot:
			r.at = inLine
		case r.at == afterDotCR && c == '\n':
			r.err = io.EOF
			return n, used + 1
		case r.at == afterDotCR:
			p[n] = '\r'
			n++
			r.at = afterCR
		default:
			run := in[used:min(len(in), used+len(p)-n)]
			run = run[:r.plain(run)]
			n += copy(p[n:], run)
			used += len(run)
		}
	}
	return n, used
}

// plain returns how many octets of in, which is not empty and does not begin
// with a dot that begins a line, come before the next such dot.
func (r *Reader) plain(in []byte) int {
	cr := r.at == afterCR
	for i := 0; ; {
		j := bytes.IndexByte(in[i:], '\n')
		if j < 0 {
			r.check(in[i:], cr, false)
			r.at = inLine
			if in[len(in)-1] == '\r' {
				r.at = afterCR
			}
			return len(in)
		}
		line := in[i : i+j]
		ended := cr && j == 0 || j > 0 && line[j-1] == '\r'
		r.check(line, cr, true)
		cr = false
		i += j + 1
		r.at = inLine
		if ended {
			r.at = lineStart
		}
		if i == len(in) || ended && in[i] == '.' {
			return i
		}
	}
}

// check looks for bare line ends in a part of a line: cr says that a CR came
// before it, lf that an LF follows.
func (r *Reader) check(part []byte, cr, lf bool) {
	if !r.strict || r.bare {
		return
	}
	if len(part) == 0 {
		r.bare = lf && !cr
		return
	}
	last := part[len(part)-1] == '\r'
	r.bare = cr || lf && !last || bytes.IndexByte(part[:len(part)-1], '\r') >= 0
}
