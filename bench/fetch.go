//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postwain/postwain/test/rig"
)

// usage is what a run took.
type usage struct {
	seconds float64
	memory  float64 // MiB, at its most
}

// fetch lets a fetcher bring the messages of a box into a new Maildir, over a
// link of some length, and looks whether they have come. They stay on the
// server, so that the next one finds them there.
func (b *bed) fetch(f rig.Fetcher, x *box, roundTrip time.Duration) (u usage, err error) {
	h := rig.Haul{
		Port: b.dovecot().POP3, Account: x.account, Keep: true,
		LMTP: b.dovecot().LMTP, Recipient: account("fetched", 0), Maildir: b.space.Maildir(account("fetched", 0)),
	}
	if roundTrip > 0 {
		link, err := rig.NewLink("127.0.0.1", h.Port, roundTrip)
		if err != nil {
			return u, err
		}
		defer link.Close()
		h.Port = link.Port
	}
	if err := rig.MakeMaildir(h.Maildir); err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.Maildir)) }()
	if h.State, err = os.MkdirTemp(b.space.Dir, "state-"); err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.State)) }()
	cmd, err := f.Command(h)
	if err != nil {
		return u, err
	}
	if u, err = measureCommand(cmd, f.Done); err != nil {
		return u, err
	}
	return u, x.compare(h.Maildir)
}

// measureCommand runs a command. Nothing that was written before has to be
// written meanwhile.
func measureCommand(cmd *exec.Cmd, done func(code int) bool) (u usage, err error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	unix.Sync()
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // the exit code is asked for below
		close(ended)
	}()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-tick.C:
			if m, err := mostMemory(cmd.Process.Pid); err == nil { // else it has just ended
				u.memory = m
			}
			continue
		case <-ended:
			tick.Stop()
		}
		break
	}
	u.seconds = time.Since(begin).Seconds()
	if code := cmd.ProcessState.ExitCode(); !done(code) {
		return u, fmt.Errorf("%s: exit code %d\n%s", cmd.Path, code, out.String())
	}
	return u, nil
}

// mostMemory is the most memory in MiB that a process had so far. What wait4
// tells afterwards would count the memory of bench itself, from which it was
// forked.
func mostMemory(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(v)[0])
			return float64(kib) / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}

// plainLoop is how many seconds it takes to write the messages of a box into a
// Maildir, as many at a time as there are workers: each is written, synced and
// renamed, and in the end the directory is synced. If beside is not nil, it runs
// at the same time, and the time is until both are over.
func (b *bed) plainLoop(x *box, workers int, beside func() error) (seconds float64, err error) {
	paths, err := filepath.Glob(filepath.Join(b.space.Maildir(x.account), "cur", "*"))
	if err != nil {
		return 0, err
	}
	messages := make([][]byte, len(paths))
	for i, p := range paths {
		if messages[i], err = os.ReadFile(p); err != nil {
			return 0, err
		}
	}
	dir := b.space.Maildir(account("fetched", 0))
	if err := rig.MakeMaildir(dir); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	unix.Sync()
	begin := time.Now()
	other := make(chan error, 1)
	go func() {
		if beside == nil {
			beside = func() error { return nil }
		}
		other <- beside()
	}()
	err = inParallel(workers, len(messages), func(i int) error {
		return writeDurably(filepath.Join(dir, "tmp", fmt.Sprint(i)), filepath.Join(dir, "new", fmt.Sprint(i)), messages[i])
	})
	if err == nil {
		err = syncDir(filepath.Join(dir, "new"))
	}
	if err = errors.Join(err, <-other); err != nil {
		return 0, err
	}
	return time.Since(begin).Seconds(), nil
}

func writeDurably(tmp, path string, data []byte) error {
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
