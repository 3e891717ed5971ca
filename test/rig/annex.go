//go:build linux

package rig

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Annex is this machine with more of Debian's packages on it, but only for the
// programs that run in the annex: a file system laid over the machine's own.
// Packages may be in it that exclude each other, and programs that want to find
// their things in /etc and /var find them there.
type Annex struct {
	disk    *Disk
	root    string
	mounts  []string // in the order in which they were made
	inetd   []net.Listener
	serving sync.WaitGroup
}

// NewAnnex makes an annex with packages, whose dependencies must be among them
// or on the machine. Their installation scripts are not run.
func NewAnnex(packages ...string) (*Annex, error) {
	disk, err := NewDisk(1 << 30)
	if err != nil {
		return nil, err
	}
	a := &Annex{disk: disk, root: filepath.Join(disk.Mount, "root")}
	if err := errors.Join(a.mount(), a.install(packages)); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Annex) mount() error {
	upper, work := filepath.Join(a.disk.Mount, "upper"), filepath.Join(a.disk.Mount, "work")
	for _, dir := range []string{a.root, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		source, target, kind, options string
		flags                         uintptr
	}{
		{"overlay", a.root, "overlay", "lowerdir=/,upperdir=" + upper + ",workdir=" + work, 0},
		{"/dev", a.Path("dev"), "", "", unix.MS_BIND},
		{"proc", a.Path("proc"), "proc", "", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			return os.NewSyscallError("mount "+m.target, err)
		}
		a.mounts = append(a.mounts, m.target)
	}
	return nil
}

func (a *Annex) install(packages []string) error {
	dir := filepath.Join(a.disk.Mount, "packages")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	get := exec.Command("apt-get", append([]string{"-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download"}, packages...)...)
	get.Dir = dir
	if out, err := get.CombinedOutput(); err != nil {
		return fmt.Errorf("rig: apt-get download: %w\n%s", err, out)
	}
	// dpkg -x would put a directory in the place of the link /lib.
	unpack := exec.Command("sh", "-ec", `for p in *.deb; do dpkg-deb --fsys-tarfile "$p" | tar --extract --keep-directory-symlink --directory "$0"; done`, a.root)
	unpack.Dir = dir
	if out, err := unpack.CombinedOutput(); err != nil {
		return fmt.Errorf("rig: unpacking: %w\n%s", err, out)
	}
	return a.Run("ldconfig")
}

// Path gives the path, seen from outside, of what has the path in the annex.
func (a *Annex) Path(path string) string { return filepath.Join(a.root, path) }

// Command gives a command that runs in the annex, as root. Its working
// directory is the root directory.
func (a *Annex) Command(argv ...string) *exec.Cmd {
	// env looks the program up when the root directory has changed.
	cmd := exec.Command("/usr/bin/env", append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, argv...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: a.root, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs a command to its end.
func (a *Annex) Run(argv ...string) error {
	if out, err := a.Command(argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("rig: %s: %w\n%s", argv[0], err, out)
	}
	return nil
}

// Start starts a daemon and waits until somebody listens on an address of the
// network "unix", as seen in the annex, or "tcp".
func (a *Annex) Start(network, address string, argv ...string) error {
	if network == "unix" {
		address = a.Path(address)
	}
	cmd := a.Command(argv...)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	a.serving.Go(func() {
		cmd.Wait() // Close kills it
		close(ended)
	})
	tick, limit := time.NewTicker(20*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer limit.Stop()
	for {
		if conn, err := net.Dial(network, address); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("rig: %s has ended", argv[0])
		case <-limit.C:
			return fmt.Errorf("rig: %s does not listen on %s", argv[0], address)
		}
	}
}

// Inetd runs a command for each connection to a port of 127.0.0.1, which it
// has as its standard input and output, and gives the port.
func (a *Annex) Inetd(argv ...string) (port int, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	a.inetd = append(a.inetd, l)
	a.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			a.serving.Go(func() {
				a.serve(conn.(*net.TCPConn), argv)
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (a *Annex) serve(conn *net.TCPConn, argv []string) {
	f, err := conn.File()
	conn.Close()
	if err != nil {
		return
	}
	defer f.Close()
	cmd := a.Command(argv...)
	cmd.Stdin, cmd.Stdout = f, f
	cmd.Run() // whoever connected sees how it ends
}

// Close kills what runs in the annex and removes it.
func (a *Annex) Close() error {
	for _, l := range a.inetd {
		l.Close()
	}
	err := a.empty()
	a.serving.Wait()
	for _, m := range slices.Backward(a.mounts) {
		err = errors.Join(err, unmount(m))
	}
	return errors.Join(err, a.disk.Close())
}

// empty kills every process whose root directory is the annex's.
func (a *Annex) empty() error {
	tick, limit := time.NewTicker(10*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer limit.Stop()
	for {
		roots, err := filepath.Glob("/proc/[0-9]*/root")
		if err != nil {
			return err
		}
		found := 0
		for _, r := range roots {
			if root, err := os.Readlink(r); err != nil || root != a.root {
				continue // another one, or one that has ended
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(r)))
			if err != nil {
				return err
			}
			found++
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				return err
			}
		}
		if found == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return fmt.Errorf("rig: %d processes in %s cannot be killed", found, a.root)
		}
	}
}
