package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/pop3server"
)

// start opens everything and lets connections in. It tells all that fails.
func (d *Daemon) start(ctx context.Context) error {
	var wrong []error
	note := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	note(checkLegacy(d.config))
	note(d.openTLS(ctx, d.config))
	note(makeState(d.config.StateDir))
	var err error
	d.accounts, err = d.openAccounts(ctx, d.config)
	note(err)
	if err == nil {
		d.tickets, err = d.openTickets(d.config, d.accounts, nil)
		note(err)
	}
	d.store, err = openStore(ctx, d.config, d.log.Logger)
	note(err)
	sockets, err := d.openSockets(ctx, d.config.Listen)
	note(err)
	if len(wrong) > 0 {
		for _, s := range sockets {
			_ = s.Close()
		}
		if d.accounts != nil {
			note(d.accounts.close())
		}
		note(d.closeTLS())
		if d.store != nil {
			note(d.store.Close())
		}
		return errors.Join(wrong...)
	}
	d.limiter = listen.NewLimiter(d.limits())
	d.room = &room{files: openFiles(), connections: d.limiter.Open}
	d.sessions = pop3server.NewSessions(d.config.Limits.SessionsPerAccount)
	d.failed = make(chan error, 1)
	for i, l := range d.config.Listen {
		d.doors = append(d.doors, d.newDoor(l, sockets[i]))
	}
	for _, n := range d.doors {
		d.serve(n)
	}
	return d.manageTLS(ctx, d.config)
}

// openSockets opens a socket for each listener, in their order, and takes what
// systemd has passed. It opens all or none.
func (d *Daemon) openSockets(ctx context.Context, all []config.Listen) ([]net.Listener, error) {
	passed, err := listen.Activated(d.options.Getenv)
	if err != nil {
		return nil, err
	}
	sockets := make([]net.Listener, len(all))
	var wrong []error
	for _, p := range passed {
		i := match(p, all, sockets)
		if i < 0 {
			wrong = append(wrong, fmt.Errorf("the service manager has passed %s (%s), which no [[listen]] describes", p.Addr(), p.Name))
			_ = p.Close()
			continue
		}
		sockets[i] = p.Listener
	}
	for i, l := range all {
		if sockets[i] == nil {
			s, err := listen.Open(ctx, socket(l))
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			sockets[i] = s
		}
	}
	if len(wrong) == 0 {
		return sockets, nil
	}
	for _, s := range sockets {
		if s != nil {
			_ = s.Close()
		}
	}
	return nil, errors.Join(wrong...)
}

// match finds the listener that a passed socket is for: the one of its
// address; or else the first without a socket that is for all addresses at the
// same port, as the manager opens [::] for both families; or else the first
// whose protocol is its name.
func match(p listen.Passed, all []config.Listen, taken []net.Listener) int {
	for _, fits := range []func(config.Listen) bool{
		func(l config.Listen) bool { return sameAddress(l.Addr, p.Addr()) },
		func(l config.Listen) bool { return everywhere(l.Addr, p.Addr()) },
		func(l config.Listen) bool { return string(l.Proto) == p.Name },
	} {
		for i, l := range all {
			if taken[i] == nil && fits(l) {
				return i
			}
		}
	}
	return -1
}

// everywhere reports whether a and b are both for all addresses of the machine
// at one port.
func everywhere(a config.Addr, b net.Addr) bool {
	host, port, err := net.SplitHostPort(a.Address)
	at, ok := b.(*net.TCPAddr)
	return err == nil && ok && a.Network == "tcp" && (host == "0.0.0.0" || host == "::") &&
		at.IP.IsUnspecified() && port == strconv.Itoa(at.Port)
}

func sameAddress(a config.Addr, b net.Addr) bool {
	if a.Network != b.Network() {
		return false
	}
	if a.Network == "unix" {
		return a.Address == b.String()
	}
	tcp, err := net.ResolveTCPAddr("tcp", a.Address)
	at, ok := b.(*net.TCPAddr)
	if err != nil || !ok || tcp.Port != at.Port {
		return false
	}
	return tcp.IP.Equal(at.IP) || len(tcp.IP) == 0 && at.IP.IsUnspecified()
}

// mailRoot is the last directory of a template that is the same for all
// accounts.
func mailRoot(template string) string {
	before, _, _ := strings.Cut(template, "%")
	return filepath.Dir(before + "x")
}

// checkRoot makes sure that mail can be kept below root. It does not make it:
// a disk that is not mounted must not look like an empty one.
func checkRoot(root string) error {
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("mail.path: %s is not there; make the directory, or mount its disk", root)
	case err != nil:
		return fmt.Errorf("mail.path: %w", err)
	case !info.IsDir():
		return fmt.Errorf("mail.path: %s is no directory", root)
	}
	if err := writable(root); err != nil {
		return fmt.Errorf("mail.path: %s cannot be written by this user (%d): %w; give it to the user of the server by chown", root, os.Geteuid(), err)
	}
	return nil
}
