//go:build linux

package rig

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience bounds every wait for a daemon.
const patience = 30 * time.Second

// Daemon is a running server program.
type Daemon struct {
	name string
	cmd  *exec.Cmd
	log  string        // path of what it has written to its output
	done chan struct{} // closed when the first process has ended
}

// launch describes a program that tells through NOTIFY_SOCKET (sd_notify) when
// it is ready, which spares every sleep and every guess.
type launch struct {
	dir  string // for its socket and its log; must exist
	argv []string
	uid  uint32 // 0: root
}

func (l launch) start() (*Daemon, error) {
	name := filepath.Base(l.argv[0])
	socket := filepath.Join(l.dir, name+".notify")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer notify.Close()
	if err := os.Chmod(socket, 0o666); err != nil {
		return nil, err
	}
	d := &Daemon{name: name, log: filepath.Join(l.dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(d.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d.cmd = exec.Command(l.argv[0], l.argv[1:]...)
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = l.dir, out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if l.uid != 0 {
		d.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: l.uid, Gid: l.uid}
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.cmd.Wait() // the exit code says nothing that the log does not
		close(d.done)
		notify.Close() // ends a wait for readiness
	}()
	if err := awaitReady(notify); err != nil {
		return nil, errors.Join(fmt.Errorf("rig: %s did not become ready: %w\n%s", name, err, d.Log()), d.Kill())
	}
	return d, nil
}

func awaitReady(notify *net.UnixConn) error {
	if err := notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(buf[:n]) {
			if string(bytes.TrimSpace(line)) == "READY=1" {
				return nil
			}
		}
	}
}

// PID is the process id of the daemon's first process.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Log gives the end of what the daemon has written to its output so far.
func (d *Daemon) Log() string {
	data, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	const most = 8 << 10
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return strings.ToValidUTF8(string(data), "?")
}

// Signal sends a signal to the daemon's first process.
func (d *Daemon) Signal(s os.Signal) error { return d.cmd.Process.Signal(s) }

// Stop asks the daemon to end and waits until it has. It fails when the daemon
// has to be killed.
func (d *Daemon) Stop() error {
	if err := d.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("rig: %s ignored SIGTERM for %v", d.name, patience), d.Kill())
	}
}

// Kill ends the daemon's first process at once and waits until it is gone.
func (d *Daemon) Kill() error {
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-d.done
	return nil
}

// freePorts gives n ports of 127.0.0.1 that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // at the end, so that no port comes twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
