// Package store opens the mail store that the configuration names.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/store/bucket"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/maildrop"
)

// Store is what every mail store can do. It opens maildrops exclusively. Close
// ends it; no box may be open.
type Store interface {
	maildrop.Store
	maildrop.Deliverer
	io.Closer
	// Snapshots opens maildrops without locking them.
	Snapshots() maildrop.Store
}

// Config says which store to open. It is the [mail] section of the
// configuration, and the state directory.
type Config struct {
	// Kind is "maildir" or "bucket". "mbox" is known but not in this version.
	Kind string
	// Path is the absolute path of a maildrop: %u is the whole name of the
	// account, %n what is before the last @, %d what is behind it. What is
	// before the first part with a % must be a directory that exists.
	Path string
	// State is the directory for the store's own data. It must exist.
	State string
	// UIDLFormat is the pop3_uidl_format of a Dovecot that served the mail
	// before. Empty: Dovecot's default.
	UIDLFormat string
	// Bucket is the [bucket] section, for that kind.
	Bucket bucket.Options
	// Log takes what an operator should know. Nil: nobody does.
	Log *slog.Logger
}

// Open opens the store. It fails if another server has the State open, or if the
// bucket is not what mail needs; ctx bounds the questions to that.
func Open(ctx context.Context, c Config) (Store, error) {
	switch c.Kind {
	case "maildir":
		return openMaildir(c)
	case "bucket":
		return openBucket(ctx, c)
	case "mbox":
		return nil, fmt.Errorf("store = %q is not in this version", c.Kind)
	}
	return nil, fmt.Errorf("store = %q is unknown: use \"maildir\"", c.Kind)
}

func openBucket(ctx context.Context, c Config) (Store, error) {
	o := c.Bucket
	o.Spool = c.State
	s, err := bucket.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.Probe(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func openMaildir(c Config) (Store, error) {
	root, template, err := split(c.Path)
	if err != nil {
		return nil, err
	}
	s := &files{}
	if s.root, err = fsx.Open(root); err != nil {
		return nil, fmt.Errorf("mail directory: %w", err)
	}
	if s.state, err = fsx.Open(c.State); err != nil {
		return nil, errors.Join(fmt.Errorf("state directory: %w", err), s.root.Close())
	}
	s.Store, err = maildir.Open(maildir.Options{
		Root:       s.root,
		Template:   template,
		State:      s.state,
		UIDLFormat: c.UIDLFormat,
		Log:        c.Log,
	})
	if err != nil {
		return nil, errors.Join(err, s.root.Close(), s.state.Close())
	}
	return s, nil
}

// split separates the part of path that is the same for all accounts from the
// rest.
func split(path string) (root, template string, err error) {
	i := strings.IndexByte(path, '%')
	switch {
	case !strings.HasPrefix(path, "/"):
		return "", "", fmt.Errorf("path = %q is not absolute", path)
	case i < 0:
		return "", "", fmt.Errorf("path = %q has no %%u, %%n or %%d: all accounts would share one maildrop", path)
	}
	cut := strings.LastIndexByte(path[:i], '/') + 1
	return filepath.Clean(path[:cut]), strings.TrimSuffix(path[cut:], "/"), nil
}

// files is a Store with the directories that it uses.
type files struct {
	*maildir.Store
	root, state fsx.Dir
}

func (s *files) Close() error {
	return errors.Join(s.Store.Close(), s.root.Close(), s.state.Close())
}
