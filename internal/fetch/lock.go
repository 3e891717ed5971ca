package fetch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/postwain/postwain/internal/fsx"
)

// ErrLocked says that another fetcher has the journal of the mailbox; test with
// [errors.Is].
var ErrLocked = errors.New("another fetcher is at work on this mailbox")

// lock takes the lock of a journal, which is the flock on a file beside it: the
// journal itself is replaced now and then. unfinished says that whoever had the
// lock before was replacing it and never said that this was done.
func lock(dir fsx.Dir, name string) (f fsx.File, unfinished bool, err error) {
	// Someone may remove the file between opening and locking it.
	for range 8 {
		f, err := dir.OpenUpdate(name, filePerm)
		if err != nil {
			return nil, false, err
		}
		ok, unfinished, err := tryLock(dir, f, name)
		if ok && err == nil {
			return f, unfinished, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("%s is being replaced all the time", name)
}

// tryLock locks f. ok is false if that is not the file of the name any more.
func tryLock(dir fsx.Dir, f fsx.File, name string) (ok, unfinished bool, err error) {
	if ok, err = f.TryLock(); err != nil {
		return false, false, err
	}
	pid, unfinished, err := readHolder(f)
	if !ok {
		return false, false, fmt.Errorf("%w: %s is locked by process %s", ErrLocked, name, pid)
	}
	if err != nil {
		return false, false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, false, err
	}
	named, err := dir.Stat(name)
	if err != nil || named.Inode != mine.Inode {
		return false, false, err
	}
	return true, unfinished, writeHolder(f, unfinished)
}

const unfinishedMark = "replacing\n"

// writeHolder notes who has the lock, for others, and whether the journal is being
// replaced. This is not synced: it is for those who come before the power fails.
func writeHolder(f fsx.File, unfinished bool) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if unfinished {
		text += unfinishedMark
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// readHolder gives what writeHolder wrote, and "unknown" where a power cut has
// left something else.
func readHolder(f fsx.File) (pid string, unfinished bool, err error) {
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return "", false, err
	}
	pid, rest, _ := strings.Cut(string(b[:n]), "\n")
	if _, err := strconv.ParseUint(pid, 10, 32); err != nil {
		pid = "unknown"
	}
	return pid, rest == unfinishedMark, nil
}
