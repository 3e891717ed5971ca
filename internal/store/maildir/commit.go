package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Commit removes messages: the journal takes what is to go, and that decides;
// then the files are removed. ctx cannot stop it half way.
func (b *box) Commit(ctx context.Context, deleted []int) error {
	if b.closed || b.committed {
		return errors.New("maildir: commit on a maildrop that is closed")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.committed = true
	ctx = context.WithoutCancel(ctx)
	for _, i := range deleted {
		if i < 0 || i >= len(b.list.entries) {
			return fmt.Errorf("maildir: no message %d to remove", i+1)
		}
	}
	r, files, err := b.marks(ctx, deleted)
	if err != nil || len(r.marks) == 0 {
		return err
	}
	in, err := b.store.journal.commit(r)
	if err != nil {
		return err
	}
	left, why := b.removeFiles(ctx, r.marks, files)
	b.store.journal.over(in, left)
	if len(left) > 0 {
		b.store.opts.Log.Warn("maildir: messages that are deleted cannot be removed yet",
			"maildir", b.drop.key, "messages", len(left), "err", why)
	}
	b.forget(deleted)
	return nil
}

// marks finds the files of the messages to be removed, and where they are. One
// that is gone already needs no removal.
func (b *box) marks(ctx context.Context, deleted []int) (r removal, files []file, err error) {
	r = removal{path: b.drop.key, marks: make([]mark, 0, len(deleted))}
	files = make([]file, 0, len(deleted))
	lost := make(map[string]bool)
	add := func(m file) error {
		info, there, err := b.folder.lookAt(m)
		if lost[m.base()] = !there; there {
			delete(lost, m.base())
			r.marks = append(r.marks, mark{m.base(), info.Inode})
			files = append(files, m)
		}
		return err
	}
	for _, i := range deleted {
		if err := add(b.list.entries[i].file()); err != nil {
			return r, nil, err
		}
	}
	for try := 0; len(lost) > 0; try++ {
		if try == maxScans {
			return r, nil, errors.New("maildir: messages are being moved too fast to be removed")
		}
		for base := range lost {
			if err := b.unmistakable(base); err != nil {
				return r, nil, err
			}
		}
		found, err := b.folder.find(ctx, lost)
		if err != nil {
			return r, nil, err
		}
		for base := range lost {
			if len(found[base]) == 0 {
				delete(lost, base)
			} else if err := add(found[base][0]); err != nil {
				return r, nil, err
			}
		}
	}
	return r, files, nil
}

// removeFiles removes the files of marks where they were seen last, and looks
// for those that have been moved. A file with a second name may be on its way
// from the one to the other, as some programs move by link and unlink.
func (b *box) removeFiles(ctx context.Context, marks []mark, files []file) (left []mark, why error) {
	for i, m := range files {
		info, there, err := b.folder.lookAt(m)
		if err != nil || !there || info.Inode != marks[i].inode || info.Links > 1 {
			left = append(left, marks[i])
			continue
		}
		dir, _ := b.folder.sub(m.cur) // it is open: lookAt has used it
		if dir.Remove(m.name) != nil {
			left = append(left, marks[i])
		}
	}
	if b.list.twins {
		left = marks
	}
	if len(left) == 0 {
		return nil, nil
	}
	return b.store.removeFrom(ctx, b.folder, left)
}

// forget takes removed messages out of what is known of the maildrop.
func (b *box) forget(deleted []int) {
	d := b.drop
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list != b.list {
		d.list = nil // another session has seen something else: look again
		return
	}
	dead := make([]bool, len(b.list.entries))
	for _, i := range deleted {
		dead[i] = true
	}
	l := &listing{uids: b.list.uids, nuids: b.list.nuids, learnt: b.list.learnt}
	for i, e := range b.list.entries {
		if !dead[i] {
			l.entries = append(l.entries, e)
			l.msgs = append(l.msgs, b.list.msgs[i])
		}
	}
	l.weigh()
	d.list = l
}

// remove carries out what the journal says. It is part of the recovery after a
// crash, so it looks afresh for each file. A Maildir that is not there may be
// on a disk that is not mounted: then all is left to do.
func (s *Store) remove(r *removal) (left []mark, why error) {
	f, err := s.folderOf(r.path)
	if err != nil {
		return r.marks, err
	}
	defer f.close()
	return s.removeFrom(context.Background(), f, r.marks)
}

// errRestless is why a removal waits for a Maildir in which others keep moving
// what it looks for.
var errRestless = errors.New("other programs keep moving files there")

// removeFrom removes every name of the files that marks name, wherever they
// are, and gives the marks of which it could not, and why.
func (s *Store) removeFrom(ctx context.Context, f *folder, marks []mark) (left []mark, why error) {
	dead := make(map[string][]uint64, len(marks))
	for _, m := range marks {
		dead[m.base] = append(dead[m.base], m.inode)
	}
	clean := 0
	for range maxScans {
		list, at, err := f.scan(ctx, nil)
		if err != nil {
			return marks, err
		}
		found, left, why := f.removeListed(list, dead)
		if len(left) > 0 {
			return left, why
		}
		if clean++; found {
			clean = 0
		}
		if clean == gone || clean > 0 && at != (stamp{}) {
			return nil, nil
		}
	}
	return marks, errRestless
}

// removeListed removes what of list is dead. found says that there was
// something.
func (f *folder) removeListed(list []file, dead map[string][]uint64) (found bool, left []mark, why error) {
	for _, l := range list {
		inodes := dead[l.base()]
		if inodes == nil {
			continue
		}
		info, there, err := f.lookAt(l)
		if err == nil && there && !slices.Contains(inodes, info.Inode) {
			continue // another message
		}
		found = true
		if err == nil && there {
			dir, _ := f.sub(l.cur) // it is open: lookAt has used it
			err = dir.Remove(l.name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			why = err
			for _, inode := range inodes {
				left = append(left, mark{l.base(), inode})
			}
		}
	}
	return found, left, why
}

// settle syncs the directories of a Maildir. If a sync of one has ever failed,
// removals from it may be lost with the next power cut however often it is
// synced again. Then they stay in the journal as long as this process lives,
// and the next one carries them out once more.
func (s *Store) settle(path string) error {
	if err, ok := s.unsettled.Load(path); ok {
		return err.(error)
	}
	f, err := s.folderOf(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.close()
	// cur first: where another program moved a message to it before the message
	// was removed, new gives up the old name for good only once cur has had
	// the other one.
	for _, cur := range []bool{true, false} {
		dir, err := f.sub(cur)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := dir.Sync(); err != nil {
			s.unsettled.Store(path, err)
			return err
		}
	}
	return nil
}
