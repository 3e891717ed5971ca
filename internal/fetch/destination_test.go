package fetch

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
)

// destination keeps what it gets in memory, which is as good as a disk that no
// crash reaches.
type destination struct {
	exact    bool
	parallel int
	disk     fsx.Dir                           // if set, a crash may come before and after each message is stored
	refuse   func(key, text string) error      // after it was read
	early    func(m sink.Message) (int, error) // stops reading after so many octets
	hold     func(ctx context.Context)         // waits before it is stored
	lazy     bool                              // a crash takes what was put after the last Sync

	mu      sync.Mutex
	keys    map[string]string
	texts   []string    // in the order in which they came
	late    [][2]string // keys and texts that wait for Sync
	puts    int
	running int
	highest int // Puts at a time
}

func exactly() *destination { return &destination{exact: true, parallel: 8, keys: map[string]string{}} }
func blindly() *destination { return &destination{parallel: 1, keys: map[string]string{}} }

func (d *destination) clone() *destination {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &destination{exact: d.exact, lazy: d.lazy, parallel: d.parallel, keys: map[string]string{}, texts: slices.Clone(d.texts)}
	for k, v := range d.keys {
		c.keys[k] = v
	}
	return c
}

func (d *destination) Parallel() int { return d.parallel }
func (d *destination) Exact() bool   { return d.exact }
func (d *destination) Close() error  { return nil }

func (d *destination) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	d.mu.Lock()
	d.puts++
	d.running++
	d.highest = max(d.highest, d.running)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.running--
		d.mu.Unlock()
	}()
	if m.Key == "" || len(m.Key) > 64 || strings.Trim(m.Key, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return fmt.Errorf("a key that is none: %q", m.Key)
	}
	if d.early != nil {
		if n, err := d.early(m); err != nil {
			io.CopyN(io.Discard, r, int64(n))
			return err
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	if d.hold != nil {
		d.hold(ctx)
	}
	if d.refuse != nil {
		if err := d.refuse(m.Key, string(b)); err != nil {
			return err
		}
	}
	if d.lazy {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.late = append(d.late, [2]string{m.Key, string(b)})
		return nil
	}
	return d.store(m.Key, string(b))
}

func (d *destination) Sync() error {
	d.mu.Lock()
	late := d.late
	d.late = nil
	d.mu.Unlock()
	for _, m := range late {
		if err := d.store(m[0], m[1]); err != nil {
			return err
		}
	}
	return nil
}

func (d *destination) store(key, text string) error {
	if d.disk != nil {
		if err := d.disk.Mkdir("before-"+key, 0o700); crashed(err) {
			return err
		}
	}
	d.mu.Lock()
	_, there := d.keys[key]
	if !there || !d.exact {
		d.keys[key] = text
		d.texts = append(d.texts, text)
	}
	d.mu.Unlock()
	if d.disk != nil {
		if err := d.disk.Mkdir("after-"+key, 0o700); crashed(err) {
			return fmt.Errorf("%w: %w", sink.ErrUnknownOutcome, err)
		}
	}
	return nil
}

// check finds each of the texts once, and at most so many of them twice.
func (d *destination) check(texts []string, doubled int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	count := map[string]int{}
	for _, t := range d.texts {
		count[t]++
	}
	for _, t := range texts {
		switch n := count[t]; {
		case n == 0:
			return fmt.Errorf("lost: %.40q", t)
		case n > 1:
			if doubled -= n - 1; doubled < 0 {
				return fmt.Errorf("%d times: %.40q", n, t)
			}
		}
		delete(count, t)
	}
	for t := range count {
		return fmt.Errorf("never sent: %.60q", t)
	}
	return nil
}
