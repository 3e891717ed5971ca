//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// steps are the system calls that leave a trace outside a process, as Go
// programs make them.
var steps = []uint64{
	unix.SYS_OPENAT, unix.SYS_MKDIRAT, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_WRITEV,
	unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
	unix.SYS_LINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT,
	unix.SYS_CONNECT, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SHUTDOWN, unix.SYS_EXIT_GROUP,
}

// KillAt runs a command and kills it with SIGKILL in front of its step number
// n, so that n-1 have been done: a system call, of any of its threads, that
// leaves a trace outside. It gives the exit code, or -1 if n was reached. The
// output of the command must go to a file or nowhere.
//
// strace cannot do this: it counts the calls of each thread for itself.
func KillAt(cmd *exec.Cmd, n int) (code int, err error) {
	runtime.LockOSThread() // only the thread that started it may trace it
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer cmd.Process.Release() // it is waited for below
	t := tracer{pid: cmd.Process.Pid, n: n, entered: map[int]bool{}}
	code, err = t.run()
	if err != nil {
		err = fmt.Errorf("rig: tracing %s: %w", cmd.Path, errors.Join(err, t.end()))
	}
	return code, err
}

type tracer struct {
	pid     int
	n, done int
	entered map[int]bool // threads that have been seen to stop
}

const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

func (t *tracer) run() (code int, err error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, 0, nil); err != nil { // stopped by its exec
		return 0, err
	}
	if err := unix.PtraceSetOptions(t.pid, traceOptions); err != nil {
		return 0, err
	}
	t.entered[t.pid] = true
	thread := t.pid
	signal := 0
	for {
		if err := unix.PtraceSyscall(thread, signal); err != nil && err != unix.ESRCH {
			return 0, err
		}
		if thread, err = unix.Wait4(-t.pid, &status, unix.WALL, nil); err != nil {
			return 0, err
		}
		if thread == t.pid && status.Exited() {
			return status.ExitStatus(), nil
		}
		if thread == t.pid && status.Signaled() {
			return 0, fmt.Errorf("it ended by %v", status.Signal())
		}
		if signal, err = t.stopped(thread, status); err != nil {
			return 0, err
		}
		if t.n > 0 && t.done == t.n {
			return -1, t.end()
		}
	}
}

// stopped looks at what a thread stands still for, and gives the signal that
// it is to get when it goes on.
func (t *tracer) stopped(thread int, status unix.WaitStatus) (signal int, err error) {
	first := !t.entered[thread]
	t.entered[thread] = true
	switch {
	case !status.Stopped():
		return 0, nil
	case status.StopSignal() == unix.SIGTRAP|0x80:
		call, entering, err := systemCall(thread)
		if entering && slices.Contains(steps, call) {
			t.done++
		}
		return 0, err
	case status.StopSignal() == unix.SIGTRAP:
		return 0, nil // one of the events of traceOptions
	case first && status.StopSignal() == unix.SIGSTOP:
		return 0, nil // how a new thread begins
	default:
		return int(status.StopSignal()), nil
	}
}

// end kills what is traced and waits until nothing of it is left.
func (t *tracer) end() error {
	if err := unix.Kill(t.pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return err
	}
	for {
		_, err := unix.Wait4(-t.pid, nil, unix.WALL, nil)
		switch {
		case err == unix.ECHILD:
			return nil
		case err != nil && err != unix.EINTR:
			return err
		}
	}
}

// systemCall asks which system call a thread stands at, and whether it is in
// front of it.
func systemCall(thread int) (number uint64, entering bool, err error) {
	var info struct { // struct ptrace_syscall_info
		op     uint8
		_      [3]uint8
		_      uint32
		_, _   uint64
		number uint64
		_      [6]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno == unix.ESRCH {
		return 0, false, nil // it was killed meanwhile
	}
	if errno != 0 {
		return 0, false, errno
	}
	const entry = 1 // PTRACE_SYSCALL_INFO_ENTRY
	return info.number, info.op == entry, nil
}
