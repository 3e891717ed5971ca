package fsx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// isLink tells whether an open with O_NOFOLLOW met a link.
func isLink(err error) bool { return err == unix.ELOOP }

func syncFile(fd int) error { return unix.Fsync(fd) }
func syncData(fd int) error { return unix.Fdatasync(fd) }

// syncDisk is syncfs, which tells of failures since Linux 5.8: of those since fd
// was opened. Where data goes over a network or through another program, it is
// not known what it does.
func syncDisk(fd int) error {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(fd, &disk); err != nil {
		return err
	}
	switch int64(disk.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		return errors.ErrUnsupported
	}
	if !kernelSince(5, 8) {
		return errors.ErrUnsupported
	}
	return unix.Syncfs(fd)
}

// kernelSince says that the kernel is of a version or a later one.
func kernelSince(major, minor int) bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

func allocate(fd int, size int64) error { return unix.Fallocate(fd, 0, 0, size) }

// renameNoReplace returns an error that is ErrUnsupported where the file
// system or the kernel does not know how.
func renameNoReplace(from int, name string, to int, as string) error {
	err := unix.Renameat2(from, name, to, as, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL {
		return errors.ErrUnsupported
	}
	return err
}

// setModTime is futimens, which the kernel calls utimensat without a path.
func setModTime(fd int, t time.Time) error {
	mtime, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Sizes of the buffer for getdents64: enough for most directories at once, and
// what is taken once a directory proves to be larger.
const (
	smallList = 16 << 10
	largeList = 256 << 10
)

// readNames yields the names in the directory fd. It reports whether yield
// wants more.
//
// The names of one call of the kernel share one string: one allocation for
// some hundreds or thousands of names.
func readNames(fd int, yield func(string, error) bool) (more bool, err error) {
	buf := make([]byte, smallList)
	var ends []int
	for {
		var n int
		err := retry(func() error {
			n, err = unix.Getdents(fd, buf)
			return err
		})
		if err != nil || n <= 0 {
			return true, err
		}
		var all string
		all, ends = takeNames(buf[:n], ends[:0])
		start := 0
		for _, end := range ends {
			if !yield(all[start:end], nil) {
				return false, nil
			}
			start = end
		}
		if n > smallList-512 && len(buf) < largeList {
			buf = make([]byte, largeList)
		}
	}
}

// takeNames gives the names in the records of getdents64, one after the other,
// and where each ends. It moves them together in buf.
func takeNames(buf []byte, ends []int) (string, []int) {
	const (
		reclen = int(unsafe.Offsetof(unix.Dirent{}.Reclen))
		first  = int(unsafe.Offsetof(unix.Dirent{}.Name))
	)
	n := 0
	for rest := buf; len(rest) > first; {
		size := min(int(binary.NativeEndian.Uint16(rest[reclen:])), len(rest))
		if size <= first {
			break
		}
		name := rest[first:size]
		rest = rest[size:]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if string(name) == "." || string(name) == ".." {
			continue
		}
		n += copy(buf[n:], name)
		ends = append(ends, n)
	}
	return string(buf[:n]), ends
}
