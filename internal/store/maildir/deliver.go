package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// Deliver stores a message: a new file in tmp, written and synced, moved into
// new under a name that nobody has, new synced. Until it is moved nobody sees
// it. What of it a crash leaves in tmp is swept away later.
func (s *Store) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	path, err := s.template.path(account)
	if err != nil {
		return err
	}
	if in.UID != "" && !validUID(in.UID) {
		return errors.New("maildir: the UID to be imported is no UID")
	}
	d := s.drops.use(path)
	defer s.drops.release(d)
	t, err := s.openInbox(d, path)
	if err == nil {
		defer t.close()
		err = s.deliverOnce(ctx, d, t, in, r, s.straight(d, t))
	}
	return noRoom(err)
}

// route says how a message that has been written to tmp gets into new.
type route struct {
	// shared says that its file is synced with others, if it is small.
	shared bool
	// move moves it, if its file is synced, or sees to both.
	move func(tmp, name string, synced bool) error
}

// straight is the route on which everything is durable at once.
func (s *Store) straight(d *drop, t *target) route {
	return route{move: func(tmp, name string, _ bool) error {
		if err := t.tmp.Move(tmp, t.new, name); err != nil {
			return err
		}
		return s.arrived(d, t, name)
	}}
}

// deliverOnce delivers by a route unless a message with the key of in is there.
// Nobody else can take it for delivered before it has moved.
func (s *Store) deliverOnce(ctx context.Context, d *drop, t *target, in maildrop.Incoming, r io.Reader, by route) error {
	if in.Key == "" {
		return s.deliver(ctx, d, t, in, random(), r, by)
	}
	last := keyName(in.Key)
	mine, err := s.claim(ctx, d, t, last)
	if err != nil || mine == nil {
		return err
	}
	err = s.deliver(ctx, d, t, in, last, r, by)
	d.inbox.mu.Lock()
	defer d.inbox.mu.Unlock()
	if err != nil {
		delete(d.inbox.keys, last)
	} else if d.inbox.keys != nil {
		d.inbox.keys[last] = nil
	}
	close(mine)
	return err
}

// claim makes the caller the one who delivers the message with a key. It gives
// nil if the message is there already. While another delivers it, claim waits.
func (s *Store) claim(ctx context.Context, d *drop, t *target, key string) (chan struct{}, error) {
	for {
		other, mine, err := s.tryClaim(ctx, d, t, key)
		if err != nil || other == nil {
			return mine, err
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryClaim gives the channel of another delivery of the key that is under way,
// or a new one for the caller's, or none if the message is there.
func (s *Store) tryClaim(ctx context.Context, d *drop, t *target, key string) (other, mine chan struct{}, err error) {
	d.inbox.mu.Lock()
	defer d.inbox.mu.Unlock()
	if d.inbox.keys == nil {
		if err := d.loadKeys(ctx, t); err != nil {
			return nil, nil, err
		}
	}
	other, there := d.inbox.keys[key]
	if !there {
		mine = make(chan struct{})
		d.inbox.keys[key] = mine
	}
	return other, mine, nil
}

// loadKeys finds the keys of the messages that are there, once; from then on
// this process knows of each. It syncs what it found: who moved a message there
// may have been killed before doing so. d.inbox.mu is held.
func (d *drop) loadKeys(ctx context.Context, t *target) error {
	files, _, err := t.scan(ctx, nil)
	if err != nil {
		return err
	}
	for _, cur := range []bool{false, true} {
		dir, err := t.sub(cur)
		if err == nil {
			err = dir.Sync()
		}
		if ignoreNotExist(err) != nil {
			return err
		}
	}
	d.inbox.keys = make(map[string]chan struct{})
	for _, f := range files {
		if key := keyOf(f.base()); key != "" {
			d.inbox.keys[strings.Clone(key)] = nil
		}
	}
	return nil
}

// deliver delivers. last is the last part of the unique name, which is made
// when the message is complete: that is when it arrives.
func (s *Store) deliver(ctx context.Context, d *drop, t *target, in maildrop.Incoming, last string, r io.Reader, by route) error {
	tmp := s.names.next(time.Now(), random())
	c, synced, err := s.writeTmp(ctx, t, tmp, in.Time, r, by.shared)
	if err != nil {
		return err
	}
	unique := ""
	if in.Time.IsZero() {
		unique = s.names.next(time.Now(), last)
	} else {
		unique = s.names.imported(in.Time, last)
	}
	name := fileName(unique, c.bytes, c.octets())
	if in.UID != "" {
		err = s.importUID(ctx, d, t, uidRec{kindUnique, in.UID, unique})
	}
	if err == nil {
		err = by.move(tmp, name, synced)
	}
	if err != nil {
		t.tmp.Remove(tmp)
	}
	return err
}

// arrived makes durable that a message is in new.
func (s *Store) arrived(d *drop, t *target, name string) error {
	err := t.group.Do(t.new.Sync)
	if err != nil {
		s.unsettled.Store(d.key, err)
		t.new.Remove(name) // it may come back, but nobody was told that it is here
	}
	return err
}

// maxShared is how many octets a file has at most that is synced with others.
const maxShared = 1 << 20

// writeTmp writes the message to the file name in tmp, and syncs it, unless it
// is to share the sync with others.
func (s *Store) writeTmp(ctx context.Context, t *target, name string, at time.Time, r io.Reader, shared bool) (c counter, synced bool, err error) {
	f, err := t.tmp.Create(name, filePerm)
	if err != nil {
		return c, false, err
	}
	// As long as the file is locked, no sweep takes it for a leftover.
	if _, err = f.TryLock(); err == nil {
		err = s.copy(ctx, f, r, &c)
	}
	if err == nil && !at.IsZero() {
		err = f.SetModTime(at)
	}
	if synced = !shared || c.bytes > maxShared; err == nil && synced {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.tmp.Remove(name)
	}
	return c, synced, err
}

// copy writes what r gives to f, with the line ends in which it is stored.
func (s *Store) copy(ctx context.Context, f fsx.File, r io.Reader, c *counter) error {
	buf := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buf)
	var lines unixLines
	for idle := 0; ; {
		n, err := fill(r, buf[1:])
		if err != nil && err != io.EOF {
			return fmt.Errorf("maildir: message broke off: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		p := lines.convert(buf[:1+n])
		if err == io.EOF {
			p = append(p, lines.end()...)
		}
		c.add(p)
		if len(p) > 0 {
			if _, err := f.Write(p); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if idle++; n > 0 {
			idle = 0
		} else if idle == 100 {
			return io.ErrNoProgress
		}
	}
}

// fill reads until p is full or r ends, so that a message in small parts does
// not become as many writes.
func fill(r io.Reader, p []byte) (n int, err error) {
	for idle := 0; n < len(p) && err == nil && idle < 100; idle++ {
		var m int
		if m, err = r.Read(p[n:]); m > 0 {
			idle = 0
		}
		n += m
	}
	return n, err
}

// importUID makes durable that a message will have a UID, before anybody can
// see it under another.
func (s *Store) importUID(ctx context.Context, d *drop, t *target, r uidRec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.loadUIDs(d, t.home); err != nil {
		return err
	}
	if d.uids == nil {
		files, _, err := t.scan(ctx, nil)
		if err != nil {
			return err
		}
		if err := s.firstSight(ctx, d, t.home, files, d.list != nil); err != nil {
			return err
		}
	}
	// An import that broke off after this point last time is no reason to
	// refuse the UID, nor is one whose message has been removed.
	if old, ok := d.uids.record(r.uid); ok {
		files, _, err := t.scan(ctx, nil)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(files, func(f file) bool { return strings.HasPrefix(f.name, old.name) }) {
			s.opts.Log.Warn("maildir: a UID to be imported is taken", "maildir", d.key)
			return nil
		}
	}
	return s.addUIDs(d, t.home, []uidRec{r})
}

// target is where a delivery goes: an open Maildir.
type target struct {
	folder
	tmp   fsx.Dir
	group *fsx.Group
}

func (t *target) close() {
	if t.tmp != nil {
		t.tmp.Close()
	}
	t.folder.close()
}

// openInbox opens the Maildir for a delivery and makes it if need be. The
// first time it also makes sure that its directories are durable, which
// nobody may have done who made them.
func (s *Store) openInbox(d *drop, path []string) (*target, error) {
	d.inbox.mu.Lock()
	known := d.inbox.inode
	d.inbox.mu.Unlock()
	t := new(target)
	err := fs.ErrNotExist
	if known != 0 {
		err = t.open(s.opts.Root, path)
	}
	var self fsx.Info
	if err == nil {
		self, err = t.new.Self()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.close()
		return nil, err
	}
	if err != nil || self.Inode != known {
		t.close()
		d.inbox.forget(known)
		t = new(target)
		if err := s.makeInbox(t, path); err != nil {
			t.close()
			return nil, err
		}
		if self, err = t.new.Self(); err != nil {
			t.close()
			return nil, err
		}
	}
	d.inbox.mu.Lock()
	defer d.inbox.mu.Unlock()
	if d.inbox.inode != self.Inode {
		d.inbox.inode, d.inbox.group, d.inbox.keys = self.Inode, new(fsx.Group), nil
	}
	t.group = d.inbox.group
	d.sweep.run(s, d, t.home)
	return t, nil
}

// open opens a Maildir that is there.
func (t *target) open(root fsx.Dir, path []string) error {
	f, err := openFolder(root, path)
	if err != nil {
		return err
	}
	t.folder = *f
	if t.tmp, err = t.home.Dir("tmp"); err != nil {
		return err
	}
	_, err = t.sub(false)
	return err
}

// makeInbox makes what is missing of a Maildir. If a sync fails on the way, a
// directory may be lost with the next power cut however often its parent is
// synced again (fsx.File.Sync). Then this process delivers nowhere any more
// where it has not made sure of the directories before.
func (s *Store) makeInbox(t *target, path []string) error {
	if err := s.unsafe.Load(); err != nil {
		return fmt.Errorf("maildir: no new maildrop until the server is restarted, since: %w", *err)
	}
	err := t.make(s.opts.Root, path, s.journal != nil)
	var failed *fs.PathError
	if errors.As(err, &failed) && strings.HasPrefix(failed.Op, "sync") {
		s.opts.Log.Error("maildir: a directory could not be synced", "err", err)
		s.unsafe.Store(&err)
	}
	return err
}

// make makes what is missing of a Maildir, and all of it durable. served says
// that sessions of this store open it.
func (t *target) make(root fsx.Dir, path []string, served bool) (err error) {
	if t.home, err = fsx.MakeDirs(root, dirPerm, path...); err != nil {
		return err
	}
	for _, name := range []string{"tmp", "cur"} {
		if err := t.home.Mkdir(name, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if t.tmp, err = t.home.Dir("tmp"); err != nil {
		return err
	}
	if served {
		// Later the disk may be too full for that, and then mail must go.
		if f, err := t.home.OpenUpdate(lockName, filePerm); err == nil {
			f.Close()
		}
	}
	t.new, err = fsx.MakeDirs(t.home, dirPerm, "new")
	return err
}

// folderOf opens the Maildir that a path in the journal names.
func (s *Store) folderOf(path string) (*folder, error) {
	return openFolder(s.opts.Root, strings.Split(path, "/"))
}
