package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/internal/auth"
	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/store"
	"github.com/postwain/postwain/sasl"
)

// accounts is what the servers ask about users.
type accounts struct {
	sasl.Authenticator
	sasl.Looker
	fields func(ctx context.Context, account string) (map[string]string, error)
	file   *passwdfile.File
}

// openAccounts opens the account sources.
func (d *Daemon) openAccounts(c *config.Config) (*accounts, error) {
	file, err := passwdfile.Open(c.Accounts.PasswdFile, passwdfile.Options{
		Report: func(err error) { d.log.Error("accounts", "error", err) },
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("accounts.passwd_file: %s is not there; make it with: postwain user add NAME --config %s",
			c.Accounts.PasswdFile, c.File)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("accounts.passwd_file: %w; give it to the user of the server (%d) by chown", err, os.Geteuid())
	}
	if err != nil {
		return nil, fmt.Errorf("accounts.passwd_file: %w", err)
	}
	if info, err := os.Stat(c.Accounts.PasswdFile); err == nil && info.Mode()&0o007 != 0 {
		d.log.Warn("accounts", "warning", fmt.Sprintf("%s holds the hashes of passwords and everybody may read it (mode %04o): chmod o= %[1]s",
			c.Accounts.PasswdFile, info.Mode().Perm()))
	}
	all, err := auth.New(auth.Options{Sources: []auth.Source{{
		Authenticator: file, Looker: file, Secrets: file, Fields: file.Fields, Version: file.Version, Costly: true,
	}}})
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return &accounts{all.Authenticator, all.Looker, all.Fields, file}, nil
}

// openStore opens the mail store and finishes what a crash left undone.
func openStore(c *config.Config, log *slog.Logger) (store.Store, error) {
	if err := errors.Join(checkRoot(mailRoot(c.Mail.Path)), makeState(c.StateDir)); err != nil {
		return nil, err
	}
	s, err := store.Open(store.Config{
		Kind: string(c.Mail.Store), Path: c.Mail.Path, State: c.StateDir,
		UIDLFormat: c.Mail.UIDLFormat, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("mail in %s with the state in %s: %w", c.Mail.Path, c.StateDir, err)
	}
	return s, nil
}

func makeState(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state_dir: %w; make it, and give it to the user of the server", err)
	}
	if err := writable(dir); err != nil {
		return fmt.Errorf("state_dir: %s cannot be written by this user (%d): %w; give it to the user of the server by chown", dir, os.Geteuid(), err)
	}
	return nil
}

// defaultData is the directory for state where none is named.
func defaultData(getenv func(string) string) (string, error) {
	if dir := getenv("STATE_DIRECTORY"); dir != "" {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/postwain", nil
	}
	return userData(getenv)
}

// userData is where a user's own server keeps everything.
func userData(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "postwain"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "postwain"), nil
	}
	return "", errors.New("there is no home directory; name a directory with --data")
}
