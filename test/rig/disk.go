//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is a file system as its mkfs makes it, ext4 mostly, in a file. The machine's own file
// system may be of any kind, and it remembers: an ext4 without a journal looks
// for a free inode behind all that were removed within the last minutes, so
// that each run would be slower than the one before.
type Disk struct {
	Mount string // the directory where it is mounted; every user may read it
	dir   string // holds the image and the mount point
}

// NewDisk makes and mounts an ext4 of size octets. Blocks that were never
// written take no room on the machine's own disk.
func NewDisk(size int64) (*Disk, error) { return NewDiskOf("ext4", size) }

// NewDiskOf is NewDisk for ext4, xfs (from 300 MiB) or btrfs (from 110 MiB).
func NewDiskOf(kind string, size int64) (*Disk, error) {
	dir, err := os.MkdirTemp("", "postwain-disk-")
	if err != nil {
		return nil, err
	}
	d := &Disk{filepath.Join(dir, "mount"), dir}
	if err := d.make(kind, filepath.Join(dir, "image"), size); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return d, nil
}

func (d *Disk) make(kind, image string, size int64) error {
	force := map[string]string{"ext4": "-F", "xfs": "-f", "btrfs": "-f"}[kind]
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := os.Mkdir(d.Mount, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(d.dir, 0o755); err != nil {
		return err
	}
	for _, command := range []string{"mkfs." + kind + " -q " + force + " " + image, "mount -o loop " + image + " " + d.Mount} {
		argv := strings.Fields(command)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("rig: %s: %w: %s", command, err, out)
		}
	}
	return os.Chmod(d.Mount, 0o755)
}

// Fill writes a file that leaves free octets of the disk to anybody but root,
// and gives the function that removes it.
func (d *Disk) Fill(free int64) (relieve func() error, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.Mount, &s); err != nil {
		return nil, os.NewSyscallError("statfs "+d.Mount, err)
	}
	path := filepath.Join(d.Mount, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, int64(s.Bavail)*s.Bsize-free)
	return func() error { return os.Remove(path) }, errors.Join(err, f.Close())
}

// Close unmounts the disk and removes it. What a daemon has started may outlive
// it by a moment, so Close waits for that.
func (d *Disk) Close() error {
	if err := unmount(d.Mount); err != nil {
		return err
	}
	return os.RemoveAll(d.dir)
}

func unmount(dir string) error {
	tick, limit := time.NewTicker(20*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer limit.Stop()
	for {
		err := unix.Unmount(dir, 0)
		if err != unix.EBUSY {
			return os.NewSyscallError("umount "+dir, err)
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return os.NewSyscallError("umount "+dir, err)
		}
	}
}
