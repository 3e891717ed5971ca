//go:build linux

package rig

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat (sysconf(_SC_CLK_TCK), which
// is 100 on every Linux that Go runs on).
const tick = 10 * time.Millisecond

// stat is what this package reads of /proc/PID/stat.
type stat struct {
	pid, parent int
	cpu         time.Duration // own and of children that were waited for
}

// Processes lists the daemon's first process and all that descend from it.
func (d *Daemon) Processes() ([]int, error) {
	tree, err := d.tree()
	if err != nil {
		return nil, err
	}
	pids := make([]int, len(tree))
	for i, s := range tree {
		pids[i] = s.pid
	}
	return pids, nil
}

// CPU is the processor time, user and system, that the daemon and everything
// that it has started have used so far.
func (d *Daemon) CPU() (time.Duration, error) {
	tree, err := d.tree()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, s := range tree {
		sum += s.cpu
	}
	return sum, nil
}

// Memory is the proportional set size of all the daemon's processes in octets:
// pages that several processes share are counted once.
func (d *Daemon) Memory() (int64, error) {
	tree, err := d.tree()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range tree {
		n, err := proportional(s.pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (d *Daemon) tree() ([]stat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]stat{}
	var tree []stat
	for _, path := range paths {
		s, err := readStat(path)
		if err != nil {
			continue // it has ended since the directory was read
		}
		if s.pid == d.PID() {
			tree = append(tree, s)
		}
		children[s.parent] = append(children[s.parent], s)
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("rig: %s has ended\n%s", d.name, d.Log())
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree, nil
}

func readStat(path string) (stat, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	// The name in parentheses may hold anything; what follows has fixed places.
	text := string(data)
	pid, _, _ := strings.Cut(text, " ")
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 15 {
		return stat{}, fmt.Errorf("rig: %s: %q", path, text)
	}
	var s stat
	if s.pid, err = strconv.Atoi(pid); err != nil {
		return stat{}, err
	}
	if s.parent, err = strconv.Atoi(f[1]); err != nil {
		return stat{}, err
	}
	for _, field := range f[11:15] { // utime stime cutime cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return stat{}, err
		}
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

func proportional(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("rig: no Pss of process %d", pid)
}
