// Package sink is what a destination of fetched mail can do, and nothing about
// where the mail comes from. Each kind of destination is a package below it.
package sink

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers branch on; test with [errors.Is].
var (
	// ErrRefused says that the destination will not take this message, today
	// or ever, and may well take others: its format or its size is refused.
	// Every other error means that the destination is out of order.
	ErrRefused = errors.New("message refused by the destination")
	// ErrUnknownOutcome says that the answer was lost: the message may be
	// stored or not.
	ErrUnknownOutcome = errors.New("outcome of the delivery is unknown")
)

// Message says what a destination may want to know of a message before it
// reads it.
type Message struct {
	// Key names the message for ever: 1–64 octets of a–z and 0–9.
	Key string
	// Size is about how many octets will come. Zero: unknown.
	Size int64
	// Time is when it arrived. Zero: now.
	Time time.Time
	// Doubt says that whoever put messages before was ended in the middle, a
	// moment ago perhaps: a destination that works on what it was sent then
	// is to be waited for before it is asked what it has.
	Doubt bool
}

// Sink is a destination.
type Sink interface {
	// Put stores everything that r gives until io.EOF as one message. Nil
	// means that it will survive a power cut once Sync has returned nil, or
	// that somebody else has answered for that. On any error, one from r
	// included, no part of it will be seen, unless the error wraps
	// ErrUnknownOutcome. It reads r to its end also where it has the message
	// already: who has not read a message is not believed to have it. As many
	// calls as Parallel says may run at a time.
	Put(ctx context.Context, m Message, r io.Reader) error
	// Sync makes durable what was put before. On an error none of it is
	// sure to be: it must be put again.
	Sync() error
	// Parallel is how many calls of Put help: more make it no faster. It is 1
	// where the outcome of a Put cannot be asked for after a crash, so that no
	// more than one message can ever be doubled.
	Parallel() int
	// Exact says that a Put of a Key that is stored already is a no-op, even
	// after a crash and in another process.
	Exact() bool
	// Close releases what the sink holds. It waits for no Put.
	Close() error
}
