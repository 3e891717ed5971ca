// Package fsx is the seam between Postwain and the disk: file operations whose
// durability is explicit, on directories that are held open.
//
// Everything durable goes through it, so that faultfs can stand in for the
// disk and crash at every operation. Names are single path components below an
// open [Dir], and links are never followed, so no name that came from outside
// can leave the directory it was meant for.
//
// What makes what durable: [File.Sync] the contents of a file; [Dir.Sync] the
// entries of a directory, that is the creation, linking, renaming and removal
// of names in it. Neither does the other's work. [Dir.SyncDisk] does both for
// all that has been done on a disk.
package fsx

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Errors beside those of io/fs; test with [errors.Is].
var (
	// ErrName says that a name is not a single path component.
	ErrName = errors.New("not a single path component")
	// ErrNotRegular says that a name is a link, a directory, a pipe or a
	// device where a regular file is wanted.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNoSpace says that the disk is full or a quota is reached. Errors of
	// the system that mean this are wrapped to match it.
	ErrNoSpace = errors.New("no space left")
)

// Info describes a directory entry.
type Info struct {
	Inode   uint64
	Size    int64
	Links   uint64
	Mode    fs.FileMode
	ModTime time.Time // mtime
	Changed time.Time // ctime
}

// Dir is an open directory. Each method takes a name that is a single path
// component and returns an *fs.PathError; a name with a slash or a NUL, an
// empty one, "." and ".." give ErrName.
type Dir interface {
	// Dir opens a directory inside this one. A link is not followed.
	Dir(name string) (Dir, error)
	// Mkdir makes a directory.
	Mkdir(name string, perm fs.FileMode) error

	// Open opens a regular file for reading, without waiting. It returns
	// ErrNotRegular for anything else.
	Open(name string) (File, error)
	// Create makes a new file for writing. It fails with fs.ErrExist if the
	// name is taken.
	Create(name string, perm fs.FileMode) (File, error)
	// OpenAppend opens a regular file for reading and writing, making it if
	// it is not there. Write appends, and WriteAt is errors.ErrUnsupported.
	OpenAppend(name string, perm fs.FileMode) (File, error)
	// OpenUpdate opens a regular file for reading and writing at offsets,
	// making it if it is not there.
	OpenUpdate(name string, perm fs.FileMode) (File, error)

	// Link gives a file a second name in the directory to, which must be on
	// the same disk. It never replaces: fs.ErrExist if the name is taken.
	Link(name string, to Dir, as string) error
	// Move renames a file into the directory to without replacing:
	// fs.ErrExist if the name is taken. A crash can leave both names.
	Move(name string, to Dir, as string) error
	// Replace renames a file inside this directory over as, atomically. If
	// both are names of one file, it does nothing, as POSIX says.
	Replace(name, as string) error
	// Remove removes the name of whatever is not a directory.
	Remove(name string) error

	// Stat describes name itself, not what a link points to.
	Stat(name string) (Info, error)
	// Self describes the directory.
	Self() (Info, error)
	// Names gives the names in the directory in the order of the disk, read
	// afresh at each call. Without a lock on other programs a name that is
	// being renamed may be missed or given twice. After an error it ends.
	// Names may share memory: clone one that is to outlive the others.
	Names() iter.Seq2[string, error]
	// Sync makes the directory's entries durable.
	Sync() error
	// SyncDisk makes durable all contents and all entries on the disk that the
	// directory is on, be they of other programs, which may take as long as
	// these have let gather. It is errors.ErrUnsupported where the system would
	// not tell of a failure. After another error, which may be due to another
	// program's file, everything since the last sync is in doubt.
	SyncDisk() error
	// Close releases the directory. Files opened from it live on.
	Close() error
}

// File is an open regular file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer

	// Stat describes the open file.
	Stat() (Info, error)
	// Sync makes the contents durable. After an error the contents are in
	// doubt and a second Sync proves nothing: give the file up.
	Sync() error
	// SyncData is Sync without such metadata as times.
	SyncData() error
	// Truncate sets the size in octets.
	Truncate(size int64) error
	// Allocate reserves disk space for the first size octets and extends the
	// file to that size, zero-filled, so that writing there needs no room.
	Allocate(size int64) error
	// TryLock takes the exclusive lock of the file, which ends with Close or
	// with the process. It reports whether it got it, and does not wait.
	TryLock() (bool, error)
	// SetModTime sets the time of last modification.
	SetModTime(t time.Time) error
}
