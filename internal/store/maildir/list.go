package maildir

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// countWorkers bounds how many files the store reads at a time to learn their
// sizes.
const countWorkers = 4

const bufferSize = 64 << 10

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
	learnt  bool      // something in it is not told by the names
}

func (l *listing) worthIndex() bool { return len(l.msgs) >= small || l.learnt }

func (l *listing) weight() int {
	n := 128
	for i := range l.entries {
		n += 80 + len(l.entries[i].name)
	}
	return n
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
		if d.uids != nil || len(known.msgs) == 0 {
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
	b := builder{Store: s, drop: d, folder: f, known: known, items: make([]item, len(known.entries))}
	for i, e := range known.entries {
		sec, usec := arrival(e.name[:uniqueLen(e.name)])
		b.items[i] = item{file: e.file(), sec: sec, usec: usec, rank: i}
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
	alike bool // two messages have the same base
}

// item is a message on its way into a listing.
type item struct {
	file
	sec, usec int64
	rank      int    // place among known; -1 if new
	inode     uint64 // if the base does not name the message alone
	place     int    // in the uids file; -1 if not there
	first     int    // place, where that decides the order; else the greatest int
	size      int64
	length    int64
	uid       string
}

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
		sec, usec := arrival(f.name[:uniqueLen(f.name)])
		items[i] = item{file: f, sec: sec, usec: usec, rank: -1}
		if r, ok := rank[f.base()]; ok {
			items[i].rank = r
		}
	}
	slices.SortFunc(items, func(x, y item) int {
		return cmp.Or(cmp.Compare(x.sec, y.sec), cmp.Compare(x.usec, y.usec),
			cmp.Compare(x.base(), y.base()), cmp.Compare(x.name, y.name))
	})
	out := items[:0]
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && items[j].base() == items[i].base() {
			j++
		}
		if j-i == 1 {
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
	if len(out) == 1 {
		out[0].inode = 0
	}
	b.alike = b.alike || len(out) > 1
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

// measure learns what is not known of the items: the size, from the name or
// from the index or by counting, and the arrival. again says that the
// directories have changed meanwhile, so that the listing holds for nobody else.
func (b *builder) measure(ctx context.Context) (again bool, err error) {
	var todo []*item
	for i := range b.items {
		m := &b.items[i]
		if m.rank >= 0 {
			m.size, m.length = b.known.msgs[m.rank].Size, b.known.entries[m.rank].length()
			if m.sec == 0 && !b.known.msgs[m.rank].Time.IsZero() {
				m.sec = b.known.msgs[m.rank].Time.Unix()
			}
			continue
		}
		m.size, m.length = fields(m.base())
		if m.size < 0 || m.sec == 0 {
			todo = append(todo, m)
		}
	}
	for try := 0; len(todo) > 0; try++ {
		if todo, err = b.countAll(ctx, todo); err != nil {
			return true, err
		}
		if len(todo) == 0 {
			break
		}
		again = true
		if todo, err = b.follow(ctx, todo, try); err != nil {
			return true, err
		}
	}
	b.items = slices.DeleteFunc(b.items, func(m item) bool { return m.size < 0 })
	return again, nil
}

// countAll reads the files of todo, several at a time, and gives those that
// are not where they were.
func (b *builder) countAll(ctx context.Context, todo []*item) (moved []*item, err error) {
	var dirs [2]fsx.Dir // new, cur; nil: not there
	for i := range dirs {
		if dirs[i], err = b.sub(i == 1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		first error
	)
	jobs := make(chan *item)
	work := func() {
		for m := range jobs {
			e := b.count(ctx, m, dirs)
			mu.Lock()
			if errors.Is(e, fs.ErrNotExist) {
				moved = append(moved, m)
			} else if e != nil && first == nil {
				first = e
			}
			mu.Unlock()
		}
	}
	for range min(countWorkers, len(todo)) {
		group.Go(work)
	}
	for _, m := range todo {
		jobs <- m
	}
	close(jobs)
	group.Wait()
	return moved, first
}

// count learns the size and the time of one file. What is no regular file is
// no message. A file that cannot be read is listed with its length, so that one
// bad file does not lock a user out; reading it fails.
func (b *builder) count(ctx context.Context, m *item, dirs [2]fsx.Dir) error {
	select {
	case b.counting <- struct{}{}:
		defer func() { <-b.counting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	dir := dirs[0]
	if m.cur {
		dir = dirs[1]
	}
	if dir == nil {
		return fs.ErrNotExist
	}
	info, err := dir.Stat(m.name)
	if err != nil {
		return err
	}
	if m.sec == 0 {
		m.sec = info.ModTime.Unix()
	}
	if !info.Mode.IsRegular() {
		b.opts.Log.Warn("maildir: not a message", "maildir", b.key, "name", m.name, "mode", info.Mode.String())
		m.size = -1
		return nil
	}
	if m.size >= 0 {
		return nil
	}
	if b.opts.counted != nil {
		b.opts.counted()
	}
	n, err := b.read(ctx, dir, m.name)
	switch {
	case err == nil:
		m.size, m.length = n.octets(), n.bytes
		return nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errUnreadable):
		b.opts.Log.Warn("maildir: cannot read a message", "maildir", b.key, "name", m.name, "err", err)
		m.size, m.length = info.Size, info.Size
		return nil
	}
	return err
}

var errUnreadable = errors.New("message cannot be read")

func (b *builder) read(ctx context.Context, dir fsx.Dir, name string) (counter, error) {
	f, err := dir.Open(name)
	if err != nil {
		return counter{}, err
	}
	defer f.Close()
	return b.countFile(ctx, f)
}

// countFile reads f to its end.
func (s *Store) countFile(ctx context.Context, f fsx.File) (c counter, err error) {
	buf := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buf)
	for ctx.Err() == nil {
		n, err := f.Read(buf[:])
		c.add(buf[:n])
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, errors.Join(errUnreadable, err)
		}
	}
	return c, ctx.Err()
}

// follow looks for messages that another program moved while they were to be
// read, and forgets those that are gone.
func (b *builder) follow(ctx context.Context, moved []*item, try int) ([]*item, error) {
	if try == maxScans {
		return nil, errors.New("maildir: messages are being moved too fast to be read")
	}
	want := make(map[string]bool)
	for _, m := range moved {
		want[m.base()] = true
	}
	found, err := b.find(ctx, want)
	if err != nil {
		return nil, err
	}
	var todo []*item
	for _, m := range moved {
		where := found[m.base()]
		if len(where) == 0 {
			m.size = -1
			continue
		}
		m.file = where[0]
		todo = append(todo, m)
	}
	return todo, nil
}
