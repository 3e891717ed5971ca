// Package spool keeps a message for a destination that wants to have it whole,
// or to know its size, before it takes any of it.
package spool

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/postwain/postwain/internal/fsx"
)

// inMemory is the size up to which a message needs no file.
const inMemory = 64 << 10

// Message is a message that has come to its end.
type Message struct {
	small []byte
	size  int64

	file fsx.File // nil: it is in memory
	dir  fsx.Dir  // where the file still has a name; nil: it has none
	name string
	own  bool // dir was opened here
}

// Take reads r until io.EOF. What does not fit into 64 KiB goes into a file in
// dir, nil for the system's directory for such files, of which no name is left
// where the system lets it be removed while it is open. The caller closes the
// Message. Errors of r are returned as they are.
func Take(ctx context.Context, dir fsx.Dir, r io.Reader) (*Message, error) {
	m := new(Message)
	if err := m.take(ctx, dir, r); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Message) take(ctx context.Context, dir fsx.Dir, r io.Reader) error {
	var start bytes.Buffer
	n, err := start.ReadFrom(io.LimitReader(r, inMemory+1))
	m.small, m.size = start.Bytes(), n
	if err != nil {
		return err
	}
	if n <= inMemory {
		return ctx.Err()
	}
	if err := m.create(dir); err != nil {
		return err
	}
	if err := m.write(m.small); err != nil {
		return err
	}
	m.small = nil
	buf := make([]byte, inMemory)
	for idle := 0; ctx.Err() == nil; {
		n, err := r.Read(buf)
		if e := m.write(buf[:n]); e != nil {
			return e
		}
		m.size += int64(n)
		if err == io.EOF {
			return nil
		}
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle == 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *Message) create(dir fsx.Dir) (err error) {
	if m.dir = dir; dir == nil {
		if m.dir, err = fsx.Open(os.TempDir()); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		m.own = true
	}
	name := "postwain-" + rand.Text()
	if m.file, err = m.dir.Create(name, 0o600); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if m.name = name; m.dir.Remove(name) == nil {
		m.name = ""
	}
	return nil
}

func (m *Message) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := m.file.Write(p); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Size is the number of octets.
func (m *Message) Size() int64 { return m.size }

// Reader gives the message from its beginning. It is used until Close.
func (m *Message) Reader() io.Reader {
	if m.file == nil {
		return bytes.NewReader(m.small)
	}
	return io.NewSectionReader(m.file, 0, m.size)
}

// Close gives up the message.
func (m *Message) Close() error {
	var errs []error
	if m.file != nil {
		errs = append(errs, m.file.Close())
	}
	if m.name != "" {
		errs = append(errs, m.dir.Remove(m.name))
	}
	if m.own {
		errs = append(errs, m.dir.Close())
	}
	*m = Message{}
	return errors.Join(errs...)
}
