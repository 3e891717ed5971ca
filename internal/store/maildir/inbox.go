package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

var (
	_ maildrop.Deliverer = (*Inbox)(nil)

	errInboxClosed = errors.New("maildir: inbox is closed")
)

// InboxOptions says which Maildir an Inbox is. Parent and Name must be set.
type InboxOptions struct {
	// Parent is the directory that the Maildir is in. The Inbox uses it until
	// Close.
	Parent fsx.Dir
	// Name is that of the Maildir in Parent; it is not a link. The first
	// delivery makes what is missing of it.
	Name string
	// Log takes what an operator should know. Nil: nobody does.
	Log *slog.Logger
}

// Inbox delivers to one Maildir, whoever owns and serves it: it needs no
// commit journal and no state directory, and puts nothing there but messages.
type Inbox struct {
	store *Store // what deliveries need of one
	path  []string

	mu     sync.Mutex
	shared *sharedTarget // nil: not open
	closed bool
}

// sharedTarget is an open Maildir that deliveries use at the same time.
// Inbox.mu guards what changes of it.
type sharedTarget struct {
	*target
	homeInode uint64
	newInode  uint64
	users     int
	stale     bool // for no further delivery
}

// OpenInbox returns the Inbox of a Maildir, which need not be there yet.
func OpenInbox(o InboxOptions) (*Inbox, error) {
	d, err := o.Parent.Dir(o.Name)
	if err == nil {
		err = d.Close()
	}
	if ignoreNotExist(err) != nil {
		return nil, fmt.Errorf("maildir: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: Options{Root: o.Parent, Log: o.Log}, names: namer{pid: os.Getpid()}}
	s.buffers.New = func() any { return new([bufferSize]byte) }
	s.drops.init()
	return &Inbox{store: s, path: []string{o.Name}}, nil
}

// Deliver stores a message as [Store.Deliver] does; the account means nothing.
// A key is known as long as its message is in this Maildir. A UID is not
// imported: the server of the Maildir chooses its own.
func (i *Inbox) Deliver(ctx context.Context, _ string, in maildrop.Incoming, r io.Reader) error {
	in.UID = ""
	return i.use(func(d *drop, t *sharedTarget) error {
		return i.store.deliverOnce(ctx, d, t.target, in, r, i.store.straight(d, t.target))
	})
}

// use calls f with the Maildir, open.
func (i *Inbox) use(f func(d *drop, t *sharedTarget) error) error {
	d := i.store.drops.use(i.path)
	defer i.store.drops.release(d)
	t, err := i.borrow(d)
	if err == nil {
		err = f(d, t)
		i.giveBack(t, err)
	}
	return noRoom(err)
}

// Close releases the Maildir, once the deliveries that are under way have
// ended. It waits for none.
func (i *Inbox) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return errInboxClosed
	}
	i.closed = true
	i.share(nil)
	return nil
}

// borrow gives the Maildir that has the name now, open.
func (i *Inbox) borrow(d *drop) (*sharedTarget, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, errInboxClosed
	}
	if i.current() {
		d.sweep.run(i.store, d, i.shared.home)
	} else {
		t, err := i.open(d)
		if err != nil {
			return nil, err
		}
		i.share(t)
	}
	i.shared.users++
	return i.shared, nil
}

// current says whether the open Maildir still has its name: its owner may have
// moved it away and made another.
func (i *Inbox) current() bool {
	t := i.shared
	if t == nil || t.stale {
		return false
	}
	home, err := i.store.opts.Root.Stat(i.path[0])
	if err != nil || home.Inode != t.homeInode {
		return false
	}
	inbox, err := t.home.Stat("new")
	return err == nil && inbox.Inode == t.newInode
}

// open opens the Maildir anew. The one before is still open then, so that its
// inodes are no other's.
func (i *Inbox) open(d *drop) (*sharedTarget, error) {
	t, err := i.store.openInbox(d, i.path)
	if err != nil {
		return nil, err
	}
	var home, inbox fsx.Info
	if home, err = t.home.Self(); err == nil {
		inbox, err = t.new.Self()
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return &sharedTarget{target: t, homeInode: home.Inode, newInode: inbox.Inode}, nil
}

// share makes t what the next deliveries use.
func (i *Inbox) share(t *sharedTarget) {
	old := i.shared
	i.shared = t
	if old != nil {
		old.stale = true
		i.retire(old)
	}
}

// giveBack ends a use of t. If something was missing, the next delivery opens
// the Maildir anew, in case that helps.
func (i *Inbox) giveBack(t *sharedTarget, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	t.users--
	t.stale = t.stale || errors.Is(err, fs.ErrNotExist)
	i.retire(t)
}

// retire closes t if nobody uses it any more or will.
func (i *Inbox) retire(t *sharedTarget) {
	if t != i.shared && t.users == 0 {
		t.close()
	}
}
