package maildir

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// lockName is the file whose flock makes a session exclusive among processes.
const lockName = "postwain.lock"

// lockDrop locks the Maildir home. It returns an error that wraps
// maildrop.ErrInUse if another process has it. The lock ends when the file is
// closed.
func lockDrop(home fsx.Dir, pid int) (fsx.File, error) {
	// Someone may remove or replace the file between opening and locking it.
	// Then the lock is worth nothing.
	for range 8 {
		f, err := home.OpenUpdate(lockName, filePerm)
		if errors.Is(err, syscall.EROFS) {
			f, err = home.Open(lockName) // flock needs no room, and mail can be read
		}
		if err != nil {
			return nil, err
		}
		ok, err := f.TryLock()
		if err != nil {
			f.Close()
			return nil, err
		}
		if !ok {
			who := holder(f)
			f.Close()
			return nil, fmt.Errorf("maildir: %w: locked by another server%s", maildrop.ErrInUse, who)
		}
		mine, err := f.Stat()
		if err == nil {
			var named fsx.Info
			if named, err = home.Stat(lockName); err == nil && named.Inode == mine.Inode {
				writeHolder(f, mine.Size, pid)
				return f, nil
			}
		}
		f.Close()
		if ignoreNotExist(err) != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("maildir: %s is being replaced all the time", lockName)
}
