package fsx

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// Windows takes a colon for the start of a stream's name.
const badOctets = "/\\:\x00"

// Open opens the directory path, which the operator has named: it may go
// through links.
func Open(path string) (Dir, error) {
	r, err := os.OpenRoot(path)
	if err != nil {
		return nil, PathError("open", path, cause(err))
	}
	return &rootDir{root: r, path: path}, nil
}

// rootDir is an open directory on a system without calls that take one.
// [os.Root] keeps every name inside it. Link and Move go by paths, since
// os.Root has no such call for two directories.
type rootDir struct {
	root *os.Root
	path string
}

func (d *rootDir) join(name string) string { return filepath.Join(d.path, name) }

// do runs a call on a name in the directory.
func (d *rootDir) do(op, name string, f func() error) error {
	err := CheckName(name)
	if err == nil {
		err = cause(f())
	}
	return PathError(op, d.join(name), err)
}

// cause takes an error out of what the standard library put around it.
func cause(err error) error {
	var (
		pe *fs.PathError
		le *os.LinkError
	)
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &le):
		return le.Err
	}
	return err
}

func (d *rootDir) Dir(name string) (Dir, error) {
	var sub *rootDir
	err := d.do("open", name, func() error {
		info, err := d.root.Lstat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return syscall.ENOTDIR
		}
		r, err := d.root.OpenRoot(name)
		if err != nil {
			return err
		}
		now, err := r.Stat(".")
		if err == nil && !os.SameFile(info, now) { // a link came between
			err = syscall.ENOTDIR
		}
		if err != nil {
			r.Close()
			return err
		}
		sub = &rootDir{root: r, path: d.join(name)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

func (d *rootDir) Mkdir(name string, perm fs.FileMode) error {
	return d.do("mkdir", name, func() error { return d.root.Mkdir(name, perm.Perm()) })
}

func (d *rootDir) Open(name string) (File, error) {
	return d.open("open", name, os.O_RDONLY, 0)
}

func (d *rootDir) Create(name string, perm fs.FileMode) (File, error) {
	return d.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
}

func (d *rootDir) OpenAppend(name string, perm fs.FileMode) (File, error) {
	return d.open("open", name, os.O_RDWR|os.O_CREATE|os.O_APPEND, perm)
}

func (d *rootDir) OpenUpdate(name string, perm fs.FileMode) (File, error) {
	return d.open("open", name, os.O_RDWR|os.O_CREATE, perm)
}

// open looks before and after: nothing but a regular file is opened, and what
// was opened is what was looked at, so no link was followed.
func (d *rootDir) open(op, name string, flag int, perm fs.FileMode) (File, error) {
	var file *rootFile
	err := d.do(op, name, func() error {
		before, err := d.root.Lstat(name)
		found := err == nil
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0) {
			return err
		}
		if found && flag&os.O_EXCL == 0 && !before.Mode().IsRegular() {
			return ErrNotRegular
		}
		if !found {
			flag |= os.O_EXCL // never through a link made meanwhile
		}
		f, err := d.root.OpenFile(name, flag, perm.Perm())
		if err != nil {
			return err
		}
		after, err := f.Stat()
		if err == nil && (!after.Mode().IsRegular() || found && !os.SameFile(before, after)) {
			err = ErrNotRegular
		}
		if err != nil {
			f.Close()
			return err
		}
		file = &rootFile{f: f, path: d.join(name), append: flag&os.O_APPEND != 0}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (d *rootDir) Link(name string, to Dir, as string) error {
	return d.do2("link", name, to, as, os.Link)
}

func (d *rootDir) Move(name string, to Dir, as string) error {
	return d.do2("rename", name, to, as, func(from, to string) error {
		f, err := windows.UTF16PtrFromString(from)
		if err != nil {
			return err
		}
		t, err := windows.UTF16PtrFromString(to)
		if err != nil {
			return err
		}
		return windows.MoveFileEx(f, t, windows.MOVEFILE_WRITE_THROUGH)
	})
}

func (d *rootDir) do2(op, name string, to Dir, as string, f func(from, to string) error) error {
	if err := CheckName(as); err != nil {
		return PathError(op, d.join(as), err)
	}
	return d.do(op, name, func() error {
		t, ok := to.(*rootDir)
		if !ok {
			return syscall.EXDEV
		}
		return f(d.join(name), t.join(as))
	})
}

func (d *rootDir) Replace(name, as string) error {
	return d.do2("rename", name, d, as, func(_, _ string) error {
		if info, err := d.root.Lstat(as); err == nil && info.IsDir() {
			return ErrNotRegular
		}
		return d.root.Rename(name, as)
	})
}

func (d *rootDir) Remove(name string) error {
	return d.do("remove", name, func() error {
		info, err := d.root.Lstat(name)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return ErrNotRegular
		}
		return d.root.Remove(name)
	})
}

func (d *rootDir) Stat(name string) (Info, error) {
	var info Info
	err := d.do("stat", name, func() error {
		st, err := d.root.Lstat(name)
		if err != nil {
			return err
		}
		info = infoOf(st)
		if !st.Mode().IsRegular() {
			return nil
		}
		f, err := d.root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return info.identify(f)
	})
	return info, err
}

func (d *rootDir) Self() (Info, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return Info{}, PathError("stat", d.path, cause(err))
	}
	defer f.Close()
	info, err := stat(f)
	return info, PathError("stat", d.path, cause(err))
}

// namesAtOnce is how many names are asked for in one call.
const namesAtOnce = 1024

func (d *rootDir) Names() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := d.root.Open(".")
		if err == nil {
			defer f.Close()
		}
		for err == nil {
			var names []string
			names, err = f.Readdirnames(namesAtOnce)
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
		}
		if err != io.EOF {
			yield("", PathError("readdir", d.path, cause(err)))
		}
	}
}

// Sync has nothing to do: no program may sync a directory here, and the journal
// of NTFS keeps the changes of names in order.
func (d *rootDir) Sync() error {
	_, err := d.root.Stat(".")
	return PathError("sync", d.path, cause(err))
}

// SyncDisk takes rights that this program should not have.
func (d *rootDir) SyncDisk() error {
	return PathError("sync the disk of", d.path, errors.ErrUnsupported)
}

func (d *rootDir) Close() error { return PathError("close", d.path, cause(d.root.Close())) }

func stat(f *os.File) (Info, error) {
	st, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	info := infoOf(st)
	return info, info.identify(f)
}

// infoOf knows no time of change and takes the one of modification.
func infoOf(st fs.FileInfo) Info {
	return Info{Size: st.Size(), Links: 1, Mode: st.Mode(), ModTime: st.ModTime(), Changed: st.ModTime()}
}

// identify fills in what takes an open file.
func (i *Info) identify(f *os.File) error {
	var st windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &st); err != nil {
		return err
	}
	i.Inode = uint64(st.FileIndexHigh)<<32 | uint64(st.FileIndexLow)
	i.Links = uint64(st.NumberOfLinks)
	return nil
}
