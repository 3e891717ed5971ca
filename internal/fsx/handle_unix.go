//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fsx

import (
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// closed is set in handle.state by Close. The bits below count the calls that
// are using the descriptor.
const closed = 1 << 62

// A handle is a file descriptor that is closed once, and not while a call is
// using it, so that no call can hit a stranger's file under a number that was
// given out again.
type handle struct {
	fd    int
	state atomic.Int64
}

// acquire keeps the descriptor open until release.
func (h *handle) acquire() error {
	for {
		n := h.state.Load()
		if n&closed != 0 {
			return fs.ErrClosed
		}
		if h.state.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

func (h *handle) release() {
	if h.state.Add(-1) == closed {
		unix.Close(h.fd)
	}
}

// close closes the descriptor, or leaves that to the last call still using it.
// It returns fs.ErrClosed if that was done before.
func (h *handle) close() error {
	for {
		n := h.state.Load()
		if n&closed != 0 {
			return fs.ErrClosed
		}
		if !h.state.CompareAndSwap(n, n|closed) {
			continue
		}
		if n != 0 {
			return nil
		}
		// The descriptor is gone even after EINTR: never close twice.
		if err := unix.Close(h.fd); err != nil && err != unix.EINTR {
			return err
		}
		return nil
	}
}

// with calls f with the open descriptor, again as long as a signal interrupts it.
func (h *handle) with(f func(fd int) error) error {
	if err := h.acquire(); err != nil {
		return err
	}
	defer h.release()
	return retry(func() error { return f(h.fd) })
}

// retry calls f until no signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
