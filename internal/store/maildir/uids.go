package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// The file postwain-uids holds the UIDs that cannot be derived from file
// names, in the order of their messages. It is made in one step, then only
// appended to, and never rebuilt. Its first line is its title; each other is
//
//	checksum kind uid name
//
// The checksum is the CRC-32C of what is behind it, in 8 hexadecimal digits;
// in names, what is not 0x21 to 0x7E and '%' is written %XX. A torn last line
// was never acknowledged and is dropped; a bad line before a good one means
// that the file is damaged.

const (
	uidsName  = "postwain-uids"
	uidsTitle = "postwain-uids 1\n"
	maxUIDs   = 1 << 30
)

// loadUIDs brings d.uids up to date. d.mu is held.
func (s *Store) loadUIDs(d *drop, home fsx.Dir) error {
	info, err := home.Stat(uidsName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.uidsMissing(d)
	case err != nil:
		return err
	case d.uids != nil && sameFile(d.uids.info, info):
		return nil
	}
	data, err := readAll(home, uidsName, maxUIDs)
	if err != nil {
		return err
	}
	t, err := parseUIDs(data)
	if err != nil {
		return fmt.Errorf("maildir: %s/%s: %w: %w", d.key, uidsName, err, maildrop.ErrDamaged)
	}
	t.info = info
	d.uids = t
	if len(t.recs) > 0 {
		s.note(d)
	}
	return nil
}

func sameFile(a, b fsx.Info) bool {
	return a.Inode == b.Inode && a.Size == b.Size && a.ModTime.Equal(b.ModTime) && a.Changed.Equal(b.Changed)
}

// uidsMissing decides what it means that there is no uids file: nothing was
// ever written to it, or it is lost, and then nothing may take its place.
func (s *Store) uidsMissing(d *drop) error {
	lost := d.uids != nil && len(d.uids.recs) > 0
	if !lost && d.uids == nil {
		_, err := s.notes.Stat(d.noteName())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		lost = err == nil
	}
	if lost {
		return fmt.Errorf("maildir: %s/%s is missing, and with it UIDs that clients know; restore it, or remove uids/%s from the state directory and let all clients download again: %w",
			d.key, uidsName, d.noteName(), maildrop.ErrDamaged)
	}
	d.uids = nil
	return nil
}

// noteName is the file in the state directory that says that the Maildir of d
// has a uids file with lines.
func (d *drop) noteName() string { return hashUID(d.key)[:26] }

// note remembers that d has a uids file. Without room for that all is well
// until the file is lost.
func (s *Store) note(d *drop) {
	if d.noted {
		return
	}
	_, err := s.notes.Stat(d.noteName())
	if errors.Is(err, fs.ErrNotExist) {
		err = fsx.WriteFile(s.notes, d.noteName(), []byte(d.key+"\n"), filePerm)
	}
	if err != nil {
		s.opts.Log.Warn("maildir: cannot note that a UID file exists", "maildir", d.key, "err", err)
		return
	}
	d.noted = true
}

// createUIDs makes the uids file. made is false if another server was faster;
// then its file is loaded. d.mu is held.
func (s *Store) createUIDs(d *drop, home fsx.Dir, recs []uidRec) (made bool, err error) {
	data := []byte(uidsTitle)
	for _, r := range recs {
		data = appendUID(data, r)
	}
	tmp, err := openOrMake(home, "tmp")
	if err != nil {
		return false, err
	}
	defer tmp.Close()
	name := s.names.next(time.Now(), random())
	f, err := tmp.Create(name, filePerm)
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = tmp.Move(name, home, uidsName)
	}
	if err != nil {
		tmp.Remove(name)
		if errors.Is(err, fs.ErrExist) {
			err = s.loadUIDs(d, home)
		}
		return false, err
	}
	if err := home.Sync(); err != nil {
		// The name may be lost in a crash however often it is synced now.
		return false, errors.Join(err, home.Remove(uidsName))
	}
	return true, s.loadUIDs(d, home)
}

func openOrMake(home fsx.Dir, name string) (fsx.Dir, error) {
	d, err := home.Dir(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	return fsx.MakeDirs(home, dirPerm, name)
}

// addUIDs appends records, durably. d.mu is held, and d.uids is up to date.
func (s *Store) addUIDs(d *drop, home fsx.Dir, recs []uidRec) error {
	if len(recs) == 0 {
		return nil
	}
	if d.uids == nil {
		if made, err := s.createUIDs(d, home, recs); err != nil || made {
			return err
		}
	}
	f, err := home.OpenUpdate(uidsName, filePerm)
	if err != nil {
		return err
	}
	defer f.Close()
	// Other servers that import here write at the end, too.
	if ok, err := f.TryLock(); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("maildir: %s/%s is being written by another server", d.key, uidsName))
	}
	if err := s.loadUIDs(d, home); err != nil {
		return err
	}
	if mine, err := f.Stat(); err != nil || d.uids == nil || mine.Inode != d.uids.info.Inode {
		return errors.Join(err, fmt.Errorf("maildir: %s/%s was replaced by another server meanwhile", d.key, uidsName))
	}
	if d.doubt {
		err = s.rewriteUIDs(d, home, recs)
	} else {
		err = s.appendUIDs(d, f, recs)
	}
	if d.doubt = err != nil; err != nil {
		return err
	}
	return s.loadUIDs(d, home)
}

func (s *Store) appendUIDs(d *drop, f fsx.File, recs []uidRec) error {
	var data []byte
	for _, r := range recs {
		data = appendUID(data, r)
	}
	if d.uids.info.Size > d.uids.valid {
		if err := f.Truncate(d.uids.valid); err != nil { // what was torn
			return err
		}
	}
	if _, err := f.WriteAt(data, d.uids.valid); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for _, r := range recs {
		d.uids.add(r)
	}
	d.uids.info, d.uids.valid = info, d.uids.valid+int64(len(data))
	s.note(d)
	return nil
}

// rewriteUIDs puts a whole new file in place of one of which a part may not be
// on the disk, though it can be read: no later sync would tell.
func (s *Store) rewriteUIDs(d *drop, home fsx.Dir, recs []uidRec) error {
	data := []byte(uidsTitle)
	for _, list := range [][]uidRec{d.uids.recs, recs} {
		for _, r := range list {
			data = appendUID(data, r)
		}
	}
	return fsx.WriteFile(home, uidsName, data, filePerm)
}

// firstSight makes the uids file of a Maildir that has messages and none: with
// what another server's files say of them, unless this server has been here
// before. d.mu is held.
func (s *Store) firstSight(ctx context.Context, d *drop, home fsx.Dir, files []file, been bool) error {
	var recs []uidRec
	if !been {
		var err error
		if recs, err = s.takeOver(ctx, d, home, files); err != nil {
			return err
		}
	}
	_, err := s.createUIDs(d, home, recs)
	if err != nil && len(recs) == 0 {
		// It would only have said that there is nothing to say.
		s.opts.Log.Warn("maildir: cannot write a UID file", "maildir", d.key, "err", err)
		return nil
	}
	return err
}
