package exec

import "io"

// unixLines turns CRLF into LF, except behind another CR: that way the message
// can be told from what becomes of it.
type unixLines struct {
	r    io.Reader
	err  error
	held bool // a CR that was not given yet: an LF may follow
	cr   bool // a CR was given last
}

func (u *unixLines) Read(p []byte) (int, error) {
	if len(p) < 2 || u.err != nil {
		return 0, u.err
	}
	n, err := u.r.Read(p[1:]) // in front is room for a CR that was held
	u.err = err
	out := 0
	put := func(c byte) {
		p[out] = c
		out++
		u.cr = c == '\r'
	}
	for _, c := range p[1 : 1+n] {
		if u.held && c != '\n' {
			put('\r')
		}
		u.held = c == '\r' && !u.cr
		if !u.held {
			put(c)
		}
	}
	if err == io.EOF && u.held {
		put('\r')
	}
	return out, err
}
