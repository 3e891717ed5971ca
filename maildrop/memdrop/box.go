package memdrop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postwain/postwain/maildrop"
)

// box is one session's view. Its goroutine alone uses it; what it shares with
// others, the drop and the gone marks, the Store's mutex guards.
type box struct {
	store     *Store
	drop      *drop
	view      []*message
	list      []maildrop.Message
	committed bool
	closed    bool
}

func (b *box) Messages() []maildrop.Message { return b.list }

// Get gives the whole message whatever lines is: a Box may.
func (b *box) Get(ctx context.Context, i, _ int) (io.ReadCloser, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(b.view) {
		return nil, errors.New("memdrop: no such message in this Box")
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if b.view[i].gone {
		return nil, fmt.Errorf("memdrop: %w", maildrop.ErrGone)
	}
	return io.NopCloser(bytes.NewReader(b.view[i].data)), nil
}

func (b *box) Commit(ctx context.Context, deleted []int) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	b.committed = true
	for _, i := range deleted {
		if i < 0 || i >= len(b.view) {
			return errors.New("memdrop: no such message in this Box")
		}
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	for _, i := range deleted {
		b.view[i].gone = true
	}
	b.drop.messages = slices.DeleteFunc(b.drop.messages, func(m *message) bool { return m.gone })
	return nil
}

func (b *box) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if !b.store.Snapshot {
		b.drop.held = false
	}
	return nil
}

// usable says why a Box does nothing more.
func (b *box) usable(ctx context.Context) error {
	if b.closed || b.committed {
		return errors.New("memdrop: the Box has ended")
	}
	return ctx.Err()
}
