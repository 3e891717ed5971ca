package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// Reading a directory while another program renames files in it can miss and
// double names. So a scan is believed at once only if the directories were at
// rest before it and have not changed when it ends; else until two agree; and
// a message that was seen before is believed gone only if it is in none of
// several fresh scans and the name that it had last does not exist.

const (
	// rest is how old a change of a directory must be before its times tell
	// it from a later one: file systems and kernels keep coarse clocks.
	rest = 2 * time.Second
	// maxScans bounds the scans of a Maildir that does not come to rest, and
	// gone is how many of the last must lack a message.
	maxScans = 24
	gone     = 3
)

// file is a message file where a scan found it.
type file struct {
	name string
	cur  bool
}

func (f file) base() string { return f.name[:baseLen(f.name)] }

// folder is an open Maildir. Its directories are opened when they are needed.
type folder struct {
	home     fsx.Dir
	new, cur fsx.Dir
}

// openFolder opens the Maildir at path below root.
func openFolder(root fsx.Dir, path []string) (*folder, error) {
	dir := root
	for _, name := range path {
		sub, err := dir.Dir(name)
		if dir != root {
			dir.Close()
		}
		if err != nil {
			return nil, err
		}
		dir = sub
	}
	return &folder{home: dir}, nil
}

func (f *folder) close() {
	for _, d := range []fsx.Dir{f.home, f.new, f.cur} {
		if d != nil {
			d.Close()
		}
	}
}

// sub gives new or cur.
func (f *folder) sub(cur bool) (fsx.Dir, error) {
	p, name := &f.new, "new"
	if cur {
		p, name = &f.cur, "cur"
	}
	if *p == nil {
		d, err := f.home.Dir(name)
		if err != nil {
			return nil, err
		}
		*p = d
	}
	return *p, nil
}

// times tells one state of a directory from another. Zero: it is not there.
type times struct {
	inode        uint64
	mtime, ctime int64
}

func (t times) quiet(now time.Time) bool {
	return t.inode == 0 || max(t.mtime, t.ctime) <= now.Add(-rest).UnixNano()
}

// stamp is the state of both directories. The zero stamp is none.
type stamp struct{ new, cur times }

func (s stamp) quiet(now time.Time) bool { return s.new.quiet(now) && s.cur.quiet(now) }

func (f *folder) stamp() (s stamp, err error) {
	if s.new, err = f.times("new"); err == nil {
		s.cur, err = f.times("cur")
	}
	return s, err
}

func (f *folder) times(name string) (times, error) {
	info, err := f.home.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return times{}, nil
	}
	if err == nil && !info.Mode.IsDir() {
		err = fmt.Errorf("maildir: %s is no directory", name)
	}
	return times{info.Inode, info.ModTime.UnixNano(), info.Changed.UnixNano()}, err
}

// names reads both directories once. A message that another program moves from
// new to cur meanwhile is not missed, since new is read first, but may be
// doubled.
func (f *folder) names(ctx context.Context, hint int) ([]file, error) {
	list := make([]file, 0, hint)
	for _, cur := range []bool{false, true} {
		dir, err := f.sub(cur)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for name, err := range dir.Names() {
			if err != nil {
				return nil, err
			}
			if name[0] == '.' {
				continue
			}
			list = append(list, file{name, cur})
			if len(list)&1023 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return list, nil
}

// scan finds the messages in the Maildir. known are those that were there when
// it was looked at last. If at is not the zero stamp, the result is exact and
// holds for as long as the directories are as it says.
func (f *folder) scan(ctx context.Context, known []entry) (list []file, at stamp, err error) {
	before, err := f.stamp()
	began := time.Now()
	if err != nil {
		return nil, stamp{}, err
	}
	first, err := f.names(ctx, len(known)+16)
	if err != nil {
		return nil, stamp{}, err
	}
	after, err := f.stamp()
	if err != nil {
		return nil, stamp{}, err
	}
	if before == after && before.quiet(began) {
		return first, before, nil
	}
	second, err := f.names(ctx, len(first)+16)
	if err != nil {
		return nil, stamp{}, err
	}
	if slices.Equal(first, second) {
		if ok, err := f.accounted(second, known); err != nil || ok {
			return second, stamp{}, err
		}
	}
	list, err = f.watch(ctx, known, first, second)
	return list, stamp{}, err
}

// accounted says whether each of known is in list or certainly gone.
func (f *folder) accounted(list []file, known []entry) (bool, error) {
	if len(known) == 0 {
		return true, nil
	}
	have := make(map[string]struct{}, len(list))
	for _, l := range list {
		have[l.base()] = struct{}{}
	}
	for _, k := range known {
		if _, ok := have[k.file().base()]; ok {
			continue
		}
		if there, err := f.exists(k.file()); err != nil || there {
			return false, err
		}
	}
	return true, nil
}

func (f *folder) exists(m file) (bool, error) {
	dir, err := f.sub(m.cur)
	if err == nil {
		_, err = dir.Stat(m.name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sight is where, and in which scan, a message was seen last.
type sight struct {
	file
	scan int
}

// watch scans a Maildir that is changing until a scan shows nothing new and
// leaves no message in doubt.
func (f *folder) watch(ctx context.Context, known []entry, scans ...[]file) ([]file, error) {
	seen := make(map[string]sight, len(known))
	for _, k := range known {
		seen[k.file().base()] = sight{k.file(), 0}
	}
	n := 0
	for settled := false; !settled && n < maxScans; {
		if n == len(scans) {
			more, err := f.names(ctx, len(seen)+16)
			if err != nil {
				return nil, err
			}
			scans = append(scans, more)
		}
		list := scans[n]
		scans[n] = nil
		n++
		settled = n >= 2
		for _, l := range list {
			if _, ok := seen[l.base()]; !ok {
				settled = false
			}
			seen[l.base()] = sight{l, n}
		}
		for _, s := range seen {
			settled = settled && (s.scan == n || s.scan <= n-gone)
		}
	}
	list := make([]file, 0, len(seen))
	for _, s := range seen {
		there := s.scan > n-gone
		if !there {
			var err error
			if there, err = f.exists(s.file); err != nil {
				return nil, err
			}
		}
		if there {
			list = append(list, s.file)
		}
	}
	return list, nil
}

// find looks for the messages whose bases are in want, wherever other programs
// moved them. What it does not give was in none of several fresh scans.
func (f *folder) find(ctx context.Context, want map[string]bool) (map[string][]file, error) {
	found := make(map[string][]file)
	for missing := 0; missing < gone; missing++ {
		list, err := f.names(ctx, 64)
		if err != nil {
			return nil, err
		}
		clear(found)
		for _, l := range list {
			if want[l.base()] {
				found[l.base()] = append(found[l.base()], l)
			}
		}
		if len(found) == len(want) {
			break
		}
	}
	return found, nil
}
