package listen

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setOptions makes the kernel notice dead peers. It sets what it can.
func setOptions(fd int) error {
	var failed []error
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepIdle / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepInterval / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter / time.Millisecond)},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			failed = append(failed, os.NewSyscallError("setsockopt", err))
		}
	}
	return errors.Join(failed...)
}
