package powercut

import (
	"io/fs"
	"path"

	"github.com/postwain/postwain/internal/fsx"
)

// forgets says which syncs do nothing.
type forgets func(path string, kind kind) bool

// kind is one of the three syncs.
type kind int

const (
	syncFile kind = iota
	syncData
	syncDir
)

// directory is what a forgetful one is at heart.
type directory = fsx.Dir

// forgetful is a directory some of whose syncs do nothing: a mutant.
type forgetful struct {
	directory
	path    string
	forgets forgets
}

func (d *forgetful) file(inner fsx.File, name string, err error) (fsx.File, error) {
	if err != nil {
		return nil, err
	}
	return unsynced{inner, path.Join(d.path, name), d.forgets}, nil
}

// Dir is that of [fsx.Dir], like the others.
func (d *forgetful) Dir(name string) (fsx.Dir, error) {
	inner, err := d.directory.Dir(name)
	if err != nil {
		return nil, err
	}
	return &forgetful{inner, path.Join(d.path, name), d.forgets}, nil
}

func (d *forgetful) Create(name string, perm fs.FileMode) (fsx.File, error) {
	f, err := d.directory.Create(name, perm)
	return d.file(f, name, err)
}

func (d *forgetful) OpenAppend(name string, perm fs.FileMode) (fsx.File, error) {
	f, err := d.directory.OpenAppend(name, perm)
	return d.file(f, name, err)
}

func (d *forgetful) OpenUpdate(name string, perm fs.FileMode) (fsx.File, error) {
	f, err := d.directory.OpenUpdate(name, perm)
	return d.file(f, name, err)
}

func (d *forgetful) Link(name string, to fsx.Dir, as string) error {
	return d.directory.Link(name, inner(to), as)
}

func (d *forgetful) Move(name string, to fsx.Dir, as string) error {
	return d.directory.Move(name, inner(to), as)
}

func (d *forgetful) Sync() error {
	if d.forgets(d.path, syncDir) {
		return nil
	}
	return d.directory.Sync()
}

func inner(d fsx.Dir) fsx.Dir {
	if f, ok := d.(*forgetful); ok {
		return f.directory
	}
	return d
}

// unsynced is a file of a forgetful directory.
type unsynced struct {
	fsx.File
	path    string
	forgets forgets
}

func (f unsynced) Sync() error {
	if f.forgets(f.path, syncFile) {
		return nil
	}
	return f.File.Sync()
}

func (f unsynced) SyncData() error {
	if f.forgets(f.path, syncData) {
		return nil
	}
	return f.File.SyncData()
}
