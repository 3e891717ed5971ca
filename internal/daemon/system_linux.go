package daemon

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// private makes new files the server's own (faults 121).
func private() { unix.Umask(0o077) }

// writable reports whether this process may make files in a directory.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

// openFiles is how many files this process may have open.
func openFiles() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || r.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(r.Cur)
}

// monotonic is the clock that systemd compares reloads by.
func monotonic() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// limitMemory keeps the collector below what the control group allows, unless
// GOMEMLIMIT says something else.
func limitMemory(getenv func(string) string) {
	if getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := cgroupLimit("/sys/fs/cgroup", "/proc/self/cgroup"); limit < math.MaxInt64 {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// cgroupLimit gives the least memory.max of the process's control group and
// those above it (version 2).
func cgroupLimit(root, self string) int64 {
	least := int64(math.MaxInt64)
	data, err := os.ReadFile(self)
	if err != nil {
		return least
	}
	_, group, found := strings.Cut(string(data), "0::")
	if !found {
		return least
	}
	group, _, _ = strings.Cut(group, "\n")
	for dir := filepath.Join("/", group); ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(root, dir, "memory.max"))
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil {
			least = min(least, n)
		}
		if dir == "/" {
			return least
		}
	}
}
