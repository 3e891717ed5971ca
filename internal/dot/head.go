package dot

import (
	"bytes"
	"io"
)

// Head returns a Reader of the first part of the stored message that r gives:
// its header, the empty line, and lines lines of its body (RFC 1939 §7, TOP).
// It is the whole message if that has no empty line or a shorter body. Once it
// has enough it reads no more of r.
func Head(r io.Reader, lines int) io.Reader {
	return &head{r: r, left: max(lines, 0)}
}

type head struct {
	r    io.Reader
	left int   // body lines still wanted
	body bool  // the empty line has passed
	at   place // afterCR: a CR and nothing else is in the line
	done bool
}

func (h *head) Read(p []byte) (int, error) {
	if h.done {
		return 0, io.EOF
	}
	n, err := h.r.Read(p)
	if end := h.scan(p[:n]); end >= 0 {
		h.done = true
		return end, nil
	}
	return n, err
}

// scan returns the length of the part of p that is wanted, or -1 if all of it
// is, and more.
func (h *head) scan(p []byte) int {
	for i := 0; i < len(p); {
		j := bytes.IndexByte(p[i:], '\n')
		if j < 0 {
			if h.at == lineStart && len(p)-i == 1 && p[i] == '\r' {
				h.at = afterCR
			} else {
				h.at = inLine
			}
			return -1
		}
		line := p[i : i+j]
		i += j + 1
		switch {
		case h.body:
			h.left--
		case h.at == lineStart && (len(line) == 0 || len(line) == 1 && line[0] == '\r'),
			h.at == afterCR && len(line) == 0:
			h.body = true
		}
		h.at = lineStart
		if h.body && h.left == 0 {
			return i
		}
	}
	return -1
}
