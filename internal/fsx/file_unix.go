//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fsx

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// maxIO bounds one read or write: some systems refuse 2 GiB and more.
const maxIO = 1 << 30

// osFile is an open regular file: a plain descriptor, since the runtime's
// poller can do nothing for one. Its path is for error texts alone.
type osFile struct {
	handle
	path   string
	append bool
}

func (f *osFile) err(op string, err error) error { return PathError(op, f.path, err) }

func (f *osFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.io(p, unix.Read)
	if err != nil {
		return 0, f.err("read", err)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.err("read", unix.EINVAL)
	}
	done := 0
	for done < len(p) {
		n, err := f.io(p[done:], func(fd int, p []byte) (int, error) {
			return unix.Pread(fd, p, off+int64(done))
		})
		if err != nil {
			return done, f.err("read", err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *osFile) Write(p []byte) (int, error) {
	return f.writeAll(p, func(fd, _ int, p []byte) (int, error) { return unix.Write(fd, p) })
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.err("write", unix.EINVAL)
	}
	if f.append { // Linux would append
		return 0, f.err("write", errors.ErrUnsupported)
	}
	return f.writeAll(p, func(fd, done int, p []byte) (int, error) {
		return unix.Pwrite(fd, p, off+int64(done))
	})
}

// writeAll calls write until all of p is written.
func (f *osFile) writeAll(p []byte, write func(fd, done int, p []byte) (int, error)) (int, error) {
	done := 0
	for done < len(p) {
		n, err := f.io(p[done:], func(fd int, p []byte) (int, error) { return write(fd, done, p) })
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, f.err("write", err)
		}
		done += n
	}
	return done, nil
}

// io makes one call on at most maxIO octets of p.
func (f *osFile) io(p []byte, call func(fd int, p []byte) (int, error)) (n int, err error) {
	err = f.with(func(fd int) error {
		n, err = call(fd, p[:min(len(p), maxIO)])
		return err
	})
	return max(n, 0), err
}

func (f *osFile) Stat() (Info, error) {
	info, err := f.stat()
	return info, f.err("stat", err)
}

func (f *osFile) Sync() error     { return f.err("sync", f.with(syncFile)) }
func (f *osFile) SyncData() error { return f.err("sync", f.with(syncData)) }

func (f *osFile) Truncate(size int64) error {
	return f.err("truncate", f.with(func(fd int) error { return unix.Ftruncate(fd, size) }))
}

func (f *osFile) Allocate(size int64) error {
	if size <= 0 {
		return nil
	}
	err := f.with(func(fd int) error { return allocate(fd, size) })
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.with(func(fd int) error { return f.fill(fd, size) })
	}
	return f.err("allocate", err)
}

// fill allocates the first size octets of a file by writing them: what is
// there already, so that holes are filled, and zeros behind it. A file that is
// only appended to has no holes, and Linux would write at its end anyway.
func (f *osFile) fill(fd int, size int64) error {
	off := int64(0)
	if f.append {
		info, err := f.stat()
		if err != nil {
			return err
		}
		off = info.Size
	}
	buf := make([]byte, 64<<10)
	for off < size {
		b := buf[:min(int64(len(buf)), size-off)]
		n, err := unix.Pread(fd, b, off)
		if err != nil {
			return err
		}
		clear(b[n:])
		if n, err = unix.Pwrite(fd, b, off); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

func (f *osFile) TryLock() (bool, error) {
	err := f.with(func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, f.err("lock", err)
}

func (f *osFile) SetModTime(t time.Time) error {
	return f.err("chtimes", f.with(func(fd int) error { return setModTime(fd, t) }))
}

func (f *osFile) Close() error { return f.err("close", f.close()) }

func isNoSpace(err error) bool { return err == unix.ENOSPC || err == unix.EDQUOT }
