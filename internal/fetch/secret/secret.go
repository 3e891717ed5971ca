// Package secret reads passwords and tokens from where their owner keeps them:
// a file, a command, an environment variable, or the owner's memory.
//
// A [Source] reads afresh each time it is asked, so that a changed secret is
// used at the next sign-in. Nothing that it read ever stands in an error.
package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"
)

// The longest secrets, in octets: what a server takes for a password, and what
// it takes on a line of AUTH.
const (
	MaxPassword = 1 << 10
	MaxToken    = 16 << 10
)

// ErrExposed says that others than its owner can read a file.
var ErrExposed = errors.New("everybody on this machine can read it")

// Source gives a secret as it is now. It is never empty and has no NUL, CR or
// LF. Several goroutines may call it.
type Source func(ctx context.Context) (string, error)

// File gives the first line of the file path, without its line end; limit is
// the longest that it may be, in octets. A pipe can be read as well, but only
// once.
func File(path string, limit int) Source {
	return func(ctx context.Context) (string, error) {
		text, err := readFile(ctx, path, limit)
		if err != nil {
			return "", fmt.Errorf("secret: %w", err)
		}
		s, err := firstLine(text, limit)
		if err != nil {
			return "", fmt.Errorf("secret: %s: %w", path, err)
		}
		return s, nil
	}
}

// readFile reads somewhat more than limit octets. A pipe is opened without
// waiting for its other end, and read until ctx is done.
func readFile(ctx context.Context, path string, limit int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+2)) // and CR LF
	if ctx.Err() != nil {
		err = fmt.Errorf("reading %s: %w", path, ctx.Err())
	}
	return text, err
}

// CheckMode returns an error that wraps [ErrExposed] and says what to do, if
// everybody may read the file path. It is meant as a warning: the file can be
// used all the same. Errors of looking at the file are left to its reader.
func CheckMode(path string) error {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode()&fs.ModePerm&0o004 == 0 {
		return nil
	}
	return fmt.Errorf("secret: %s has mode %04o: %w; run: chmod 600 %[1]s", path, info.Mode().Perm(), ErrExposed)
}

// Env gives the value of the environment variable name, which getenv looks up;
// limit is as in [File].
func Env(name string, getenv func(string) string, limit int) Source {
	return func(context.Context) (string, error) {
		s, err := firstLine([]byte(getenv(name)), limit)
		if err != nil {
			return "", fmt.Errorf("secret: environment variable %s: %w", name, err)
		}
		return s, nil
	}
}

// firstLine gives the first line of text if it can be a secret.
func firstLine(text []byte, limit int) (string, error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0 && len(text) == 0:
		return "", errors.New("there is nothing in it")
	case len(line) == 0:
		return "", errors.New("the first line is empty")
	case len(line) > limit:
		return "", fmt.Errorf("the first line has more than %d octets", limit)
	case bytes.IndexByte(line, 0) >= 0:
		return "", errors.New("there is a NUL in the first line")
	case bytes.IndexByte(line, '\r') >= 0:
		return "", errors.New("there is a carriage return in the first line")
	}
	return string(line), nil
}
