package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/postwain/postwain/internal/fsx"
)

// File is a message in a file that another process can be given.
type File struct{ *os.File }

// TakeFile reads r until io.EOF into a new file in the directory dir, empty for
// the system's one, and goes back to its beginning. No name is left of it where
// the system lets it be removed while it is open. The caller closes it. Errors
// of r are returned as they are.
func TakeFile(ctx context.Context, dir string, r io.Reader) (File, error) {
	file, err := os.CreateTemp(dir, "postwain-")
	if err != nil {
		return File{}, fmt.Errorf("spool: %w", spaced(err))
	}
	os.Remove(file.Name())
	f := File{file}
	from := &source{ctx: ctx, r: r}
	if _, err = io.Copy(f.File, from); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if from.err != nil {
		err = from.err
	} else if err != nil {
		err = fmt.Errorf("spool: %w", spaced(err))
	}
	if err != nil {
		f.Close()
		return File{}, err
	}
	return f, nil
}

// Close gives up the message.
func (f File) Close() error {
	err := f.File.Close()
	os.Remove(f.Name()) // if it is still there
	return err
}

// spaced makes an error of the os package match fsx.ErrNoSpace if it is one.
func spaced(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return fsx.PathError(e.Op, e.Path, e.Err)
	}
	return err
}

// source is a message until ctx ends. It keeps what it broke off with.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	if err = s.ctx.Err(); err == nil {
		n, err = s.r.Read(p)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
