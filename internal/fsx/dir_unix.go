//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fsx

import (
	"errors"
	"io/fs"
	"iter"
	"time"

	"golang.org/x/sys/unix"
)

const badOctets = "/\x00"

// Flags of every open. Without O_NONBLOCK the open of a pipe would wait for
// its other end; for a regular file it means nothing.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

// Open opens the directory path, which the operator has named: it may go
// through links.
func Open(path string) (Dir, error) {
	d, err := openDir(unix.AT_FDCWD, path, path, 0)
	if err != nil {
		return nil, PathError("open", path, err)
	}
	return d, nil
}

// osDir is an open directory. Its path is for error texts alone.
type osDir struct {
	handle
	path string
}

func openDir(at int, name, path string, flags int) (*osDir, error) {
	fd, err := openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, err
	}
	return &osDir{handle: handle{fd: fd}, path: path}, nil
}

func openat(at int, name string, flags int, perm fs.FileMode) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(at, name, flags, uint32(perm.Perm()))
		return err
	})
	return fd, err
}

func (d *osDir) join(name string) string { return d.path + "/" + name }

// do runs a call on a name in the directory.
func (d *osDir) do(op, name string, f func(fd int) error) error {
	err := CheckName(name)
	if err == nil {
		err = d.with(f)
	}
	return PathError(op, d.join(name), err)
}

// do2 runs a call on a name here and one in to.
func (d *osDir) do2(op, name string, to Dir, as string, f func(from, to int) error) error {
	if err := CheckName(as); err != nil {
		return PathError(op, d.join(as), err)
	}
	return d.do(op, name, func(from int) error {
		t, ok := to.(*osDir)
		if !ok {
			return unix.EXDEV
		}
		return t.with(func(fd int) error { return f(from, fd) })
	})
}

func (d *osDir) Dir(name string) (Dir, error) {
	var sub *osDir
	err := d.do("open", name, func(fd int) (err error) {
		sub, err = openDir(fd, name, d.join(name), unix.O_NOFOLLOW)
		if isLink(err) { // Linux itself says ENOTDIR here
			err = unix.ENOTDIR
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

func (d *osDir) Mkdir(name string, perm fs.FileMode) error {
	return d.do("mkdir", name, func(fd int) error {
		return unix.Mkdirat(fd, name, uint32(perm.Perm()))
	})
}

func (d *osDir) Open(name string) (File, error) {
	return d.open("open", name, unix.O_RDONLY, 0)
}

func (d *osDir) Create(name string, perm fs.FileMode) (File, error) {
	return d.open("create", name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, perm)
}

func (d *osDir) OpenAppend(name string, perm fs.FileMode) (File, error) {
	return d.open("open", name, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND, perm)
}

func (d *osDir) OpenUpdate(name string, perm fs.FileMode) (File, error) {
	return d.open("open", name, unix.O_RDWR|unix.O_CREAT, perm)
}

func (d *osDir) open(op, name string, flags int, perm fs.FileMode) (File, error) {
	var f *osFile
	err := d.do(op, name, func(at int) error {
		fd, err := openat(at, name, flags|openFlags, perm)
		if err != nil {
			return notRegular(err)
		}
		var st unix.Stat_t
		err = retry(func() error { return unix.Fstat(fd, &st) })
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
			err = ErrNotRegular
		}
		if err != nil {
			unix.Close(fd)
			return err
		}
		f = &osFile{handle: handle{fd: fd}, path: d.join(name), append: flags&unix.O_APPEND != 0}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// notRegular gives ErrNotRegular for what an open answers to a link, to a
// directory, and to a socket or a pipe without another end.
func notRegular(err error) error {
	if isLink(err) || err == unix.EISDIR || err == unix.ENXIO || err == unix.EOPNOTSUPP {
		return ErrNotRegular
	}
	return err
}

func (d *osDir) Link(name string, to Dir, as string) error {
	return d.do2("link", name, to, as, func(from, to int) error {
		return unix.Linkat(from, name, to, as, 0)
	})
}

func (d *osDir) Move(name string, to Dir, as string) error {
	return d.do2("rename", name, to, as, func(from, to int) error {
		err := renameNoReplace(from, name, to, as)
		if errors.Is(err, errors.ErrUnsupported) {
			return moveByLink(from, name, to, as)
		}
		return err
	})
}

// moveByLink is for file systems that cannot rename without replacing. A crash
// in the middle leaves both names.
func moveByLink(from int, name string, to int, as string) error {
	err := retry(func() error { return unix.Linkat(from, name, to, as, 0) })
	if err != nil {
		return err
	}
	return retry(func() error { return unix.Unlinkat(from, name, 0) })
}

func (d *osDir) Replace(name, as string) error {
	return d.do2("rename", name, d, as, func(fd, _ int) error {
		err := unix.Renameat(fd, name, fd, as)
		if err == unix.EISDIR || err == unix.ENOTDIR {
			return ErrNotRegular
		}
		return err
	})
}

func (d *osDir) Remove(name string) error {
	return d.do("remove", name, func(fd int) error {
		err := unix.Unlinkat(fd, name, 0)
		if err != unix.EISDIR && err != unix.EPERM {
			return err
		}
		// A directory is EISDIR on Linux and EPERM in POSIX, where EPERM may
		// be a refusal as well.
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return ErrNotRegular
		}
		return err
	})
}

func (d *osDir) Stat(name string) (Info, error) {
	var st unix.Stat_t
	err := d.do("stat", name, func(fd int) error {
		return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return Info{}, err
	}
	return infoOf(&st), nil
}

func (d *osDir) Self() (Info, error) {
	info, err := d.stat()
	return info, PathError("stat", d.path, err)
}

func (h *handle) stat() (Info, error) {
	var st unix.Stat_t
	if err := h.with(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return Info{}, err
	}
	return infoOf(&st), nil
}

// Names opens the directory anew, for a position of its own.
func (d *osDir) Names() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var own *osDir
		err := d.with(func(fd int) (err error) {
			own, err = openDir(fd, ".", d.path, 0)
			return err
		})
		if err == nil {
			defer own.close()
			var more bool
			if more, err = readNames(own.fd, yield); !more {
				return
			}
		}
		if err != nil {
			yield("", PathError("readdir", d.path, err))
		}
	}
}

func (d *osDir) Sync() error { return PathError("sync", d.path, d.with(syncFile)) }

func (d *osDir) SyncDisk() error { return PathError("sync the disk of", d.path, d.with(syncDisk)) }

func (d *osDir) Close() error { return PathError("close", d.path, d.close()) }

func infoOf(st *unix.Stat_t) Info {
	return Info{
		Inode:   st.Ino,
		Size:    st.Size,
		Links:   uint64(st.Nlink),
		Mode:    modeOf(uint32(st.Mode)),
		ModTime: time.Unix(st.Mtim.Unix()),
		Changed: time.Unix(st.Ctim.Unix()),
	}
}

func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	default:
		mode |= fs.ModeIrregular
	}
	if m&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
