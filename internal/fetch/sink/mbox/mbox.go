// Package mbox appends fetched mail to an mbox file, in the form called mboxrd.
//
// A message is a line "From MAILER-DAEMON" with the time of its arrival, the
// message with LF line ends, in which ">" stands in front of each line of any
// number of ">" and "From ", and an empty line.
//
// Beside the file, whose name be inbox, lie "inbox.postwain-keys", the keys of
// the messages that are stored; "inbox.postwain-new", the message that is about
// to be, with its place; and "inbox.postwain-lock", which the process that
// uses them keeps locked (flock). With these a crash doubles no message, and
// what it left of one is removed, provided that it is ours, octet for octet, and
// that nobody has written behind it.
//
// Other programs are kept out, and waited for, by the lock file "inbox.lock"
// and by flock on the file. A lock file of another program is never removed.
// Who writes to the file and heeds neither may damage it, and a message whose
// storing a crash cut off may come twice if another program has rewritten the
// file since.
package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

var errClosed = errors.New("mbox: sink is closed")

// mbox is the sink. Who has the turn uses the rest.
type mbox struct {
	dir    fsx.Dir
	name   string
	turn   chan struct{} // full while somebody has it
	closed atomic.Bool

	lock     *dotLock
	keys     *keyFile
	pending  *pending
	inode    uint64 // of the file whose name is durable
	doubt    bool   // what is pending may be in the file, or half of it
	spoiled  bool   // and a sync of it failed, so that it must go
	released bool
}

// Open opens the mbox file name in dir, which need not be there yet; it is no
// link. The sink uses dir until Close. It fails if another process has opened
// the same file in this way. What a crash left is put right at once, or, if
// another program has the file locked, by the first Put.
func Open(dir fsx.Dir, name string) (sink.Sink, error) {
	m := &mbox{dir: dir, name: name, turn: make(chan struct{}, 1)}
	if err := m.open(); err != nil {
		m.release()
		return nil, fmt.Errorf("mbox: %w", err)
	}
	return m, nil
}

func (m *mbox) open() (err error) {
	if err := fsx.CheckName(m.name); err != nil {
		return fsx.PathError("open", m.name, err)
	}
	names := []string{m.name + ".postwain-lock", m.name + ".postwain-keys", m.name + ".postwain-new"}
	absent := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := m.dir.Stat(name)
		return !errors.Is(err, fs.ErrNotExist)
	})
	if m.lock, err = openLock(m.dir, names[0], m.name+".lock"); err != nil {
		return err
	}
	if m.keys, err = openKeys(m.dir, names[1]); err != nil {
		return err
	}
	// Whoever removed the file has removed what the keys tell of: it is not
	// stored any more.
	if _, err := m.dir.Stat(m.name); errors.Is(err, fs.ErrNotExist) {
		if err := m.keys.forget(); err != nil {
			return err
		}
	}
	if m.pending, err = openPending(m.dir, names[2]); err != nil {
		return err
	}
	if err := m.dir.Sync(); err != nil {
		// A name that was not synced now never will be: it must be made anew.
		for _, name := range absent {
			m.dir.Remove(name)
		}
		return err
	}
	if m.doubt = m.pending.valid; m.doubt {
		_, err = m.tryLocked(m.settle)
	}
	return err
}

// release closes what is open, once.
func (m *mbox) release() {
	if m.released {
		return
	}
	m.released = true
	if m.pending != nil {
		m.pending.file.Close()
	}
	if m.keys != nil {
		m.keys.file.Close()
	}
	if m.lock != nil {
		m.lock.file.Close()
	}
}

// Parallel is 1: messages stand one behind the other.
func (*mbox) Parallel() int { return 1 }
func (*mbox) Exact() bool   { return true }
func (*mbox) Sync() error   { return nil }

// Close releases the files, or leaves that to the Put that is using them.
func (m *mbox) Close() error {
	if m.closed.Swap(true) {
		return errClosed
	}
	m.retire()
	return nil
}

// retire releases the files if nobody uses them.
func (m *mbox) retire() {
	select {
	case m.turn <- struct{}{}:
		m.release()
		<-m.turn
	default:
	}
}

// Put appends a message. It does not read one whose key is known.
func (m *mbox) Put(ctx context.Context, msg sink.Message, r io.Reader) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		<-m.turn
		if m.closed.Load() {
			m.retire()
		}
	}()
	if m.closed.Load() {
		return errClosed
	}
	err := m.put(ctx, msg, r)
	if errors.Is(err, fsx.ErrNoSpace) {
		err = fmt.Errorf("%w: %w", maildrop.ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("mbox: %s: %w", m.name, err)
	}
	return nil
}

func (m *mbox) put(ctx context.Context, msg sink.Message, r io.Reader) error {
	if !validKey(msg.Key) {
		return fmt.Errorf("the key %q is not 1–64 of a–z and 0–9", msg.Key)
	}
	if m.doubt {
		if err := m.whenLocked(ctx, m.settle); err != nil {
			return err
		}
	}
	if m.keys.has(msg.Key) {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	if msg.Time.IsZero() {
		msg.Time = time.Now()
	}
	if err := m.pending.fill(ctx, msg, r); err != nil {
		return err
	}
	return m.whenLocked(ctx, m.append)
}
