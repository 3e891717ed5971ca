package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/store"
)

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
