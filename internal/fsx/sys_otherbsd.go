//go:build dragonfly || freebsd || netbsd || openbsd

package fsx

import (
	"errors"

	"golang.org/x/sys/unix"
)

// errLink is what FreeBSD's open with O_NOFOLLOW answers to a link. NetBSD's
// answer is not in the standards, and is caught after the open.
const errLink = unix.EMLINK

func syncFile(fd int) error { return unix.Fsync(fd) }
func syncData(fd int) error { return unix.Fsync(fd) }

// renameNoReplace is not a call of these systems.
func renameNoReplace(int, string, int, string) error { return errors.ErrUnsupported }
