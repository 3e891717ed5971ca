// Package linefile reads and edits text files that others read meanwhile, one
// line for each thing: the files of accounts.
package linefile

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/postwain/postwain/internal/fsx"
)

// ErrTooLarge says that a file is larger than whoever reads it wants; test with
// [errors.Is].
var ErrTooLarge = errors.New("file is too large")

// openDir opens the directory of path, which may be a link to elsewhere, and
// returns its real name and that of the file in it.
func openDir(path string) (d fsx.Dir, dir, name string, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, "", "", err
	}
	d, err = fsx.Open(filepath.Dir(real))
	return d, filepath.Dir(real), filepath.Base(real), err
}

// Stat tells one version of the file path from the next.
func Stat(path string) (fsx.Info, error) {
	d, _, name, err := openDir(path)
	if err != nil {
		return fsx.Info{}, err
	}
	defer d.Close()
	return d.Stat(name)
}

// Read reads the file path, of at most so many octets; info is of before the
// reading.
func Read(path string, most int64) (text string, info fsx.Info, err error) {
	d, _, name, err := openDir(path)
	if err != nil {
		return "", info, err
	}
	defer d.Close()
	f, err := d.Open(name)
	if err != nil {
		return "", info, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", info, err
	}
	text, err = readAll(f, most)
	if errors.Is(err, ErrTooLarge) {
		err = fsx.PathError("read", path, err)
	}
	return text, info, err
}

func readAll(f fsx.File, most int64) (string, error) {
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return "", fmt.Errorf("%w: more than %d MiB", ErrTooLarge, most>>20)
	}
	return string(b), err
}
