package maildir

import (
	"io/fs"

	"github.com/postwain/postwain/internal/fsx"
)

// mutant is what a store of the tests does wrong.
type mutant struct {
	noFileSync bool
	noDiskSync bool
	noDirSync  string // the name of the directory; "*": all
	noSync     string // the name of the file
	noRecord   bool   // a commit is not written to the journal
	noDataSync bool   // nor is the journal synced
}

// mutantDir is a directory through which a mutant sees the disk.
type mutantDir struct {
	under
	name string
	m    *mutant
}

type under = fsx.Dir

func (d *mutantDir) Dir(name string) (fsx.Dir, error) {
	sub, err := d.under.Dir(name)
	if err != nil {
		return nil, err
	}
	return &mutantDir{sub, name, d.m}, nil
}

func (d *mutantDir) file(name string, f fsx.File, err error) (fsx.File, error) {
	if err != nil {
		return nil, err
	}
	return &mutantFile{f, name, d.m}, nil
}

func (d *mutantDir) Open(name string) (fsx.File, error) {
	f, err := d.under.Open(name)
	return d.file(name, f, err)
}

func (d *mutantDir) Create(name string, perm fs.FileMode) (fsx.File, error) {
	f, err := d.under.Create(name, perm)
	return d.file(name, f, err)
}

func (d *mutantDir) OpenAppend(name string, perm fs.FileMode) (fsx.File, error) {
	f, err := d.under.OpenAppend(name, perm)
	return d.file(name, f, err)
}

func (d *mutantDir) OpenUpdate(name string, perm fs.FileMode) (fsx.File, error) {
	f, err := d.under.OpenUpdate(name, perm)
	return d.file(name, f, err)
}

func (d *mutantDir) Move(name string, to fsx.Dir, as string) error {
	return d.under.Move(name, to.(*mutantDir).under, as)
}

func (d *mutantDir) Link(name string, to fsx.Dir, as string) error {
	return d.under.Link(name, to.(*mutantDir).under, as)
}

func (d *mutantDir) Sync() error {
	if d.m.noDirSync == "*" || d.m.noDirSync != "" && d.m.noDirSync == d.name {
		return nil
	}
	return d.under.Sync()
}

func (d *mutantDir) SyncDisk() error {
	if d.m.noDiskSync {
		return nil
	}
	return d.under.SyncDisk()
}

// mutantFile is a file of a mutant.
type mutantFile struct {
	fsx.File
	name string
	m    *mutant
}

func (f *mutantFile) Sync() error {
	if f.m.noFileSync || f.m.noSync == f.name {
		return nil
	}
	return f.File.Sync()
}

func (f *mutantFile) SyncData() error {
	if f.m.noFileSync || f.m.noDataSync {
		return nil
	}
	return f.File.SyncData()
}

func (f *mutantFile) WriteAt(p []byte, off int64) (int, error) {
	if b, size := decodeBatch(p); f.m.noRecord && size > 0 && len(b.body) > 0 {
		return len(p), nil
	}
	return f.File.WriteAt(p, off)
}
