package apppassword

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

var errTooLarge = fmt.Errorf("file is larger than %d MiB", maxFile>>20)

// lockWait is how long an edit waits for others.
const lockWait = 5 * time.Second

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
		return "", errTooLarge
	}
	return string(b), err
}

// lock opens the file, made if it is not there, and waits for its lock. Since
// edits replace the file, a lock counts only while the file has its name.
func lock(d fsx.Dir, name string) (fsx.File, fsx.Info, error) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	enough := time.NewTimer(lockWait)
	defer enough.Stop()
	for {
		f, info, err := tryLock(d, name)
		if f != nil || err != nil {
			return f, info, err
		}
		select {
		case <-again.C:
		case <-enough.C:
			return nil, fsx.Info{}, ErrBusy
		}
	}
}

// tryLock returns no file and no error if somebody else has the lock.
func tryLock(d fsx.Dir, name string) (fsx.File, fsx.Info, error) {
	f, err := d.OpenUpdate(name, 0o600)
	if err != nil {
		return nil, fsx.Info{}, err
	}
	locked, err := f.TryLock()
	if err == nil && locked {
		mine, err := f.Stat()
		named, err2 := d.Stat(name)
		if err == nil && err2 == nil && mine.Inode == named.Inode {
			return f, mine, nil
		}
	}
	f.Close()
	return nil, fsx.Info{}, err
}

// replace is [fsx.WriteFile] with the owner and the mode of the file that was
// there: the server may be somebody else than the one who edits. Nobody but
// owner and group gets to read it.
func replace(d fsx.Dir, dir, name, text string, old fsx.Info) (err error) {
	tmp := name + ".tmp"
	if err := d.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mode := old.Mode.Perm() &^ 0o007
	f, err := d.Create(tmp, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.Remove(tmp) // or the next edit does
		}
	}()
	_, err = f.Write([]byte(text))
	if err == nil {
		err = keepOwner(filepath.Join(dir, name), filepath.Join(dir, tmp), mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = d.Replace(tmp, name); err != nil {
		return err
	}
	return d.Sync()
}
