package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// file is an open file. Its fields are guarded by the lock of the FS.
type file struct {
	fs       *FS
	node     *inode
	path     string
	foreign  bool
	writable bool
	append   bool
	closed   bool
	pos      int64
}

// try makes an operation on the file.
func (f *file) try(op Op, do func(injected error) error) error {
	op.Path = f.path
	return f.fs.try(f.foreign, op, func(injected error) error {
		if f.closed {
			return fs.ErrClosed
		}
		return do(injected)
	})
}

// do is try for what leaves nothing behind when it fails.
func (f *file) do(op Op, do func() error) error {
	return f.try(op, func(injected error) error {
		if injected != nil {
			return injected
		}
		return do()
	})
}

// update is do for what changes the file.
func (f *file) update(op Op, do func() error) error {
	return f.do(op, func() error {
		if !f.writable {
			return syscall.EBADF
		}
		return do()
	})
}

func (f *file) push(e effect) {
	e.node, e.path = f.node, f.path
	f.fs.push(e)
}

func (f *file) Read(p []byte) (n int, err error) {
	end := false
	err = f.do(Op{Kind: Read, Off: -1, Len: len(p)}, func() error {
		data := f.node.now.data
		n = copy(p, data[min(f.pos, int64(len(data))):])
		f.pos += int64(n)
		end = n == 0 && len(p) > 0
		return nil
	})
	if end {
		return 0, io.EOF
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.do(Op{Kind: Read, Off: off, Len: len(p)}, func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		data := f.node.now.data
		n = copy(p, data[min(off, int64(len(data))):])
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.write(p, -1, &n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fsx.PathError(string(Write), f.path, syscall.EINVAL)
	}
	if f.append {
		return 0, fsx.PathError(string(Write), f.path, errors.ErrUnsupported)
	}
	err = f.write(p, off, &n)
	return n, err
}

// write writes at off, or where Write does if off is negative, and counts the
// octets in n.
func (f *file) write(p []byte, off int64, n *int) error {
	return f.try(Op{Kind: Write, Off: off, Len: len(p)}, func(err error) error {
		var part Partial
		if err != nil && !errors.As(err, &part) {
			return err
		}
		if !f.writable {
			return syscall.EBADF
		}
		if err != nil {
			p, err = p[:min(part.N, len(p))], part.Err
		}
		at := off
		if at < 0 {
			at = f.pos
			if f.append {
				at = int64(len(f.node.now.data))
			}
		}
		end, full := f.fs.reserve(f.node, at+int64(len(p)))
		p = p[:max(0, end-at)]
		if full != nil {
			err = full
		}
		*n = len(p)
		if len(p) > 0 {
			f.fs.change(f.node, func(c *content) { c.write(p, at) })
			f.push(effect{kind: Write, off: at, data: slices.Clone(p)})
		}
		if off < 0 {
			f.pos = at + int64(len(p))
		}
		return err
	})
}

func (f *file) Stat() (info fsx.Info, err error) {
	err = f.do(Op{Kind: Stat}, func() error {
		info = f.node.info()
		return nil
	})
	return info, err
}

func (f *file) Sync() error     { return f.sync(Sync) }
func (f *file) SyncData() error { return f.sync(SyncData) }

func (f *file) sync(kind Kind) error {
	return f.try(Op{Kind: kind}, func(injected error) error {
		return f.fs.sync(f.node, kind, injected)
	})
}

func (f *file) Truncate(size int64) error {
	return f.update(Op{Kind: Truncate, Off: size}, func() error {
		if size < 0 {
			return syscall.EINVAL
		}
		f.fs.change(f.node, func(c *content) { c.truncate(size) })
		f.push(effect{kind: Truncate, off: size})
		return nil
	})
}

func (f *file) Allocate(size int64) error {
	if size <= 0 {
		return nil
	}
	return f.update(Op{Kind: Allocate, Off: size}, func() error {
		if _, err := f.fs.reserve(f.node, size); err != nil {
			return err
		}
		f.fs.change(f.node, func(c *content) { c.allocate(size) })
		f.push(effect{kind: Allocate, off: size})
		return nil
	})
}

func (f *file) TryLock() (ok bool, err error) {
	err = f.do(Op{Kind: Lock}, func() error {
		if f.node.locked == nil {
			f.node.locked = f
		}
		ok = f.node.locked == f
		return nil
	})
	return ok, err
}

func (f *file) SetModTime(t time.Time) error {
	return f.do(Op{Kind: Touch}, func() error {
		f.node.now.mtime = t
		f.node.ctime = time.Now()
		f.push(effect{kind: Touch, mod: t})
		return nil
	})
}

// Close closes the file although it may be made to fail.
func (f *file) Close() error {
	return f.try(Op{Kind: Close}, func(injected error) error {
		f.closed = true
		if f.node.locked == f {
			f.node.locked = nil
		}
		f.node.opens--
		f.fs.drop(f.node)
		return injected
	})
}
