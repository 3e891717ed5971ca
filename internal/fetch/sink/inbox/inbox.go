// Package inbox delivers fetched mail to a maildrop, such as a Maildir.
package inbox

import (
	"context"
	"io"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/maildrop"
)

// parallel is how many deliveries share the syncs of a disk well.
const parallel = 64

type inbox struct {
	deliverer maildrop.Deliverer
	account   string
}

// New returns the sink that delivers to the maildrop of account in d, with the
// key and the time of each message: a message whose key is there already is a
// no-op. Errors are those of d. None of them is sink.ErrRefused, for whatever a
// maildrop refuses, such as a message on a full disk, it would refuse the next
// time as well. Close does not close d.
func New(d maildrop.Deliverer, account string) sink.Sink {
	return &inbox{d, account}
}

func (i *inbox) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	err := i.deliverer.Deliver(ctx, i.account, maildrop.Incoming{Key: m.Key, Time: m.Time}, r)
	if err == nil { // one that is there already was not read
		_, err = io.Copy(io.Discard, r)
	}
	return err
}

func (*inbox) Parallel() int { return parallel }
func (*inbox) Exact() bool   { return true }
func (*inbox) Close() error  { return nil }
