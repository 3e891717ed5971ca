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
// journal itself is replaced now and then. before is who had the lock, and has
// not left it well.
func lock(dir fsx.Dir, name string) (f fsx.File, before holder, err error) {
	// Someone may remove the file between opening and locking it.
	for range 8 {
		f, err := dir.OpenUpdate(name, filePerm)
		if err != nil {
			return nil, holder{}, err
		}
		ok, before, err := tryLock(dir, f, name)
		if ok && err == nil {
			return f, before, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, holder{}, err
		}
	}
	return nil, holder{}, fmt.Errorf("%s is being replaced all the time", name)
}

// tryLock locks f. ok is false if that is not the file of the name any more.
func tryLock(dir fsx.Dir, f fsx.File, name string) (ok bool, before holder, err error) {
	if ok, err = f.TryLock(); err != nil {
		return false, before, err
	}
	before, err = readHolder(f)
	if !ok {
		return false, before, fmt.Errorf("%w: %s is locked by process %s", ErrLocked, name, before.pid)
	}
	if err != nil {
		return false, before, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, before, err
	}
	named, err := dir.Stat(name)
	if err != nil || named.Inode != mine.Inode {
		return false, before, err
	}
	return true, before, writeHolder(f, before.replacing)
}

// holder is who has the lock of a journal. The zero value is nobody.
type holder struct {
	pid       string
	replacing bool // the journal by a new file
}

const replacingMark = "replacing\n"

// writeHolder notes who has the lock, for others. This is not synced: it is for
// those who come before the power fails.
func writeHolder(f fsx.File, replacing bool) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if replacing {
		text += replacingMark
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// readHolder gives what writeHolder wrote, and the process "unknown" where a
// power cut has left something else.
func readHolder(f fsx.File) (h holder, err error) {
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return h, err
	}
	if n == 0 {
		return h, nil
	}
	pid, rest, _ := strings.Cut(string(b[:n]), "\n")
	if _, err := strconv.ParseUint(pid, 10, 32); err != nil {
		pid = "unknown"
	}
	return holder{pid, rest == replacingMark}, nil
}
