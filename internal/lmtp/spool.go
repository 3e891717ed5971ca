package lmtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/postwain/postwain/maildrop"
)

// memorySize is how much of a message is kept in memory: all of it, or what
// was read since the last write to its file.
const memorySize = 64 << 10

var memories = sync.Pool{New: func() any { return new([memorySize]byte) }}

// Faults of a message. It is read to its end all the same.
var (
	errTooBig = errors.New("lmtp: message is bigger than the limit")
	errBare   = errors.New("lmtp: message has a bare CR or LF")
)

// SpoolFile holds a message while it is received and delivered.
type SpoolFile interface {
	io.Writer
	io.ReaderAt // used by many goroutines at once
	io.Closer   // gives the room back
}

// SpoolIn makes spool files in the directory dir, os.TempDir() if it is empty.
// They have no name as soon as they are open, so a crash leaves nothing.
func SpoolIn(dir string) func(context.Context) (SpoolFile, error) {
	return func(context.Context) (SpoolFile, error) {
		f, err := os.CreateTemp(dir, "postwain-lmtp-")
		if err != nil {
			return nil, err
		}
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}

// room is what all spool files of a server may take together.
type room struct{ used atomic.Int64 }

// take reserves n octets below limit.
func (r *room) take(n, limit int64) bool {
	if r.used.Add(n) > limit {
		r.used.Add(-n)
		return false
	}
	return true
}

// spool is one message: in memory, or in a file when it outgrows that.
type spool struct {
	opt    *Options
	room   *room
	memory *[memorySize]byte
	n      int   // octets in memory
	size   int64 // octets of the message
	file   SpoolFile
	filed  int64 // octets in file
	// err is the first fault. From then on what comes is counted and dropped.
	err error
}

func newSpool(opt *Options, r *room) *spool {
	return &spool{opt: opt, room: r, memory: memories.Get().(*[memorySize]byte)}
}

// fill appends what r gives until io.EOF and returns any other error of r.
// The message's own faults are in err.
func (s *spool) fill(ctx context.Context, r io.Reader) error {
	for {
		if s.n == len(s.memory) {
			s.flush(ctx)
		}
		n, err := r.Read(s.memory[s.n:])
		s.n += n
		s.size += int64(n)
		if s.size > s.opt.MaxMessage {
			s.fail(errTooBig)
		}
		if s.err != nil {
			s.n = 0
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// seal makes the message ready to be read.
func (s *spool) seal(ctx context.Context) {
	if s.file != nil {
		s.flush(ctx)
	}
}

// flush moves what is in memory to the file.
func (s *spool) flush(ctx context.Context) {
	if s.err == nil && s.file == nil {
		s.open(ctx)
	}
	n := int64(s.n)
	if s.err == nil && !s.room.take(n, s.opt.MaxSpool) {
		s.fail(maildrop.ErrFull)
	}
	if s.err == nil {
		s.filed += n
		if _, err := s.file.Write(s.memory[:s.n]); err != nil {
			s.fail(err)
		}
	}
	s.n = 0
}

func (s *spool) open(ctx context.Context) {
	file, err := s.opt.Spool(ctx)
	if err != nil {
		s.fail(err)
		return
	}
	s.file = file
}

// fail notes the first fault and gives the room back at once.
func (s *spool) fail(err error) {
	if s.err == nil {
		s.err = err
		s.drop()
	}
}

// drop closes the file. Nothing was promised of it, so its error says nothing.
func (s *spool) drop() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.room.used.Add(-s.filed)
	s.filed = 0
}

// free releases everything.
func (s *spool) free() {
	s.drop()
	memories.Put(s.memory)
	s.memory = nil
}

// reader gives head and then the message.
func (s *spool) reader(head []byte) io.Reader {
	if s.file != nil {
		return &copyReader{head: head, body: s.file, left: s.size}
	}
	return &copyReader{head: head, body: bytes.NewReader(s.memory[:s.n]), left: s.size}
}

// verdict is the answer to every recipient, empty if the message is good.
func (s *spool) verdict() reply {
	switch {
	case s.err == nil:
		return ""
	case errors.Is(s.err, errTooBig):
		return replyTooBig
	case errors.Is(s.err, errBare):
		return replyBare
	case errors.Is(s.err, maildrop.ErrFull), errors.Is(s.err, syscall.ENOSPC), errors.Is(s.err, syscall.EDQUOT):
		return replySpoolFull
	}
	return replyOutage
}

// copyReader reads one recipient's copy of a message.
type copyReader struct {
	head []byte
	body io.ReaderAt
	off  int64 // in body
	left int64 // of body
}

func (c *copyReader) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.body.ReadAt(p[:min(int64(len(p)), c.left)], c.off)
	c.off += int64(n)
	c.left -= int64(n)
	if n > 0 {
		return n, nil // what is wrong will be wrong again
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}
