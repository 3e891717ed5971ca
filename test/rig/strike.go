//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// KillChildren kills with SIGKILL all processes that the daemon has started
// and whose program has the name, and says how many there were.
func (d *Daemon) KillChildren(name string) (int, error) {
	pids, err := d.Processes()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, pid := range pids {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || strings.TrimSpace(string(comm)) != name {
			continue // another one, or one that has ended meanwhile
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return n, err
		}
		n++
	}
	return n, nil
}
