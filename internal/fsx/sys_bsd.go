//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package fsx

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// allocate leaves the work to the caller: no call of these systems promises
// what [File.Allocate] does.
func allocate(int, int64) error { return errors.ErrUnsupported }

// syncDisk has no call of these systems: sync tells of no failure.
func syncDisk(int) error { return errors.ErrUnsupported }

func setModTime(fd int, t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Futimes(fd, []unix.Timeval{tv, tv})
}

// namesAtOnce is how many names are asked for in one call.
const namesAtOnce = 1024

// readNames yields the names in the directory fd. It reports whether yield
// wants more.
func readNames(fd int, yield func(string, error) bool) (more bool, err error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return true, err
	}
	f := os.NewFile(uintptr(own), "")
	defer f.Close()
	for {
		names, err := f.Readdirnames(namesAtOnce)
		for _, name := range names {
			if !yield(name, nil) {
				return false, nil
			}
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return true, err
		}
	}
}
