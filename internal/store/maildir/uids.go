package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"strings"

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

// What the name in a line is.
const (
	kindUnique = 'u' // a unique name
	kindBase   = 'b' // a base, of which the unique name is not unique
	kindInode  = 'i' // a base, a slash and an inode: not even the base is
)

type uidRec struct {
	kind byte
	uid  string
	name string
}

// uidTable is the uids file in memory.
type uidTable struct {
	info  fsx.Info // of the file when it was read
	valid int64    // octets that are whole lines
	recs  []uidRec
	place map[string]int32 // of a record, by kind and name
	taken map[string]int32 // of a record, by UID
	alike map[string]bool  // bases that several files have had
}

func (t *uidTable) add(r uidRec) {
	n := int32(len(t.recs))
	t.recs = append(t.recs, r)
	t.place[string(r.kind)+r.name] = n
	t.taken[r.uid] = n
	if r.kind == kindInode {
		t.alike[r.name[:strings.LastIndexByte(r.name, '/')]] = true
	}
}

// find gives the record for a file. It may be used on nil.
func (t *uidTable) find(base string, inode uint64) (n int, ok bool) {
	if t == nil || len(t.recs) == 0 {
		return 0, false
	}
	if inode != 0 {
		if n, ok := t.place["i"+inodeName(base, inode)]; ok {
			return int(n), true
		}
	}
	if n, ok := t.place["b"+base]; ok {
		return int(n), true
	}
	p, ok := t.place["u"+base[:uniqueLen(base)]]
	return int(p), ok
}

// hadAlike says whether more than one file of a base has been seen. It may be
// used on nil.
func (t *uidTable) hadAlike(base string) bool { return t != nil && t.alike[base] }

// record gives the newest record with a UID. It may be used on nil.
func (t *uidTable) record(uid string) (r uidRec, ok bool) {
	if t == nil {
		return r, false
	}
	n, ok := t.taken[uid]
	if ok {
		r = t.recs[n]
	}
	return r, ok
}

func inodeName(base string, inode uint64) string {
	return base + "/" + strconv.FormatUint(inode, 10)
}

// appendUID appends the line of r to b.
func appendUID(b []byte, r uidRec) []byte {
	line := append(make([]byte, 0, 160), r.kind, ' ')
	line = append(append(line, r.uid...), ' ')
	for i := 0; i < len(r.name); i++ {
		if c := r.name[i]; c < 0x21 || c > 0x7E || c == '%' {
			line = fmt.Appendf(line, "%%%02X", c)
		} else {
			line = append(line, c)
		}
	}
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(line, castagnoli))
	return append(append(b, line...), '\n')
}

// parseUID reads a line without its line end.
func parseUID(line []byte) (uidRec, bool) {
	if len(line) < 14 || line[8] != ' ' || line[10] != ' ' {
		return uidRec{}, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
		return uidRec{}, false
	}
	uid, name, ok := strings.Cut(string(line[11:]), " ")
	if !ok || !validUID(uid) {
		return uidRec{}, false
	}
	name, ok = unescape(name)
	return uidRec{line[9], uid, name}, ok && (line[9] != kindInode || strings.IndexByte(name, '/') >= 0)
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(c))
		i += 2
	}
	return string(b), true
}

func newTable() *uidTable {
	return &uidTable{place: make(map[string]int32), taken: make(map[string]int32), alike: make(map[string]bool)}
}

// parseUIDs reads a uids file.
func parseUIDs(data []byte) (*uidTable, error) {
	if !bytes.HasPrefix(data, []byte(uidsTitle)) {
		return nil, errors.New("it has no title")
	}
	t := newTable()
	t.valid = int64(len(uidsTitle))
	torn := false
	for off := len(uidsTitle); off < len(data); {
		end := bytes.IndexByte(data[off:], '\n')
		if end < 0 {
			break
		}
		r, ok := parseUID(data[off : off+end])
		off += end + 1
		switch {
		case !ok:
			torn = true
		case torn:
			return nil, errors.New("a line before the last is damaged")
		default:
			t.add(r)
			t.valid = int64(off)
		}
	}
	return t, nil
}

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

// createUIDs makes the uids file, which must not be there. d.mu is held.
func (s *Store) createUIDs(d *drop, home fsx.Dir, recs []uidRec) error {
	data := []byte(uidsTitle)
	for _, r := range recs {
		data = appendUID(data, r)
	}
	tmp, err := openOrMake(home, "tmp")
	if err != nil {
		return err
	}
	defer tmp.Close()
	name := s.names.next(now(), random())
	f, err := tmp.Create(name, filePerm)
	if err != nil {
		return err
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
		if !errors.Is(err, fs.ErrExist) { // then another server was faster
			return err
		}
	}
	if err := home.Sync(); err != nil {
		// The name may be lost in a crash however often it is synced now.
		return errors.Join(err, home.Remove(uidsName))
	}
	return s.loadUIDs(d, home)
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
		return s.createUIDs(d, home, recs)
	}
	f, err := home.OpenUpdate(uidsName, filePerm)
	if err != nil {
		return err
	}
	defer f.Close()
	var data []byte
	for _, r := range recs {
		data = appendUID(data, r)
	}
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size > d.uids.valid {
		if err := f.Truncate(d.uids.valid); err != nil { // what was torn
			return err
		}
	}
	if _, err = f.WriteAt(data, d.uids.valid); err == nil {
		err = f.Sync()
	}
	if err == nil {
		d.uids.info, err = f.Stat()
	}
	if err != nil {
		d.uids = nil // in doubt: to be read again
		return err
	}
	d.uids.valid += int64(len(data))
	for _, r := range recs {
		d.uids.add(r)
	}
	s.note(d)
	return nil
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
	err := s.createUIDs(d, home, recs)
	if err != nil && len(recs) == 0 {
		// It would only have said that there is nothing to say.
		s.opts.Log.Warn("maildir: cannot write a UID file", "maildir", d.key, "err", err)
		return nil
	}
	return err
}
