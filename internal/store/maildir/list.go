package maildir

import (
	"cmp"
	"context"
	"errors"

	"io/fs"
	"math"
	"slices"

	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// entry is where the file of a message was seen last.
type entry struct {
	name  string
	where uint64 // length of the file + 1, or 0 if not known; shifted left by 1, plus 1 for cur
}

func newEntry(f file, length int64) entry {
	w := uint64(length+1) << 1
	if f.cur {
		w |= 1
	}
	return entry{f.name, w}
}

func (e entry) cur() bool     { return e.where&1 != 0 }
func (e entry) length() int64 { return int64(e.where>>1) - 1 }
func (e entry) file() file    { return file{e.name, e.cur()} }

// listing is one state of a maildrop. It never changes, and sessions share it.
type listing struct {
	msgs    []maildrop.Message
	entries []entry
	at      stamp     // the directories for which it holds; zero: it is to be checked
	uids    *uidTable // with which it was made
	nuids   int       // and how many records that had
	twins   bool      // some message has two names
	alike   bool      // some messages have the same base
	learnt  bool      // something in it is not told by the names
	cost    int       // the memory it takes, roughly
}

func (l *listing) worthIndex() bool { return len(l.msgs) >= small || l.learnt }

// weigh sets the cost.
func (l *listing) weigh() {
	l.cost = 128
	for i := range l.entries {
		l.cost += 80 + len(l.entries[i].name)
	}
}

// arrivalTime is the arrival of a message of that name; sec is what is known
// if the name does not tell.
func arrivalTime(name string, sec int64) time.Time {
	if s, usec := arrival(name[:uniqueLen(name)]); s != 0 {
		return time.Unix(s, usec*1000)
	}
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// refresh brings d.list up to date. d.mu is held.
func (s *Store) refresh(ctx context.Context, d *drop, f *folder) error {
	s.journal.retry(d.key)
	pending := s.journal.pending(d.key)
	if err := s.loadUIDs(d, f.home); err != nil {
		return err
	}
	at, err := f.stamp()
	if err != nil {
		return err
	}
	known := d.list
	if known == nil {
		if known, err = d.loadIndex(f.home); err != nil {
			return err
		}
	}
	been := known != nil
	if !been {
		known = new(listing)
	}
	if len(pending) == 0 && been && known.at != (stamp{}) && known.at == at {
		if known == d.list && known.uids == d.uids && (d.uids == nil || known.nuids == len(d.uids.recs)) {
			return nil
		}
		if known != d.list && (d.uids != nil || len(known.msgs) == 0) {
			return s.adopt(ctx, d, f, known)
		}
	}
	files, at, err := f.scan(ctx, known.entries)
	if err != nil {
		return err
	}
	if d.uids == nil && len(files) > 0 {
		if err := s.firstSight(ctx, d, f.home, files, been); err != nil {
			return err
		}
	}
	b := builder{Store: s, drop: d, folder: f, known: known}
	if b.items, err = b.sort(ctx, files, pending); err != nil {
		return err
	}
	if len(pending) > 0 {
		at = stamp{}
	}
	return b.build(ctx, at)
}

// adopt gives the messages of known, whose directories are unchanged, their
// UIDs.
func (s *Store) adopt(ctx context.Context, d *drop, f *folder, known *listing) error {
	if d.uids == nil || len(d.uids.recs) == 0 {
		// No two have ever wanted the same UID: that would be written down.
		for i := range known.msgs {
			known.msgs[i].UID = natural(known.entries[i].file().base())
		}
		known.uids, d.list = d.uids, known
		known.weigh()
		return nil
	}
	b := builder{Store: s, drop: d, folder: f, known: known, items: make([]item, len(known.entries))}
	for i, e := range known.entries {
		b.items[i] = newItem(e.file(), i)
	}
	return b.build(ctx, known.at)
}

// builder makes a listing.
type builder struct {
	*Store
	*drop
	*folder
	known *listing
	items []item
	twins bool // some message has two names
	alike bool // two messages have, or have had, the same base
}

// item is a message on its way into a listing.
type item struct {
	file
	baseLen   int
	sec, usec int64
	rank      int    // place among known; -1 if new
	inode     uint64 // if the base does not name the message alone
	place     int    // in the uids file; -1 if not there
	first     int    // place, where that decides the order; else the greatest int
	size      int64
	length    int64
	uid       string
}

func newItem(f file, rank int) item {
	sec, usec := arrival(f.name[:uniqueLen(f.name)])
	return item{file: f, baseLen: baseLen(f.name), sec: sec, usec: usec, rank: rank}
}

func (m *item) base() string { return m.name[:m.baseLen] }

// build makes the listing of items, in order, and saves the index.
func (b *builder) build(ctx context.Context, at stamp) error {
	again, err := b.measure(ctx)
	if err != nil {
		return err
	}
	b.order()
	if err := b.name(); err != nil {
		return err
	}
	l := &listing{
		msgs:    make([]maildrop.Message, len(b.items)),
		entries: make([]entry, len(b.items)),
		at:      at,
		uids:    b.uids,
		twins:   b.twins,
		alike:   b.alike,
	}
	if again || b.alike {
		l.at = stamp{}
	}
	if l.uids != nil {
		l.nuids = len(l.uids.recs)
	}
	for i := range b.items {
		m := &b.items[i]
		t := arrivalTime(m.name, m.sec)
		l.msgs[i] = maildrop.Message{UID: m.uid, Size: m.size, Time: t}
		l.entries[i] = newEntry(m.file, m.length)
		octets, _ := fields(m.base())
		sec, _ := arrival(m.name[:uniqueLen(m.name)])
		l.learnt = l.learnt || octets != m.size || sec == 0
	}
	l.weigh()
	b.list = l
	if b.alike {
		return nil // an index knows messages by their bases
	}
	if err := b.saveIndex(b.home); err != nil {
		b.opts.Log.Debug("maildir: cannot save the index", "maildir", b.key, "err", err)
	}
	return nil
}

// sort makes items of files: each message once, and none that pending names.
func (b *builder) sort(ctx context.Context, files []file, pending []mark) ([]item, error) {
	rank := make(map[string]int, len(b.known.entries))
	for i, e := range b.known.entries {
		rank[e.file().base()] = i
	}
	items := make([]item, len(files))
	for i, f := range files {
		items[i] = newItem(f, -1)
		if r, ok := rank[f.base()]; ok {
			items[i].rank = r
		}
	}
	items = byName(items)
	out := items[:0]
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && items[j].base() == items[i].base() {
			j++
		}
		if j-i == 1 && !b.uids.hadAlike(items[i].base()) {
			out = append(out, items[i])
		} else {
			same, err := b.tellApart(items[i:j])
			if err != nil {
				return nil, err
			}
			out = append(out, same...)
		}
		i = j
	}
	return b.subtract(out, pending)
}

// byName sorts items as their names tell. Keys are sorted in their place: an
// item is ten times as big, and few have the same time.
func byName(items []item) []item {
	type key struct {
		micros int64
		at     int
	}
	keys := make([]key, len(items))
	for i := range items {
		keys[i] = key{items[i].sec*1e6 + items[i].usec, i}
	}
	slices.SortFunc(keys, func(k, l key) int {
		if c := cmp.Compare(k.micros, l.micros); c != 0 {
			return c
		}
		x, y := &items[k.at], &items[l.at]
		return cmp.Or(cmp.Compare(x.base(), y.base()), cmp.Compare(x.name, y.name))
	})
	sorted := make([]item, len(items))
	for i, k := range keys {
		sorted[i] = items[k.at]
	}
	return sorted
}

// tellApart sorts out files of one base: a message that was moved during the
// scan, one that has two names, and different ones.
func (b *builder) tellApart(items []item) ([]item, error) {
	var out []item
	for _, m := range items {
		info, there, err := b.lookAt(m.file)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		m.inode = info.Inode
		if slices.ContainsFunc(out, func(o item) bool { return o.inode == m.inode }) {
			b.twins = true
			continue
		}
		out = append(out, m)
	}
	if len(out) == 0 { // all moved on meanwhile: it will be found by its base
		out = append(out, items[0])
	}
	if b.uids.hadAlike(out[0].base()) || len(out) > 1 {
		b.alike = true
	} else {
		out[0].inode = 0
	}
	for i := 1; i < len(out); i++ {
		out[i].rank = -1
	}
	return out, nil
}

func (f *folder) lookAt(m file) (info fsx.Info, there bool, err error) {
	dir, err := f.sub(m.cur)
	if err == nil {
		info, err = dir.Stat(m.name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return info, false, nil
	}
	return info, err == nil, err
}

// subtract drops the messages that are removed by right.
func (b *builder) subtract(items []item, pending []mark) ([]item, error) {
	if len(pending) == 0 {
		return items, nil
	}
	dead := make(map[string][]uint64)
	for _, m := range pending {
		dead[m.base] = append(dead[m.base], m.inode)
	}
	out := items[:0]
	for _, m := range items {
		if inodes := dead[m.base()]; inodes != nil {
			info, there, err := b.lookAt(m.file)
			if err != nil {
				return nil, err
			}
			if !there || slices.Contains(inodes, info.Inode) {
				continue
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// order puts the messages in the order of arrival. It depends on nothing that
// may be lost: those that were imported or taken over come first, as the uids
// file lists them, then the others as their names, or the times of their
// files, tell.
func (b *builder) order() {
	for i := range b.items {
		m := &b.items[i]
		m.place, m.first = -1, math.MaxInt
		if n, ok := b.uids.find(m.base(), m.inode); ok {
			if m.place = n; b.uids.recs[n].kind == kindUnique {
				m.first = n
			}
		}
	}
	slices.SortFunc(b.items, func(x, y item) int {
		return cmp.Or(cmp.Compare(x.first, y.first), cmp.Compare(x.sec, y.sec), cmp.Compare(x.usec, y.usec),
			cmp.Compare(x.base(), y.base()), cmp.Compare(x.inode, y.inode))
	})
}
