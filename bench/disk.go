//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// diskSize is what the disk may grow to, in octets.
const diskSize = 12 << 30

// disk is an ext4 as mkfs.ext4 makes it, in a file. The machine's own file
// system may be of any kind, and it remembers: an ext4 without a journal looks
// for a free inode behind all that were removed within the last minutes, so
// that each run would be slower than the one before.
type disk struct {
	dir   string // holds the image and the mount point
	mount string
}

// newDisk makes and mounts a disk.
func newDisk() (*disk, error) {
	dir, err := os.MkdirTemp("", "postwain-disk-")
	if err != nil {
		return nil, err
	}
	d := &disk{dir, filepath.Join(dir, "mount")}
	if err := d.make(filepath.Join(dir, "image")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return d, nil
}

func (d *disk) make(image string) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	if err := os.Mkdir(d.mount, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(d.dir, 0o755); err != nil {
		return err
	}
	for _, command := range []string{"mkfs.ext4 -q -F " + image, "mount -o loop " + image + " " + d.mount} {
		argv := strings.Fields(command)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return os.Chmod(d.mount, 0o755)
}

// close unmounts the disk and removes it.
func (d *disk) close() error {
	if err := unix.Unmount(d.mount, 0); err != nil {
		return os.NewSyscallError("umount "+d.mount, err)
	}
	return os.RemoveAll(d.dir)
}
