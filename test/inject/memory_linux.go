package inject

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// groups is where the kernel keeps groups of processes with a limit of memory.
const groups = "/sys/fs/cgroup/memory"

func needsGroups() error {
	if err := needs(); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(groups, "memory.limit_in_bytes"))
	return err
}

// starve gives the server less and less of the memory that it wants from now on,
// until the kernel kills it.
func starve(p *rig.Postwain, _ *rand.Rand) (err error) {
	group := filepath.Join(groups, "postwain-"+strconv.Itoa(p.PID()))
	if err := os.Mkdir(group, 0o700); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, p.Kill(), os.Remove(group)) // it is dead by then, if all went well
	}()
	write := func(name string, value int64) error {
		return os.WriteFile(filepath.Join(group, name), []byte(strconv.FormatInt(value, 10)), 0)
	}
	if err := write("cgroup.procs", int64(p.PID())); err != nil {
		return err
	}
	tick, limit := time.NewTicker(5*time.Millisecond), time.NewTimer(20*time.Second)
	defer tick.Stop()
	defer limit.Stop()
	for left := int64(4 << 20); ; left = left * 9 / 10 { // what it had before does not count
		if dead(p.PID()) {
			return nil
		}
		if err := write("memory.limit_in_bytes", left); err != nil && !errors.Is(err, syscall.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-limit.C:
			usage, _ := os.ReadFile(filepath.Join(group, "memory.usage_in_bytes")) // for the message only
			return fmt.Errorf("inject: the server lives with %d octets, and uses %s", left, strings.TrimSpace(string(usage)))
		}
	}
}

func dead(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
