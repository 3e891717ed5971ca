package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

const (
	filePerm fs.FileMode = 0o600

	// lockWait is how long another program may keep the file, and lockPause
	// the time between two looks.
	lockWait  = 30 * time.Second
	lockPause = 100 * time.Millisecond
)

// dotLock is the lock file. It is another name of a file that is there, and
// locked, all the time: so one that a killed process left is known for ours.
type dotLock struct {
	dir   fsx.Dir
	own   string // the name that is always there
	name  string
	file  fsx.File
	inode uint64
}

func openLock(dir fsx.Dir, own, name string) (*dotLock, error) {
	l := &dotLock{dir: dir, own: own, name: name}
	f, err := dir.OpenUpdate(l.own, filePerm)
	if err != nil {
		return nil, err
	}
	if err := l.take(f); err != nil {
		f.Close()
		return nil, err
	}
	l.file = f
	return l, nil
}

// take makes f, the file that is always there, this process's.
func (l *dotLock) take(f fsx.File) error {
	ok, err := f.TryLock()
	if err == nil && !ok {
		err = fmt.Errorf("another process delivers to it: %s is locked%s", l.own, process(f))
	}
	if err != nil {
		return err
	}
	// Other programs want to read there who has the lock.
	text := strconv.Itoa(os.Getpid()) + "\n"
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	l.inode = info.Inode
	return l.release()
}

// process says what a lock file tells of its owner, for an error text.
func process(f fsx.File) string {
	b := make([]byte, 16)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	pid, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
	if err != nil || pid == 0 {
		return ""
	}
	return fmt.Sprintf(" by process %d", pid)
}

// try makes the lock file, unless another program's is there.
func (l *dotLock) try() (bool, error) {
	err := l.dir.Link(l.own, l.dir, l.name)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	return l.mine()
}

// mine says whether the lock file is there and ours.
func (l *dotLock) mine() (bool, error) {
	info, err := l.dir.Stat(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Inode == l.inode, err
}

// release removes the lock file if it is ours.
func (l *dotLock) release() error {
	if mine, err := l.mine(); err != nil || !mine {
		return err
	}
	return l.dir.Remove(l.name)
}

// whenLocked calls f with the file once no other program uses it.
func (m *mbox) whenLocked(ctx context.Context, f func(fsx.File) error) error {
	for end := time.Now().Add(lockWait); ; {
		if ok, err := m.tryLocked(f); ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("another program has it locked; if that is not so, remove %s", m.lock.name)
		}
		pause := time.NewTimer(lockPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// tryLocked calls f with the file if no other program uses it.
func (m *mbox) tryLocked(f func(fsx.File) error) (ok bool, err error) {
	if ok, err := m.lock.try(); err != nil || !ok {
		return false, err
	}
	// A lock file that cannot be removed is removed after the next message.
	defer m.lock.release()
	_, err = m.dir.Stat(m.name)
	absent := errors.Is(err, fs.ErrNotExist)
	file, err := m.dir.OpenAppend(m.name, filePerm)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if ok, err := file.TryLock(); err != nil || !ok {
		return false, err
	}
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	if info.Inode != m.inode {
		// Who made the file, or put it in the place of another, may not have
		// synced its name.
		if err := m.dir.Sync(); err != nil {
			if absent && info.Size == 0 {
				m.dir.Remove(m.name) // as in open
			}
			return false, err
		}
		m.inode = info.Inode
	}
	return true, f(file)
}
