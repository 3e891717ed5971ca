package maildir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
)

// countWorkers bounds how many files the store reads at a time to learn their
// sizes.
const countWorkers = 4

const bufferSize = 64 << 10

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
		m.file, m.baseLen = where[0], baseLen(where[0].name)
		todo = append(todo, m)
	}
	return todo, nil
}
