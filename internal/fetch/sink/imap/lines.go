package imap

import "io"

// wireLines gives a message as it goes over the wire: an LF without a CR before
// it becomes CRLF, and the last line has a line end.
type wireLines struct {
	r    io.Reader
	in   [16 << 10]byte
	out  []byte // what of the wire form is still to be given
	buf  []byte // where out is
	err  error
	cr   bool // the octet before was a CR
	open bool // the octet before was no LF
}

func (w *wireLines) Read(p []byte) (int, error) {
	if len(w.out) == 0 && w.err == nil {
		w.fill()
	}
	n := copy(p, w.out)
	if w.out = w.out[n:]; n == 0 {
		return 0, w.err
	}
	return n, nil
}

func (w *wireLines) fill() {
	n, err := w.r.Read(w.in[:])
	out := w.buf[:0]
	for _, c := range w.in[:n] {
		if c == '\n' && !w.cr {
			out = append(out, '\r')
		}
		out = append(out, c)
		w.cr, w.open = c == '\r', c != '\n'
	}
	if err == io.EOF && w.open {
		out = append(out, "\r\n"...)
	}
	w.out, w.buf, w.err = out, out, err
}
