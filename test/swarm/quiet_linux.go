package swarm

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// mostOthers is the part of one processor that programs outside of the rig may
// take while times are measured: beyond it they are theirs.
const mostOthers = 0.1

// watch begins to count the processor time of everybody. Its end gives the part
// of one processor that went to others than the server and this program.
func watch(server *rig.Daemon) (end func() (others float64, err error), err error) {
	began := time.Now()
	before, err := strange(server)
	if err != nil {
		return nil, err
	}
	return func() (float64, error) {
		after, err := strange(server)
		return float64(after-before) / float64(time.Since(began)), err
	}, nil
}

// strange is the processor time of all that is not the rig, since some moment.
func strange(server *rig.Daemon) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system int64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d", &user, &nice, &system); err != nil {
		return 0, fmt.Errorf("swarm: /proc/stat begins %.40q: %w", strings.TrimSpace(string(text)), err)
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, err
	}
	its, err := server.CPU()
	if err != nil {
		return 0, err
	}
	ours := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return time.Duration(user+nice+system)*tick - ours - its, nil
}
