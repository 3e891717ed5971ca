//go:build dragonfly || freebsd || netbsd || openbsd

package fsx

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isLink tells whether an open with O_NOFOLLOW met a link. POSIX, FreeBSD and
// NetBSD have each their own error for that.
func isLink(err error) bool {
	return err == unix.ELOOP || err == unix.EMLINK || err == unix.EFTYPE
}

func syncFile(fd int) error { return unix.Fsync(fd) }
func syncData(fd int) error { return unix.Fsync(fd) }

// renameNoReplace is not a call of these systems.
func renameNoReplace(int, string, int, string) error { return errors.ErrUnsupported }
