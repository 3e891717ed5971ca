// Package maildir keeps mail in Maildirs that Postfix, Dovecot, Courier, mutt
// and others may share at the same time.
//
// The directory says which messages exist. What this package writes beside
// them, "postwain-uids", "postwain-index" and "postwain.lock", and the commit
// journal in the state directory, is described in docs/adr/0002-maildir-on-disk.md.
package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

const (
	dirPerm  fs.FileMode = 0o700
	filePerm fs.FileMode = 0o600
)

var errClosed = errors.New("maildir: store is closed")

// Options says where the mail is. Root, Template and State must be set.
type Options struct {
	// Root is the directory above all Maildirs. The Store uses it until Close.
	Root fsx.Dir
	// Template is the path of an account's Maildir below Root, such as
	// "%d/%n": %u is the whole name, %n what is before the last @, %d what is
	// behind it, %% a percent sign.
	Template string
	// State is where the store keeps its commit journal. It must be on a disk
	// that syncs, and belong to this store alone.
	State fsx.Dir
	// UIDLFormat is Dovecot's pop3_uidl_format, for Maildirs that Dovecot
	// served before. Empty: "%08Xu%08Xv", its default.
	UIDLFormat string
	// Log takes what an operator should know. Nil: nobody does.
	Log *slog.Logger
	// JournalHalf is the size of each of the two halves of a commit journal
	// that is made, in octets, a multiple of 4096. When one is full, the
	// Maildirs in it are synced. 0: 4 MiB.
	JournalHalf int64

	pid     int    // 0: this process
	counted func() // for tests: a message was read for its size
}

// Store is the mail of all accounts. It is a maildrop.Store and a
// maildrop.Deliverer.
type Store struct {
	opts     Options
	template template
	uidl     uidlFormat
	journal  *journal
	lock     fsx.File
	names    namer
	drops    drops
	buffers  sync.Pool
	counting chan struct{} // a slot for each file that is being counted
	notes    fsx.Dir       // in State: which accounts have a uids file

	unsafe    atomic.Pointer[error] // why no more maildrops are made
	unsettled sync.Map              // path of a Maildir → why its removals stay in the journal
}

// Open opens the store, locks its state against other servers, and finishes
// what a crash left of commits.
func Open(o Options) (*Store, error) {
	t, err := parseTemplate(o.Template)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.JournalHalf == 0 {
		o.JournalHalf = defaultHalf
	}
	if o.pid == 0 {
		o.pid = os.Getpid()
	}
	if o.UIDLFormat == "" {
		o.UIDLFormat = "%08Xu%08Xv"
	}
	s := &Store{opts: o, template: t, names: namer{pid: o.pid}}
	if s.uidl, err = parseUIDLFormat(o.UIDLFormat); err != nil {
		return nil, err
	}
	s.buffers.New = func() any { return new([bufferSize]byte) }
	s.counting = make(chan struct{}, countWorkers)
	s.drops.init()
	if err := s.openState(); err != nil {
		if s.notes != nil {
			s.notes.Close()
		}
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, err
	}
	return s, nil
}

func (s *Store) openState() error {
	var err error
	if s.lock, err = lockState(s.opts.State, s.opts.pid); err != nil {
		return err
	}
	if s.notes, err = fsx.MakeDirs(s.opts.State, dirPerm, "uids"); err != nil {
		return fmt.Errorf("maildir: state directory: %w", err)
	}
	s.journal, err = openJournal(context.Background(), s.opts.State, s.opts.JournalHalf, s, s.opts.Log)
	return err
}

// Close finishes the commits that are under way and releases the state. Boxes
// that are still open cannot commit any more.
func (s *Store) Close() error {
	err := s.journal.close()
	return errors.Join(err, s.notes.Close(), s.lock.Close())
}

// lockState makes sure that no other server uses the state directory.
func lockState(dir fsx.Dir, pid int) (fsx.File, error) {
	f, err := dir.OpenUpdate("lock", filePerm)
	if err != nil {
		return nil, fmt.Errorf("maildir: state directory: %w", err)
	}
	ok, err := f.TryLock()
	if err == nil && !ok {
		err = fmt.Errorf("another server uses it%s", holder(f))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("maildir: state directory: %w", err)
	}
	writeHolder(f, 0, pid)
	return f, nil
}

// writeHolder notes in a lock file of a given size who has it. That is only for
// people: on a full disk it fails, and that is all right.
func writeHolder(f fsx.File, size int64, pid int) {
	text := strconv.Itoa(pid) + "\n"
	old := make([]byte, len(text))
	if size == int64(len(text)) {
		if _, err := f.ReadAt(old, 0); err == nil && string(old) == text {
			return
		}
	}
	if _, err := f.WriteAt([]byte(text), 0); err == nil {
		f.Truncate(int64(len(text)))
	}
}

// holder says who has a lock file, for an error text: " (process 123)".
func holder(f fsx.File) string {
	b := make([]byte, 16)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	for i, c := range b[:n] {
		if c == '\n' && i > 0 {
			return " (process " + string(b[:i]) + ")"
		}
		if c < '0' || c > '9' {
			break
		}
	}
	return ""
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readAll gives the contents of a file of at most max octets.
func readAll(dir fsx.Dir, name string, max int64) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readUpTo(f, name, info.Size, max)
}

func readUpTo(f fsx.File, name string, size, max int64) ([]byte, error) {
	if size > max {
		return nil, fsx.PathError("read", name, errTooBig)
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return data[:n], nil
}

var errTooBig = errors.New("file is too big")

// noRoom adds maildrop.ErrFull to an error that means it.
func noRoom(err error) error {
	if errors.Is(err, fsx.ErrNoSpace) {
		return fmt.Errorf("%w: %w", maildrop.ErrFull, err)
	}
	return err
}
