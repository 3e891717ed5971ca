package fsx

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// rootFile is an open regular file.
type rootFile struct {
	f      *os.File
	path   string
	append bool

	mu     sync.Mutex
	locked bool
}

func (f *rootFile) err(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return PathError(op, f.path, cause(err))
}

func (f *rootFile) Read(p []byte) (int, error) {
	n, err := f.f.Read(p)
	return n, f.err("read", err)
}

func (f *rootFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.err("read", syscall.EINVAL)
	}
	n, err := f.f.ReadAt(p, off)
	return n, f.err("read", err)
}

func (f *rootFile) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	return n, f.err("write", err)
}

func (f *rootFile) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.err("write", syscall.EINVAL)
	}
	if f.append {
		return 0, f.err("write", errors.ErrUnsupported)
	}
	n, err := f.f.WriteAt(p, off)
	return n, f.err("write", err)
}

func (f *rootFile) Stat() (Info, error) {
	info, err := stat(f.f)
	return info, f.err("stat", err)
}

func (f *rootFile) Sync() error     { return f.err("sync", f.f.Sync()) }
func (f *rootFile) SyncData() error { return f.err("sync", f.f.Sync()) }

func (f *rootFile) Truncate(size int64) error { return f.err("truncate", f.f.Truncate(size)) }

// Allocate writes zeros behind the end. What is before it has its room, for
// files are not sparse here unless one asks for it.
func (f *rootFile) Allocate(size int64) error {
	st, err := f.f.Stat()
	if err != nil {
		return f.err("allocate", err)
	}
	zeros := make([]byte, 64<<10)
	for off := st.Size(); off < size; {
		b := zeros[:min(int64(len(zeros)), size-off)]
		var n int
		if f.append {
			n, err = f.f.Write(b)
		} else {
			n, err = f.f.WriteAt(b, off)
		}
		if err != nil {
			return f.err("allocate", err)
		}
		off += int64(n)
	}
	return nil
}

// TryLock locks one octet far behind the end of any file, since here a lock
// forbids reading what it covers.
func (f *rootFile) TryLock() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked {
		return true, nil
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.f.Fd()), flags, 0, 1, 0, &at)
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return false, nil
	}
	f.locked = err == nil
	return f.locked, f.err("lock", err)
}

func (f *rootFile) SetModTime(t time.Time) error {
	mtime := windows.NsecToFiletime(t.UnixNano())
	return f.err("chtimes", windows.SetFileTime(windows.Handle(f.f.Fd()), nil, nil, &mtime))
}

func (f *rootFile) Close() error { return f.err("close", f.f.Close()) }

func isNoSpace(err error) bool {
	switch err {
	case windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED, syscall.ENOSPC, syscall.EDQUOT:
		return true
	}
	return false
}
