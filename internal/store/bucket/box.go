package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// box is a session's view of a maildrop.
type box struct {
	drop      *drop
	view      *view
	list      []maildrop.Message
	writer    string        // who this is, in an ending
	ending    func() string // the key of the one that this session may write
	exclusive bool
	renewal   *renewal // of its lease; nil: it needs none
	ended     bool     // the ending is written, or nobody knows
	closed    bool
}

func newBox(d *drop, v *view, writer string) *box {
	b := &box{drop: d, view: v, writer: writer, list: make([]maildrop.Message, len(v.mail))}
	for i, l := range v.mail {
		b.list[i] = maildrop.Message{UID: l.uid, Size: l.size, Time: time.UnixMilli(l.time)}
	}
	return b
}

func (b *box) Messages() []maildrop.Message { return b.list }

var (
	errRange = errors.New("bucket: no such message in this Box")
	errEnded = errors.New("bucket: the Box has ended")
)

// Get streams the message. A part of it is its beginning: who reads no further
// closes.
func (b *box) Get(ctx context.Context, i, _ int) (io.ReadCloser, error) {
	switch {
	case i < 0 || i >= len(b.list):
		return nil, errRange
	case b.closed:
		return nil, errEnded
	}
	l := b.view.mail[i]
	r, err := b.drop.store.objects.Get(ctx, b.drop.dir+l.key())
	if errors.Is(err, errNoObject) {
		err = maildrop.ErrGone
	}
	if err != nil {
		return nil, b.drop.wrap(err)
	}
	return &measured{ReadCloser: r, left: l.size}, nil
}

// measured ends well only if the object has the octets that its key says.
type measured struct {
	io.ReadCloser
	left int64
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.left -= int64(n)
	switch {
	case m.left < 0:
		return 0, fmt.Errorf("bucket: the message is longer than its name says: %w", maildrop.ErrDamaged)
	case err == io.EOF && m.left > 0:
		err = fmt.Errorf("bucket: %d octets of the message are missing: %w", m.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// Commit is the creation of one object. What follows only tidies up, and whoever
// comes next does it as well.
func (b *box) Commit(ctx context.Context, deleted []int) error {
	if b.ended || b.closed {
		return errEnded
	}
	var ids []string
	var gone []label
	for _, i := range deleted {
		if i < 0 || i >= len(b.list) {
			return errRange
		}
		ids = append(ids, b.view.mail[i].id.String())
		gone = append(gone, b.view.mail[i])
	}
	if len(ids) > maxRemoved {
		return b.drop.wrap(fmt.Errorf("a session can remove %d messages, and not %d", maxRemoved, len(ids)))
	}
	b.ended = true
	b.renewal.stop()
	if b.renewal.stale() {
		return b.drop.wrap(errLost)
	}
	if len(ids) > 0 || b.exclusive {
		if err := b.drop.end(ctx, b.ending(), b.writer, ids); err != nil && (len(ids) > 0 || !errors.Is(err, errLost)) {
			return b.drop.wrap(err)
		}
	}
	b.tidy(ctx, slices.Concat(gone, b.view.removed))
	return nil
}

// tidy deletes what nobody is shown any more. What is left is the next session's to
// delete.
func (b *box) tidy(ctx context.Context, removed []label) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	_ = b.drop.tidy(ctx, removed, b.view.swept) // the outcome changes nothing for anybody
}

// closeTimeout bounds the end of a session that nobody waits for.
const closeTimeout = 20 * time.Second

func (b *box) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.renewal.stop()
	if b.ended {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if b.exclusive && !b.renewal.stale() {
		// Should it fail, the lease runs out by itself.
		if err := b.drop.end(ctx, b.ending(), b.writer, nil); err != nil && !errors.Is(err, errLost) {
			return b.drop.wrap(err)
		}
	}
	b.tidy(ctx, b.view.removed) // by sessions before
	return nil
}
