//go:build unix

package linefile

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives the file to the mode, and the owner and group of the file
// from where they differ. Only root can change the owner.
func keepOwner(from, to string, mode fs.FileMode) error {
	old, err := os.Lstat(from)
	if err != nil {
		return err
	}
	now, err := os.Lstat(to)
	if err != nil {
		return err
	}
	a, ok := old.Sys().(*syscall.Stat_t)
	b, ok2 := now.Sys().(*syscall.Stat_t)
	if ok && ok2 && (a.Uid != b.Uid || a.Gid != b.Gid) {
		if err := os.Lchown(to, int(a.Uid), int(a.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(to, mode)
}
