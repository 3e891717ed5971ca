package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

var (
	_ maildrop.Store     = (*Store)(nil)
	_ maildrop.Deliverer = (*Store)(nil)
	_ maildrop.Box       = (*box)(nil)
)

// box is an open maildrop.
type box struct {
	store     *Store
	drop      *drop
	exclusive bool
	folder    *folder // nil: there is no Maildir
	lock      fsx.File
	list      *listing
	committed bool
	closed    bool

	mu     sync.Mutex
	resize map[int]counter // what reading has shown of sizes
}

// Open opens the maildrop of account, for itself alone. One that has no Maildir
// yet is empty.
func (s *Store) Open(ctx context.Context, account string) (maildrop.Box, error) {
	return s.open(ctx, account, true)
}

// Snapshots is s for accounts of which several sessions, and several servers
// with a State each, may have the maildrop open: its Open takes no lock.
func (s *Store) Snapshots() maildrop.Store { return snapshots{s} }

type snapshots struct{ store *Store }

func (s snapshots) Open(ctx context.Context, account string) (maildrop.Box, error) {
	return s.store.open(ctx, account, false)
}

func (s *Store) open(ctx context.Context, account string, exclusive bool) (maildrop.Box, error) {
	path, err := s.template.path(account)
	if err != nil {
		return nil, err
	}
	d := s.drops.use(path)
	if exclusive && !s.drops.hold(d) {
		s.drops.release(d)
		return nil, fmt.Errorf("maildir: %w: open in this server", maildrop.ErrInUse)
	}
	b := &box{store: s, drop: d, exclusive: exclusive, list: new(listing)}
	if err := b.open(ctx, path); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *box) open(ctx context.Context, path []string) error {
	s, d := b.store, b.drop
	f, err := openFolder(s.opts.Root, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b.folder = f
	if b.exclusive {
		if b.lock, err = lockDrop(f.home, s.opts.pid); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.refresh(ctx, d, f); err != nil {
		return err
	}
	b.list = d.list
	d.sweep.run(s, d, f.home)
	return nil
}

func (b *box) Messages() []maildrop.Message { return b.list.msgs }

// Close releases the lock. What reading has shown of sizes is kept.
func (b *box) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.keepSizes()
	if b.folder != nil {
		b.folder.close()
	}
	if b.lock != nil {
		b.lock.Close()
	}
	if b.exclusive {
		b.store.drops.unhold(b.drop)
	}
	b.store.drops.release(b.drop)
	return nil
}

// keepSizes corrects the sizes of messages whose reading has shown others, for
// the next session.
func (b *box) keepSizes() {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.drop
	if len(b.resize) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list == nil {
		return
	}
	place := make(map[string]int, len(d.list.entries))
	for i, e := range d.list.entries {
		place[e.file().base()] = i
	}
	l := *d.list
	l.msgs, l.entries, l.learnt = slices.Clone(l.msgs), slices.Clone(l.entries), true
	for i, c := range b.resize {
		if at, ok := place[b.list.entries[i].file().base()]; ok {
			l.msgs[at].Size = c.octets()
			l.entries[at] = newEntry(l.entries[at].file(), c.bytes)
		}
	}
	d.list = &l
	if err := d.saveIndex(b.folder.home); err != nil {
		b.store.opts.Log.Debug("maildir: cannot save the index", "maildir", d.key, "err", err)
	}
}

// Get opens message i. It gives the whole file, whatever lines is.
func (b *box) Get(ctx context.Context, i, lines int) (io.ReadCloser, error) {
	if b.closed || b.committed || i < 0 || i >= len(b.list.entries) {
		return nil, fmt.Errorf("maildir: no message %d to read", i+1)
	}
	f, err := b.openMessage(ctx, b.list.entries[i].file())
	if err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, box: b, index: i, file: f}
	if err := r.check(); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// openMessage opens the file m, wherever other programs have moved it.
func (b *box) openMessage(ctx context.Context, m file) (fsx.File, error) {
	for range maxScans {
		dir, err := b.folder.sub(m.cur)
		if err == nil {
			var f fsx.File
			if f, err = dir.Open(m.name); err == nil {
				return f, nil
			}
		}
		if errors.Is(err, fsx.ErrNotRegular) {
			return nil, fmt.Errorf("maildir: %w: %w", maildrop.ErrDamaged, err)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := b.unmistakable(m.base()); err != nil {
			return nil, err
		}
		found, err := b.folder.find(ctx, map[string]bool{m.base(): true})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("maildir: %s: %w", b.drop.key, maildrop.ErrGone)
		}
		m = found[m.base()][0]
	}
	return nil, fmt.Errorf("maildir: %s: a message is being moved too fast to be read", b.drop.key)
}

// unmistakable returns an error if messages that were moved cannot be told apart
// by their base, since several have the same.
func (b *box) unmistakable(base string) error {
	if !b.list.alike {
		return nil
	}
	same := 0
	for i := range b.list.entries {
		if b.list.entries[i].file().base() == base {
			same++
		}
	}
	if same > 1 {
		return fmt.Errorf("maildir: %s: one of several files named %q was moved or removed; a new session will tell which", b.drop.key, base)
	}
	return nil
}

// reader reads a message and ends in io.EOF only if it was what the listing
// said, as far as that was a promise.
type reader struct {
	ctx   context.Context
	box   *box
	index int
	file  fsx.File
	count counter
	want  int64 // bytes that the file must have; -1: any
	ours  bool  // and then the octets must be as listed, too
	err   error
}

// check compares the length of the file with what is known of it.
func (r *reader) check() error {
	e := r.box.list.entries[r.index]
	r.want, r.ours = e.length(), ours(e.file().base())
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if r.want >= 0 && info.Size != r.want {
		return r.changed(info.Size)
	}
	return nil
}

// changed is the error of a message whose file is not as long as it was. If
// its length was only noted here, it is counted again for the next session.
func (r *reader) changed(size int64) error {
	e := r.box.list.entries[r.index]
	if _, named := fields(e.file().base()); named < 0 {
		r.box.recount(r.ctx, r.index)
	}
	return fmt.Errorf("maildir: %s: a message of %d octets now has %d: %w", r.box.drop.key, e.length(), size, maildrop.ErrDamaged)
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	n, err := r.file.Read(p)
	r.count.add(p[:n])
	if r.want >= 0 && r.count.bytes > r.want {
		n, err = 0, r.changed(r.count.bytes)
	} else if err == io.EOF {
		err = r.end()
	}
	r.err = err
	return n, err
}

// end judges a message that was read whole.
func (r *reader) end() error {
	if r.want >= 0 && r.count.bytes != r.want {
		return r.changed(r.count.bytes)
	}
	if listed := r.box.list.msgs[r.index].Size; r.count.octets() != listed {
		if r.ours {
			return fmt.Errorf("maildir: %s: a message of %d octets has %d: %w", r.box.drop.key, listed, r.count.octets(), maildrop.ErrDamaged)
		}
		r.box.note(r.index, r.count)
	}
	return io.EOF
}

func (r *reader) Close() error { return r.file.Close() }

// note keeps the true size of message i for the next session.
func (b *box) note(i int, c counter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.resize == nil {
		b.resize = make(map[int]counter)
	}
	b.resize[i] = c
}

// recount counts message i again, which another program has rewritten.
func (b *box) recount(ctx context.Context, i int) {
	f, err := b.openMessage(ctx, b.list.entries[i].file())
	if err != nil {
		return
	}
	defer f.Close()
	if c, err := b.store.countFile(ctx, f); err == nil {
		b.note(i, c)
	}
}
