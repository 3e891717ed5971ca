package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// What is allowed. Mail is moved from one directory to another, which needs
// the right to refer (Linux 5.19).
const (
	readFile  = ll.AccessFSReadFile
	writeFile = readFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	readDir   = readFile | ll.AccessFSReadDir
	writeDir  = writeFile | readDir | ll.AccessFSRefer | ll.AccessFSRemoveDir | ll.AccessFSRemoveFile |
		ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym
)

// leastABI is the first that lets a process move files between directories
// while it is confined. With less nothing could be delivered.
const leastABI = 2

// Confine confines the process, all its threads and all that it starts from now
// on, for good. Files that paths does not allow cannot be opened, made or
// removed by name, as far as the kernel's Landlock goes; there is no privilege
// to be gained by starting a program, so what needs a set-user-id program must
// have started it before. Sockets are not confined.
//
// A kernel without Landlock is no error: the report says what holds. An error
// is a path that is there and cannot be looked at, or a kernel that refuses what
// it says it can; the report says what holds nevertheless.
func Confine(paths Paths) (Report, error) {
	var r Report
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		r.Why = "the process may gain privileges"
		return r, fmt.Errorf("sandbox: no_new_privs: %w", err)
	}
	r.NoNewPrivs = true
	abi, err := ll.LandlockGetABIVersion()
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		r.Why = "Landlock is not among the kernel's security modules (lsm=)"
		return r, nil
	case err != nil:
		r.Why = "the kernel has no Landlock"
		return r, nil
	case abi < leastABI:
		r.Why = fmt.Sprintf("the kernel's Landlock %d cannot move files", abi)
		return r, nil
	}
	rules, err := r.rules(paths)
	if err != nil {
		r.Why = "a path cannot be looked at"
		return r, err
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		r.Why = "the kernel refuses"
		return r, fmt.Errorf("sandbox: %w", err)
	}
	r.Landlock = abi
	return r, nil
}

// rules are the paths that are there.
func (r *Report) rules(paths Paths) ([]landlock.Rule, error) {
	var all []landlock.Rule
	for _, kind := range []struct {
		paths     []string
		dir, file landlock.AccessFSSet
	}{
		{paths.Read, readDir, readFile},
		{paths.Write, writeDir, writeFile},
		{paths.Run, readDir | ll.AccessFSExecute, readFile | ll.AccessFSExecute},
	} {
		for _, path := range kind.paths {
			real, dir, err := resolve(path)
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
				r.Absent = append(r.Absent, path)
			case err != nil:
				return nil, fmt.Errorf("sandbox: %w", err)
			case dir:
				all = append(all, landlock.PathAccess(kind.dir, real).IgnoreIfMissing())
			default:
				all = append(all, landlock.PathAccess(kind.file, real).IgnoreIfMissing())
			}
		}
	}
	return all, nil
}

// resolve gives what a path stands for, and whether that is a directory.
func resolve(path string) (real string, dir bool, err error) {
	if real, err = filepath.EvalSymlinks(path); err != nil {
		return "", false, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", false, err
	}
	if info.Mode().IsRegular() {
		return filepath.Dir(real), true, nil
	}
	return real, info.IsDir(), nil
}
