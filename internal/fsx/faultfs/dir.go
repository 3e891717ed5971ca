package faultfs

import (
	"io/fs"
	"path"
	"sync/atomic"
	"syscall"

	"github.com/postwain/postwain/internal/fsx"
)

// dir is an open directory.
type dir struct {
	fs      *FS
	node    *inode
	path    string
	foreign bool
	closed  atomic.Bool
}

// do makes an operation on a name in the directory.
func (d *dir) do(kind Kind, name string, f func() error) error {
	return d.run(Op{Kind: kind, Path: path.Join(d.path, name)}, name, f)
}

func (d *dir) run(op Op, name string, f func() error) error {
	if err := fsx.CheckName(name); err != nil {
		return fsx.PathError(string(op.Kind), op.Path, err)
	}
	return d.fs.do(d.foreign, op, func() error {
		if d.closed.Load() {
			return fs.ErrClosed
		}
		return f()
	})
}

// find returns what a name stands for.
func (d *dir) find(name string) (*inode, error) {
	n := d.node.now.entries[name]
	if n == nil {
		return nil, syscall.ENOENT
	}
	return n, nil
}

// file returns the file that a name stands for.
func (d *dir) file(name string) (*inode, error) {
	n, err := d.find(name)
	if err == nil && !n.mode.IsRegular() {
		err = fsx.ErrNotRegular
	}
	return n, err
}

func (d *dir) Dir(name string) (fsx.Dir, error) {
	var sub *dir
	err := d.do(OpenDir, name, func() error {
		n, err := d.find(name)
		if err != nil {
			return err
		}
		if !n.isDir() {
			return syscall.ENOTDIR
		}
		sub = &dir{fs: d.fs, node: n, path: path.Join(d.path, name), foreign: d.foreign}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

func (d *dir) Mkdir(name string, perm fs.FileMode) error {
	return d.do(Mkdir, name, func() error {
		_, err := d.make(name, fs.ModeDir|perm.Perm())
		return err
	})
}

// make makes an inode with a name.
func (d *dir) make(name string, mode fs.FileMode) (*inode, error) {
	if d.node.now.entries[name] != nil {
		return nil, syscall.EEXIST
	}
	if err := d.fs.room(); err != nil {
		return nil, err
	}
	n := d.fs.newInode(mode)
	d.node.enter(name, n)
	d.push(effect{kind: Link, name: name, target: n})
	return n, nil
}

// push notes an effect on an entry of the directory.
func (d *dir) push(e effect) {
	e.node = d.node
	e.path = path.Join(d.path, e.name)
	d.fs.push(e)
}

func (d *dir) Open(name string) (fsx.File, error) {
	return d.open(Open, name, func() (*file, error) {
		n, err := d.file(name)
		return &file{node: n}, err
	})
}

func (d *dir) Create(name string, perm fs.FileMode) (fsx.File, error) {
	return d.open(Create, name, func() (*file, error) {
		n, err := d.make(name, perm.Perm())
		return &file{node: n, writable: true}, err
	})
}

func (d *dir) OpenAppend(name string, perm fs.FileMode) (fsx.File, error) {
	return d.open(Create, name, func() (*file, error) {
		n, err := d.fileOrMake(name, perm)
		return &file{node: n, writable: true, append: true}, err
	})
}

func (d *dir) OpenUpdate(name string, perm fs.FileMode) (fsx.File, error) {
	return d.open(Create, name, func() (*file, error) {
		n, err := d.fileOrMake(name, perm)
		return &file{node: n, writable: true}, err
	})
}

func (d *dir) fileOrMake(name string, perm fs.FileMode) (*inode, error) {
	if d.node.now.entries[name] == nil {
		return d.make(name, perm.Perm())
	}
	return d.file(name)
}

func (d *dir) open(kind Kind, name string, find func() (*file, error)) (fsx.File, error) {
	var f *file
	err := d.do(kind, name, func() (err error) {
		f, err = find()
		if err != nil {
			return err
		}
		f.fs, f.path, f.foreign = d.fs, path.Join(d.path, name), d.foreign
		f.node.opens++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// pair makes an operation on a name here and one in to.
func (d *dir) pair(kind Kind, name string, to fsx.Dir, as string, f func(to *dir) error) error {
	t, ok := to.(*dir)
	if !ok || t.fs != d.fs {
		return fsx.PathError(string(kind), path.Join(d.path, name), syscall.EXDEV)
	}
	op := Op{Kind: kind, Path: path.Join(d.path, name), To: path.Join(t.path, as)}
	if err := fsx.CheckName(as); err != nil {
		return fsx.PathError(string(kind), op.To, err)
	}
	return d.run(op, name, func() error {
		if t.closed.Load() {
			return fs.ErrClosed
		}
		return f(t)
	})
}

func (d *dir) Link(name string, to fsx.Dir, as string) error {
	return d.pair(Link, name, to, as, func(to *dir) error {
		n, err := d.find(name)
		switch {
		case err != nil:
			return err
		case to.node.now.entries[as] != nil:
			return syscall.EEXIST
		case n.isDir():
			return syscall.EPERM
		}
		to.node.enter(as, n)
		to.push(effect{kind: Link, name: as, target: n})
		return nil
	})
}

func (d *dir) Move(name string, to fsx.Dir, as string) error {
	return d.pair(Move, name, to, as, func(to *dir) error {
		n, err := d.find(name)
		switch {
		case err != nil:
			return err
		case to.node.now.entries[as] != nil:
			return syscall.EEXIST
		case n.isDir():
			return fsx.ErrNotRegular
		}
		to.node.enter(as, d.node.leave(name))
		d.push(effect{kind: Move, name: name, as: as, dest: path.Join(to.path, as), to: to.node, target: n})
		return nil
	})
}

func (d *dir) Replace(name, as string) error {
	return d.pair(Replace, name, d, as, func(*dir) error {
		n, err := d.find(name)
		if err != nil {
			return err
		}
		old := d.node.now.entries[as]
		switch {
		case old == n: // two names of one file: POSIX does nothing
			return nil
		case n.isDir(), old != nil && old.isDir():
			return fsx.ErrNotRegular
		}
		if old != nil {
			d.fs.drop(d.node.leave(as))
		}
		d.node.enter(as, d.node.leave(name))
		d.push(effect{kind: Replace, name: name, as: as, dest: path.Join(d.path, as), target: n})
		return nil
	})
}

func (d *dir) Remove(name string) error {
	return d.do(Remove, name, func() error {
		n, err := d.find(name)
		if err != nil {
			return err
		}
		if n.isDir() {
			return fsx.ErrNotRegular
		}
		d.fs.drop(d.node.leave(name))
		d.push(effect{kind: Remove, name: name, target: n})
		return nil
	})
}

func (d *dir) Stat(name string) (info fsx.Info, err error) {
	err = d.do(Stat, name, func() error {
		n, err := d.find(name)
		if err == nil {
			info = n.info()
		}
		return err
	})
	return info, err
}

// self makes an operation on the directory itself.
func (d *dir) self(kind Kind, f func(injected error) error) error {
	return d.fs.try(d.foreign, Op{Kind: kind, Path: path.Join(".", d.path)}, func(injected error) error {
		if d.closed.Load() {
			return fs.ErrClosed
		}
		return f(injected)
	})
}

func (d *dir) Self() (info fsx.Info, err error) {
	err = d.self(Stat, func(injected error) error {
		if injected == nil {
			info = d.node.info()
		}
		return injected
	})
	return info, err
}

func (d *dir) Sync() error {
	return d.self(SyncDir, func(injected error) error {
		return d.fs.sync(d.node, SyncDir, injected)
	})
}

func (d *dir) SyncDisk() error {
	return d.self(SyncDisk, d.fs.syncAll)
}

func (d *dir) Close() error {
	return d.self(Close, func(injected error) error {
		d.closed.Store(true)
		return injected
	})
}
