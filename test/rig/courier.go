//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Courier is Debian's courierpop3d. Its package cannot be installed beside
// Dovecot's, so it is unpacked into the space.
type Courier struct {
	program, libraries string
}

// Courier fetches and unpacks courierpop3d.
func (s *Space) Courier() (*Courier, error) {
	dir := filepath.Join(s.Dir, "courier")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	get := exec.Command("apt-get", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download",
		"courier-pop", "courier-authlib", "libcourier-unicode4")
	get.Dir = dir
	if out, err := get.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("rig: apt-get download: %w\n%s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		if out, err := exec.Command("dpkg", "-x", p, dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("rig: dpkg -x %s: %w\n%s", p, err, out)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(dir, "usr/lib/*/libcourier-unicode.so.*"))
	if err != nil || len(libraries) == 0 {
		return nil, errors.Join(err, errors.New("rig: Courier's library is not where it was"))
	}
	return &Courier{
		program:   filepath.Join(dir, "usr/lib/courier/courier/courierpop3d"),
		libraries: filepath.Join(dir, "usr/lib") + ":" + filepath.Dir(libraries[0]),
	}, nil
}

// Session plays the commands on a Maildir, as somebody who has signed in, and
// gives the answers.
func (c *Courier) Session(maildir string, commands ...string) (string, error) {
	cmd := exec.Command(c.program, maildir)
	cmd.Env = append(os.Environ(), "AUTHENTICATED=somebody", "LD_LIBRARY_PATH="+c.libraries)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\r\n") + "\r\n")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("rig: courierpop3d: %w", err)
	}
	return string(out), nil
}
