//go:build linux

// Package rig runs real mail programs on loopback, for the interop tests and
// for the benchmarks: a directory with mail, accounts and certificates, and
// the daemons that serve it. Everything lives below one temporary directory,
// listens on loopback only, and is stopped by the process id that started it.
package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// Domain is the domain of all accounts.
	Domain = "example.org"
	// Host is the name that certificates and clients use for loopback.
	Host = "localhost"
	// Password is the password of all accounts.
	Password = "correct-horse"
	// MailID is the user and group id that owns all mail, as in a set-up with
	// virtual users. It needs no entry in the system's user list.
	MailID = 5000
)

// Space is the directory that a set of daemons shares.
type Space struct {
	Dir  string // readable by every user, so that daemons may drop their rights
	Mail string // the Maildirs, as Mail/domain/local-part
	TLS  Certificates
}

// NewSpace makes an empty space in the directory in, or among the temporary
// files if in is empty. It needs to run as root, because the mail belongs to
// [MailID].
func NewSpace(in string) (*Space, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("rig: must run as root, to give mail to its own user")
	}
	dir, err := os.MkdirTemp(in, "postwain-rig-")
	if err != nil {
		return nil, err
	}
	s := &Space{Dir: dir, Mail: filepath.Join(dir, "mail")}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Space) build() error {
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.Mail, Domain), 0o755); err != nil {
		return err
	}
	if err := Own(s.Mail); err != nil {
		return err
	}
	if err := os.WriteFile(s.Passwd(), nil, 0o644); err != nil {
		return err
	}
	var err error
	s.TLS, err = newCertificates(filepath.Join(s.Dir, "tls"))
	return err
}

// Close removes the space with everything in it.
func (s *Space) Close() error { return os.RemoveAll(s.Dir) }

// Passwd is the path of the passwd-file with all accounts.
func (s *Space) Passwd() string { return filepath.Join(s.Dir, "users") }

// AddAccounts adds accounts with [Password] to the passwd-file. Their Maildirs
// are made by the first delivery. It is meant to be called before a daemon
// starts.
func (s *Space) AddAccounts(accounts ...string) error {
	f, err := os.OpenFile(s.Passwd(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&b, "%s:{PLAIN}%s::::::\n", a, Password)
	}
	_, err = f.WriteString(b.String())
	return errors.Join(err, f.Close())
}

// Maildir is the path of the Maildir of an account of [Domain].
func (s *Space) Maildir(account string) string {
	local, _, _ := strings.Cut(account, "@")
	return filepath.Join(s.Mail, Domain, local)
}

// Account gives the full name of a local part.
func Account(local string) string { return local + "@" + Domain }

// MakeMaildir makes the three directories of a Maildir.
func MakeMaildir(path string) error {
	for _, d := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(path, d), 0o700); err != nil {
			return err
		}
	}
	return Own(path)
}

// Own gives path and everything below it to [MailID].
func Own(path string) error { return own(path, MailID) }

func own(path string, id int) error {
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, id, id)
	})
}
