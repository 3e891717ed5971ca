package linefile

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// ErrBusy says that somebody else has been editing the file for a while.
var ErrBusy = errors.New("the file is being edited by another program")

// LockWait is how long an edit waits for others.
const LockWait = 5 * time.Second

// Edit replaces the lines of the file path, which is made if it is not there and
// has at most so many octets, in one durable step under its lock. change gets
// the text and its lines, and gives the new lines.
func Edit(path string, most int64, change func(text string, lines []string) ([]string, error)) error {
	d, dir, name, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		dir, name = filepath.Dir(path), filepath.Base(path)
		d, err = fsx.Open(dir)
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return edit(d, name, most, change, func(tmp string, mode fs.FileMode) error {
		return keepOwner(filepath.Join(dir, name), filepath.Join(dir, tmp), mode)
	})
}

// edit is Edit in an open directory. keep gives the new file to the owner of the
// old one.
func edit(d fsx.Dir, name string, most int64, change func(text string, lines []string) ([]string, error), keep func(tmp string, mode fs.FileMode) error) error {
	f, info, err := lock(d, name)
	if err != nil {
		return err
	}
	defer f.Close()

	text, err := readAll(f, most)
	if err != nil {
		return err
	}
	var lines []string
	if text != "" {
		lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	if lines, err = change(text, lines); err != nil {
		return err
	}
	text = strings.Join(lines, "\n")
	if len(lines) > 0 {
		text += "\n"
	}
	return replace(d, name, text, info, keep)
}

// lock opens the file, made if it is not there, and waits for its lock. Since
// edits replace the file, a lock counts only while the file has its name.
func lock(d fsx.Dir, name string) (fsx.File, fsx.Info, error) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	enough := time.NewTimer(LockWait)
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
func replace(d fsx.Dir, name, text string, old fsx.Info, keep func(string, fs.FileMode) error) (err error) {
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
		err = keep(tmp, mode)
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
