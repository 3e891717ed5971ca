package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// memory is an object store in memory, with a clock of its own.
type memory struct {
	mu      sync.Mutex
	now     time.Time
	objects map[string]kept
	// before is called ahead of each operation, without the lock. An error is
	// the operation's, which is not done.
	before func(op, key string) error
	// after is called behind each operation that was done: an error is its answer.
	after func(op, key string) error
}

type kept struct {
	data []byte
	at   time.Time
}

func newMemory() *memory {
	return &memory{now: time.Unix(1e9, 0), objects: map[string]kept{}}
}

func (m *memory) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

func (m *memory) do(op, key string, f func() error) error {
	if m.before != nil {
		if err := m.before(op, key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	err := f()
	m.mu.Unlock()
	if err == nil && m.after != nil {
		err = m.after(op, key)
	}
	return err
}

func (m *memory) Create(_ context.Context, key string, body io.ReaderAt, size int64) (created bool, err error) {
	data, err := io.ReadAll(io.NewSectionReader(body, 0, size))
	if err != nil || int64(len(data)) != size {
		return false, errors.Join(err, errors.New("the body is short"))
	}
	err = m.do("create", key, func() error {
		if _, there := m.objects[key]; !there {
			m.objects[key], created = kept{data, m.now}, true
		}
		return nil
	})
	return created, err
}

func (m *memory) Touch(_ context.Context, key string) error {
	return m.do("touch", key, func() error {
		m.objects[key] = kept{nil, m.now}
		return nil
	})
}

func (m *memory) Get(_ context.Context, key string) (r io.ReadCloser, err error) {
	err = m.do("get", key, func() error {
		k, there := m.objects[key]
		if !there {
			return errNoObject
		}
		r = io.NopCloser(bytes.NewReader(k.data))
		return nil
	})
	return r, err
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[object, error] {
	var all []object
	err := m.do("list", prefix, func() error {
		for _, key := range slices.Sorted(maps.Keys(m.objects)) {
			if strings.HasPrefix(key, prefix) {
				k := m.objects[key]
				all = append(all, object{key, int64(len(k.data)), m.now.Sub(k.at)})
			}
		}
		return nil
	})
	return func(yield func(object, error) bool) {
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(object{}, err)
		}
	}
}

func (m *memory) Delete(_ context.Context, keys []string) error {
	return m.do("delete", strings.Join(keys, " "), func() error {
		for _, key := range keys {
			delete(m.objects, key)
		}
		return nil
	})
}

func (m *memory) keys() []string { return slices.Sorted(maps.Keys(m.objects)) }

// The operations of stepping are those of its stage's store, each a step.

func (o stepping) Create(ctx context.Context, key string, body io.ReaderAt, size int64) (created bool, err error) {
	err = o.do("create "+key, func() (err error) {
		switch o.s.mutant {
		case overwrites:
			delete(o.s.m.objects, key)
		case noFence:
			if strings.Contains(key, "/"+endings) && size == 0 {
				created = true
				return nil
			}
		}
		if created, err = o.s.m.Create(ctx, key, body, size); created && o.s.lists[o.name] != nil {
			o.s.lists[o.name] = append(o.s.lists[o.name], object{Key: key, Size: size})
		}
		return err
	})
	return created && err == nil, err
}

func (o stepping) Touch(ctx context.Context, key string) error {
	return o.do("touch "+key, func() error { return o.s.m.Touch(ctx, key) })
}

func (o stepping) Get(ctx context.Context, key string) (r io.ReadCloser, err error) {
	err = o.do("get "+key, func() (err error) {
		r, err = o.s.m.Get(ctx, key)
		return err
	})
	return r, err
}

func (o stepping) List(ctx context.Context, prefix string) iter.Seq2[object, error] {
	var all []object
	err := o.do("list "+prefix, func() error {
		if o.s.mutant == oneListing && o.s.lists[o.name] != nil {
			all = o.s.lists[o.name]
			return nil
		}
		for e, err := range o.s.m.List(ctx, prefix) {
			if err != nil {
				return err
			}
			all = append(all, e)
		}
		o.s.lists[o.name] = all
		return nil
	})
	return func(yield func(object, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(object{}, err)
		}
	}
}

func (o stepping) Delete(ctx context.Context, keys []string) error {
	return o.do("delete "+strings.Join(keys, " "), func() error {
		if o.s.mutant == forgets {
			for key := range o.s.m.objects {
				if strings.Contains(key, "/"+endings) {
					keys = append(keys, key)
				}
			}
		}
		return o.s.m.Delete(ctx, keys)
	})
}
