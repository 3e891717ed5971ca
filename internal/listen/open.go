package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// A dead peer is noticed within two minutes: an idle one by keepalive, one
// that owes us an acknowledgement by the user timeout.
const (
	keepIdle     = 30 * time.Second
	keepInterval = 15 * time.Second
	deadAfter    = 105 * time.Second
)

// Socket is what Open makes.
type Socket struct {
	Network string      // "tcp" or "unix"
	Address string      // host:port, or a path
	Mode    fs.FileMode // of a Unix socket
	Group   string      // that owns a Unix socket; empty: the process's own
}

// Open listens. Its errors say who has the address, where that can be known,
// and what to do.
func Open(ctx context.Context, s Socket) (net.Listener, error) {
	if s.Network == "unix" {
		return openUnix(ctx, s)
	}
	// The accepted sockets inherit these options on Linux: setting them once
	// here saves four system calls for each connection.
	config := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error { return control(c) }}
	config.SetMultipathTCP(false)
	l, err := config.Listen(ctx, family(s.Address), s.Address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen: %s is taken%s; stop that program or choose another port", s.Address, holder(s.Address))
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen: %s: ports below 1024 are not open to this user; "+
			"let systemd pass the socket, or give the program CAP_NET_BIND_SERVICE", s.Address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen: %s: this machine does not have that address", s.Address)
	}
	return nil, fmt.Errorf("listen: %w", err)
}

// family makes 0.0.0.0 mean IPv4 and [::] mean IPv6, as they say, so that both
// can be at one port. An empty host is both.
func family(address string) string {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Is4():
		return "tcp4"
	}
	return "tcp6"
}

// control sets the options of a listening socket.
func control(c syscall.RawConn) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = setOptions(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func openUnix(ctx context.Context, s Socket) (net.Listener, error) {
	if err := clear(ctx, s.Address); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", s.Address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w; its directory must be there and writable", err)
	}
	if err := own(s); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// clear removes a socket that a crash has left. It removes nothing else.
func clear(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen: %s is there and is no socket; move it away or choose another path", path)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("listen: %s is served by another program; stop that program or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// own gives a Unix socket its group and mode, in this order: nobody may
// connect who may not in the end.
func own(s Socket) error {
	if s.Group != "" {
		group, err := user.LookupGroup(s.Group)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(group.Gid)
		if err != nil {
			return fmt.Errorf("group %s: %w", s.Group, err)
		}
		if err := os.Chown(s.Address, -1, gid); err != nil {
			return fmt.Errorf("%w; the server's user must be a member of group %s", err, s.Group)
		}
	}
	return os.Chmod(s.Address, s.Mode)
}
