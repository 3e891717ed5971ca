package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/store"
	"github.com/postwain/postwain/internal/store/bucket"
)

// openStore opens the mail store and finishes what a crash left undone.
func openStore(ctx context.Context, c *config.Config, log *slog.Logger) (store.Store, error) {
	o := store.Config{
		Kind: string(c.Mail.Store), Path: c.Mail.Path, State: c.StateDir,
		UIDLFormat: c.Mail.UIDLFormat, Log: log,
	}
	where := c.Mail.Path
	if err := makeState(c.StateDir); err != nil {
		return nil, err
	}
	switch c.Mail.Store {
	case config.InBucket:
		var err error
		if o.Bucket, err = bucketOptions(ctx, &c.Bucket); err != nil {
			return nil, err
		}
		where = "the bucket " + c.Bucket.Name
	default:
		if err := checkRoot(mailRoot(c.Mail.Path)); err != nil {
			return nil, err
		}
	}
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("mail in %s with the state in %s: %w", where, c.StateDir, err)
	}
	return s, nil
}

func bucketOptions(ctx context.Context, b *config.Bucket) (bucket.Options, error) {
	o := bucket.Options{
		Endpoint: b.Endpoint, Region: b.Region, Name: b.Name, Prefix: b.Prefix, PathStyle: b.PathStyle,
		AccessKey: b.AccessKey, LeaseTime: b.LeaseTime,
	}
	var err error
	if b.SecretKeyFile != "" {
		if o.SecretKey, err = secret.File(b.SecretKeyFile, secret.MaxPassword)(ctx); err != nil {
			err = fmt.Errorf("bucket.secret_key_file: %w", err)
		}
	}
	return o, err
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
