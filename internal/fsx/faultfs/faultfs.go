// Package faultfs is a file system in memory that fails and crashes on demand.
// It gives the same [fsx.Dir] and [fsx.File] as the real one, so that a store
// can be crashed at each of its operations and be looked at after each disk
// that the crash may have left ([Explore]).
//
// # What a crash leaves
//
// There are two states: what programs see, and what is on the disk. An
// operation changes the first at once and leaves an effect on its way to the
// second. [fsx.File.Sync] brings the effects on a file's contents to the disk:
// writes, size, reserved space, time. [fsx.Dir.Sync] brings the effects on the
// entries of that directory: names made, linked, renamed, removed. Neither
// does the other's work, and [fsx.Dir.SyncDisk] brings all effects there are.
// No other effect is ever sure to arrive.
//
// After a crash the disk holds what was brought there, and any subset of the
// effects that were on their way, in their order. So of two effects the later
// may have arrived and the earlier not, which is harsher than any journal of a
// real file system, within one directory too. In detail:
//
//   - A write may arrive whole, as its beginning alone, as some of its 512-octet
//     sectors, or as the size alone, with zeros for the data.
//   - A name may arrive without the contents of its file, which is then empty
//     or has what of it did arrive; and contents without a name are lost.
//   - Replace arrives whole or not at all, as on ext4, xfs and btrfs.
//   - Move arrives whole, not at all, or leaving both names, as where it is a
//     link and a removal; never leaving neither. A sync of the directory moved
//     to makes the new name durable. The removal of the old one takes a sync of
//     the directory moved from, at the same time or later.
//   - A directory whose own name did not arrive is lost with all that is in it,
//     however well that was synced.
//   - Times arrive with the change that set them.
//   - Inode numbers stay. Those that the crash set free are given out again
//     first, as ext4 does.
//
// A Sync that fails loses the effects it should have brought: programs go on
// seeing them, a later Sync finds nothing to do and succeeds, and no crash
// brings them back, as Linux does after an error of writing back.
//
// An order that a disk may not have: effects do not pass a completed sync.
package faultfs

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// ErrCrashed is what every operation returns from the crash on: the process is
// dead, whatever its goroutines still try.
var ErrCrashed = errors.New("faultfs: crashed")

// FS is a file system. Make one with [New]. It may be used by any number of
// goroutines.
type FS struct {
	origin string // which crash it is the outcome of

	mu       sync.Mutex
	root     *inode
	log      []*effect // on their way to the disk, in order
	numbers  numbers
	octets   int64 // capacity, 0: without limit
	inodes   int64
	used     usage
	ops      []Op
	count    int
	crashAt  int
	crashed  bool
	failures []func(Op) error
	before   func(Op)
}

// New makes an empty file system without limits.
func New() *FS {
	s := &FS{numbers: numbers{next: 2}}
	s.root = s.newInode(fs.ModeDir | 0o755)
	s.root.links = 1
	return s
}

// Root opens the root directory for the program under test. What is done
// through it is numbered, in the order it began, from 1.
func (s *FS) Root() fsx.Dir { return &dir{fs: s, node: s.root} }

// Foreign opens the root directory for another program: what is done through
// it is not numbered, calls no hook and fails only for the reasons that a disk
// in order has.
func (s *FS) Foreign() fsx.Dir { return &dir{fs: s, node: s.root, foreign: true} }

// CrashAt makes operation n fail with [ErrCrashed] and with it all that follow,
// foreign ones too. What n would have done is not done.
func (s *FS) CrashAt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashAt = n
}

// FailAt makes operation n fail with err, or, if it is a write and err is a
// [Partial], in part.
func (s *FS) FailAt(n int, err error) {
	s.FailWhen(func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	})
}

// FailWhen makes operations fail for which f returns an error. Functions given
// in earlier calls are asked first. f must not use the file system.
func (s *FS) FailWhen(f func(Op) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, f)
}

// Partial is an error for [FS.FailWhen]: a write stops with Err after N octets.
type Partial struct {
	N   int
	Err error
}

func (p Partial) Error() string { return p.Err.Error() }
func (p Partial) Unwrap() error { return p.Err }

// ErrSkip is an error for [FS.FailWhen]: a sync does nothing and returns nil, as if
// the program had forgotten it. That is how a test shows that it would notice.
var ErrSkip = errors.New("faultfs: sync skipped")

// Before calls hook ahead of each operation, instead of an earlier hook. There
// a test can do what another program does meanwhile, through [FS.Foreign], or
// let time pass. Operations of several goroutines call it at the same time.
func (s *FS) Before(hook func(Op)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = hook
}

// SetCapacity limits the disk to so many octets of contents and so many files
// and directories, the root included; 0 is no limit. Directories and names take
// no octets. Space once allocated stays writable on a full disk.
func (s *FS) SetCapacity(octets, inodes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.octets, s.inodes = octets, inodes
}

// Used returns how many octets and inodes are in use. A file without a name is
// in use as long as it is open.
func (s *FS) Used() (octets, inodes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used.octets, s.used.inodes
}

// Ops returns the operations so far with their outcomes, in the order they
// ended. One that has not ended is missing.
func (s *FS) Ops() []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Op(nil), s.ops...)
}

// Origin says which crash left this disk; it is empty for a new one.
func (s *FS) Origin() string { return s.origin }

// do makes one operation of f, which runs under the lock.
func (s *FS) do(foreign bool, op Op, f func() error) error {
	return s.try(foreign, op, func(injected error) error {
		if injected != nil {
			return injected
		}
		return f()
	})
}

// try is do for operations that leave something behind when they are made to
// fail: f gets the error to fail with, or nil.
func (s *FS) try(foreign bool, op Op, f func(injected error) error) error {
	op.N = s.begin(foreign, op)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !foreign && s.crashAt > 0 && op.N >= s.crashAt {
		s.crashed = true
	}
	switch {
	case s.crashed:
		op.Err = ErrCrashed
	case foreign:
		op.Err = f(nil)
	default:
		op.Err = f(s.failure(op))
	}
	if !foreign {
		s.ops = append(s.ops, op)
	}
	return fsx.PathError(string(op.Kind), op.Path, op.Err)
}

// begin numbers an operation and calls the hook, without the lock.
func (s *FS) begin(foreign bool, op Op) int {
	if foreign {
		return 0
	}
	s.mu.Lock()
	s.count++
	op.N = s.count
	hook := s.before
	s.mu.Unlock()
	if hook != nil {
		hook(op)
	}
	return op.N
}

func (s *FS) failure(op Op) error {
	for _, f := range s.failures {
		if err := f(op); err != nil {
			return err
		}
	}
	return nil
}

// push notes an effect of the operation that is running.
func (s *FS) push(e effect) {
	e.at = time.Now()
	s.log = append(s.log, &e)
}
