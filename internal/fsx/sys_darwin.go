package fsx

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isLink tells whether an open with O_NOFOLLOW met a link.
func isLink(err error) bool { return err == unix.ELOOP }

// syncFile empties the cache of the drive too, where the file system can.
func syncFile(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	if err == unix.ENOTSUP || err == unix.EINVAL || err == unix.ENOTTY {
		return unix.Fsync(fd)
	}
	return err
}

func syncData(fd int) error { return syncFile(fd) }

// renameNoReplace returns an error that is ErrUnsupported where the file
// system does not know how.
func renameNoReplace(from int, name string, to int, as string) error {
	err := unix.RenameatxNp(from, name, to, as, unix.RENAME_EXCL)
	if err == unix.ENOTSUP || err == unix.EINVAL {
		return errors.ErrUnsupported
	}
	return err
}
