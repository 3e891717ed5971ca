package bucket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// spooled is a message in the form in which it is stored: every line ends in
// CRLF. What is larger than inMemory is in a file without a name.
type spooled struct {
	memory []byte
	file   *os.File
	size   int64
	dir    string // for the file
}

const inMemory = 64 << 10

// take reads r to its end.
func take(ctx context.Context, dir string, r io.Reader) (s *spooled, err error) {
	s = &spooled{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	w := &canonical{to: s}
	in := bufio.NewReaderSize(r, 32<<10)
	for {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		part, err := in.Peek(1)
		if err == nil {
			part, _ = in.Peek(in.Buffered())
		}
		if _, failed := w.Write(part); failed != nil {
			return s, fmt.Errorf("spooling: %w", failed)
		}
		if _, failed := in.Discard(len(part)); failed != nil {
			return s, failed
		}
		if err == io.EOF {
			return s, w.end()
		}
		if err != nil {
			return s, err
		}
	}
}

func (s *spooled) Write(p []byte) (int, error) {
	if s.file == nil && len(s.memory)+len(p) > inMemory {
		if err := s.spill(); err != nil {
			return 0, full(err)
		}
	}
	s.size += int64(len(p))
	if s.file == nil {
		s.memory = append(s.memory, p...)
		return len(p), nil
	}
	n, err := s.file.Write(p)
	return n, full(err)
}

func (s *spooled) spill() error {
	f, err := os.CreateTemp(s.dir, "postwain-bucket-")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(err, f.Close())
	}
	s.file = f
	_, err = f.Write(s.memory)
	s.memory = nil
	return err
}

// full tells the want of room from other trouble.
func full(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) && errors.Is(fsx.PathError(e.Op, e.Path, e.Err), fsx.ErrNoSpace) {
		return fmt.Errorf("%w: %w", maildrop.ErrFull, err)
	}
	return err
}

func (s *spooled) Size() int64 { return s.size }

func (s *spooled) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	return bytes.NewReader(s.memory).ReadAt(p, off)
}

func (s *spooled) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// canonical writes every line with CRLF: a bare LF ends one, a lone CR is content.
type canonical struct {
	to   io.Writer
	any  bool
	last byte
}

func (c *canonical) Write(p []byte) (int, error) {
	from := 0
	for i, b := range p {
		if b == '\n' && c.last != '\r' {
			if _, err := c.to.Write(p[from:i]); err != nil {
				return 0, err
			}
			if _, err := c.to.Write([]byte("\r\n")); err != nil {
				return 0, err
			}
			from = i + 1
		}
		c.last, c.any = b, true
	}
	_, err := c.to.Write(p[from:])
	return len(p), err
}

// end ends the last line.
func (c *canonical) end() error {
	if !c.any || c.last == '\n' {
		return nil
	}
	_, err := c.to.Write([]byte("\r\n"))
	return err
}
