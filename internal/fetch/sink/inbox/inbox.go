// Package inbox delivers fetched mail to a maildrop, such as a Maildir.
package inbox

import (
	"context"
	"io"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/maildrop"
)

// parallel is how many deliveries share the syncs of a disk well.
const parallel = 128

// Batch is a maildrop whose deliveries are durable after a Sync.
type Batch interface {
	maildrop.Deliverer
	// Sync returns nil when everything whose Deliver has returned nil before
	// survives a power cut. On an error it must be delivered again.
	Sync() error
}

type inbox struct {
	batch   Batch
	account string
}

// New returns the sink that delivers to the maildrop of account by b, with the
// key and the time of each message: a message whose key is there already is a
// no-op. Errors are those of b. None of them is sink.ErrRefused, for whatever a
// maildrop refuses, such as a message on a full disk, it would refuse the next
// time as well. Close leaves b as it is.
func New(b Batch, account string) sink.Sink {
	return &inbox{b, account}
}

func (i *inbox) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	err := i.batch.Deliver(ctx, i.account, maildrop.Incoming{Key: m.Key, Time: m.Time}, r)
	if err == nil { // one that is there already was not read
		_, err = io.Copy(io.Discard, r)
	}
	return err
}

func (i *inbox) Sync() error { return i.batch.Sync() }

func (*inbox) Parallel() int { return parallel }
func (*inbox) Exact() bool   { return true }
func (*inbox) Close() error  { return nil }
