package passwdfile

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/postwain/postwain/internal/fsx"
)

var errTooLarge = fmt.Errorf("file is larger than %d MiB", maxFile>>20)

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

func stat(path string) (fsx.Info, error) {
	d, _, name, err := openDir(path)
	if err != nil {
		return fsx.Info{}, err
	}
	defer d.Close()
	return d.Stat(name)
}

// readFile reads the file path; info is of before the reading.
func readFile(path string) (text string, info fsx.Info, err error) {
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
	text, err = readAll(f)
	if errors.Is(err, errTooLarge) {
		err = fsx.PathError("read", path, err)
	}
	return text, info, err
}

func readAll(f fsx.File) (string, error) {
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errTooLarge
	}
	return string(b), err
}
