package listen

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Passed is a listening socket that the service manager has opened.
type Passed struct {
	Name string // its FileDescriptorName; "" if it has none
	net.Listener
}

// firstPassed is the number of the first descriptor that systemd passes.
const firstPassed = 3

// Activated gives the sockets that systemd has passed to this process
// (sd_listen_fds(3)), and none if it has passed none. getenv is os.Getenv. The
// descriptors are taken: it may be called once.
func Activated(getenv func(string) string) ([]Passed, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	count, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || count < 0 || count > 1000 {
		return nil, fmt.Errorf("listen: LISTEN_FDS=%q is no number of sockets", getenv("LISTEN_FDS"))
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	var all []Passed
	for i := range count {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		l, err := adopt(firstPassed+i, name)
		if err != nil {
			for _, p := range all {
				_ = p.Close()
			}
			return nil, err
		}
		all = append(all, Passed{name, l})
	}
	return all, nil
}

// adopt makes a listener of a descriptor.
func adopt(fd int, name string) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return nil, fmt.Errorf("listen: socket %d (%s) was announced by the service manager and is not there", fd, name)
	}
	defer file.Close() // FileListener works on a copy
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listen: socket %d (%s) of the service manager: %w", fd, name, err)
	}
	if tcp, ok := l.(*net.TCPListener); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = control(raw) // an MPTCP socket, for one, cannot have them all
		}
	}
	return l, nil
}
