package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/postwain/postwain/internal/fetch/sink"
)

var errSmuggle = errors.New("a dot stands behind a bare CR, which a server could take for its end")

// source is a message. It remembers the error that is its own, and looks for a
// dot behind a bare CR.
type source struct {
	r   io.Reader
	cr  bool // the last octet was a CR
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.smuggles(p[:n]) {
		n, err = 0, fmt.Errorf("%w: %w", sink.ErrRefused, errSmuggle)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (s *source) smuggles(p []byte) bool {
	if len(p) == 0 {
		return false
	}
	if s.cr && p[0] == '.' {
		return true
	}
	s.cr = p[len(p)-1] == '\r'
	return bytes.Contains(p, []byte("\r."))
}
