package fsx

import (
	"io/fs"
	"strings"
)

// CheckName returns [ErrName] unless name is a single path component that can
// be used: not empty, not "." or "..", and without a separator or a NUL.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, badOctets) {
		return ErrName
	}
	return nil
}

// PathError makes the error that methods of [Dir] and [File] return: an
// *fs.PathError around err, which matches [ErrNoSpace] as well where err is
// the system's word for that. A nil err gives nil.
func PathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if isNoSpace(err) {
		err = noSpace{err}
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// noSpace makes an error of the system match ErrNoSpace.
type noSpace struct{ error }

func (e noSpace) Is(target error) bool { return target == ErrNoSpace }
func (e noSpace) Unwrap() error        { return e.error }
