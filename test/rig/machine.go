//go:build linux

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// DescribeMachine says what figures that were measured in a directory depend on.
func DescribeMachine(dir string) string {
	return fmt.Sprintf("Machine: %s, %d cores, Linux %s, %s, %s; Dovecot %s.",
		processor(), runtime.NumCPU(), kernel(), fileSystem(dir), runtime.Version(), dovecotVersion())
}

func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return unix.ByteSliceToString(u.Release[:])
}

func fileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return err.Error()
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs (no disk!)", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	}
	if name, ok := names[int64(s.Type)]; ok {
		return name
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

func dovecotVersion() string {
	out, err := exec.Command("dovecot", "--version").Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// Versions gives the versions of Debian packages, separated by commas.
func Versions(packages ...string) string {
	var all []string
	for _, p := range packages {
		out, err := exec.Command("dpkg-query", "--show", "--showformat", "${Package} ${Version}", p).Output()
		if err != nil {
			out = []byte(p + " ?")
		}
		all = append(all, string(out))
	}
	return strings.Join(all, ", ")
}
