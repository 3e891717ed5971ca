package imap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fetch/sink/spool"
)

var errClosed = errors.New("sink is closed")

// mailbox is the sink.
type mailbox struct {
	o      Options
	life   context.Context // until Close
	end    context.CancelFunc
	closed atomic.Bool

	mu      sync.Mutex // held while a session is opened and while it is asked for a message
	session *session   // nil: none
	cut     bool       // the one before broke, and there is no new one yet
	index   *index
	stored  map[string]bool // keys
}

func (*mailbox) Parallel() int { return parallel }
func (*mailbox) Exact() bool   { return true }
func (*mailbox) Sync() error   { return nil }

// Close ends the session, under the feet of a Put that uses it.
func (b *mailbox) Close() error {
	if b.closed.Swap(true) {
		return errClosed
	}
	b.end()
	return nil
}

// Put appends a message that is not there yet.
func (b *mailbox) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	if b.closed.Load() {
		return fmt.Errorf("imap: %s: %w", b.o.Address, errClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.life, cancel)()
	sum := sha256.New()
	text, err := spool.Take(ctx, b.o.Spool, io.TeeReader(&wireLines{r: r}, sum))
	if err != nil {
		return err
	}
	defer text.Close()
	s, found, err := b.find(ctx, m, text.Size(), sum.Sum(nil))
	if err == nil && !found {
		err = b.append(ctx, s, m, text)
	}
	switch {
	case err == nil:
		return nil
	case b.closed.Load():
		err = fmt.Errorf("%w: %w", errClosed, err)
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("imap: %s: %w", b.o.Address, err)
}

// find gives the session, a new one if need be, and says whether the message is
// in the mailbox already.
func (b *mailbox) find(ctx context.Context, m sink.Message, size int64, sum []byte) (s *session, found bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case b.stored[m.Key]:
		return nil, true, nil
	case b.session == nil || !b.session.alive():
		if err := b.open(ctx, m.Doubt); err != nil {
			return nil, false, err
		}
	}
	conn := b.session.conn.Conn // b.session may be another when this runs
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	found, err = b.index.take(b.session, size, sum)
	if found {
		b.stored[m.Key] = true
	}
	return b.session, found, err
}

// open opens a session and lists what is in the mailbox. What an earlier
// session was cut off with, the server may still be storing.
func (b *mailbox) open(ctx context.Context, doubt bool) error {
	if b.session != nil {
		b.session.forget()
		b.session.Close()
		b.session, b.cut = nil, true
	}
	if doubt || b.cut {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	s, err := connect(ctx, &b.o)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.conn.Conn.Close() })
	err = b.index.extend(s)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.Close()
		return err
	}
	b.session, b.cut = s, false
	s.forget = context.AfterFunc(b.life, func() { s.conn.Conn.Close() })
	return nil
}

// settle waits until a server has stored what was sent to it before.
func (b *mailbox) settle(ctx context.Context) error {
	t := time.NewTimer(b.o.Settle)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// append stores the message by APPEND.
func (b *mailbox) append(ctx context.Context, s *session, m sink.Message, text *spool.Message) error {
	stop := context.AfterFunc(ctx, func() { s.conn.Conn.Close() })
	defer stop()
	s.conn.allow(allowance)
	command := s.Append(b.o.Mailbox, text.Size(), &imap.AppendOptions{Time: m.Time})
	rest := &io.LimitedReader{R: text.Reader(), N: text.Size()}
	_, err := io.Copy(command, rest)
	command.Close()
	if err != nil {
		s.conn.Conn.Close() // part of a message is none
	}
	data, failure := command.Wait()
	status, no := refusal(failure)
	switch {
	case failure == nil:
		b.note(m.Key, data)
		return nil
	// When the client closes a connection, all commands that are under way
	// get the error for which it did so.
	case no && (err != nil || s.alive()):
		return refused(status)
	case rest.N > 0:
		return failed("APPEND", err)
	}
	return fmt.Errorf("%w: %w", sink.ErrUnknownOutcome, failed("APPEND", failure))
}

// note remembers that a message is stored.
func (b *mailbox) note(key string, data *imap.AppendData) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stored[key] = true
	if data.UID != 0 && data.UIDValidity == b.index.validity {
		b.index.ours[data.UID] = true
	}
}
