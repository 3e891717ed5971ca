package fsx

import (
	"errors"
	"io/fs"
)

// MakeDirs makes the directories names, each inside the one before and the
// first inside d, and opens the last. All that it returns is durable: each
// parent is synced before the next directory is made. It is idempotent and may
// run at the same time as others, in other processes too.
//
// A directory that is found may have been made a moment ago by someone who has
// not synced its parent yet. So the parents of directories found are synced as
// well. This costs a sync for each name: call it when a directory proves to be
// missing. In turn, a directory that was found with [Dir.Dir] alone has a
// durable parent, but its own name is sure to be durable only after a sync of
// that parent.
func MakeDirs(d Dir, perm fs.FileMode, names ...string) (Dir, error) {
	if len(names) == 0 {
		return nil, PathError("mkdir", "", ErrName)
	}
	parent := d
	for _, name := range names {
		sub, err := makeDir(parent, perm, name)
		if parent != d {
			parent.Close()
		}
		if err != nil {
			return nil, err
		}
		parent = sub
	}
	return parent, nil
}

func makeDir(parent Dir, perm fs.FileMode, name string) (Dir, error) {
	if err := parent.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	sub, err := parent.Dir(name)
	if err != nil {
		return nil, err
	}
	if err := parent.Sync(); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// WriteFile gives the file name in d the contents data, durably and in one
// step: whatever crashes, a reader finds either the old file or the new one,
// whole. After an error it may be either.
//
// The new contents are first written to the name with ".tmp" behind it. What a
// crash leaves there is removed by the next WriteFile. Two calls for the same
// name must not run at the same time, in whatever process.
func WriteFile(d Dir, name string, data []byte, perm fs.FileMode) error {
	tmp := name + ".tmp"
	if err := CheckName(name); err != nil {
		return PathError("write", name, err)
	}
	if err := d.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(d, tmp, data, perm); err != nil {
		d.Remove(tmp) // in vain after a crash, and then the next call does it
		return err
	}
	if err := d.Replace(tmp, name); err != nil {
		d.Remove(tmp)
		return err
	}
	return d.Sync()
}

func writeNew(d Dir, name string, data []byte, perm fs.FileMode) error {
	f, err := d.Create(name, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
