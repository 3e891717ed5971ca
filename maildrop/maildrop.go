// Package maildrop is the narrow waist of Postwain: what a place that holds
// somebody's waiting mail can do, and nothing about how mail gets in or out.
//
// A POP3 server serves a [Store], a delivery agent fills a [Deliverer], and a
// Maildir, a bucket and a remote POP3 mailbox are all a [Box]. The package has
// no input or output of its own and depends on nothing but the standard
// library. memdrop is the reference implementation; maildroptest is the suite
// that every implementation must pass.
package maildrop

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers branch on. Implementations wrap them with context; test
// with [errors.Is].
var (
	// ErrInUse says that another session holds the maildrop (RFC 2449 §8.1.2).
	ErrInUse = errors.New("maildrop in use by another session")
	// ErrNoDrop says that the store can have no maildrop of that name, and
	// that trying again will not help. An account that merely has no mail yet
	// opens as an empty Box.
	ErrNoDrop = errors.New("no such maildrop")
	// ErrGone says that another program removed the message. The other
	// messages of the Box keep their places and remain readable.
	ErrGone = errors.New("message was removed by another program")
	// ErrDamaged says that a message, or data that names its UID, is not what
	// was stored and that trying again will not help.
	ErrDamaged = errors.New("stored data is damaged")
	// ErrFull says that there is no room to deliver: the disk is full or a
	// quota is reached. Nothing of the message was kept.
	ErrFull = errors.New("no room for more mail")
	// ErrUnknownOutcome is returned by the Commit of a remote Box when the
	// answer was lost: the messages may or may not be gone.
	ErrUnknownOutcome = errors.New("outcome of the commit is unknown")
)

// Message describes one message of a Box.
type Message struct {
	// UID names the message in this maildrop for ever: 1–70 octets of
	// 0x21–0x7E, never reused (RFC 1939 §7). A remote Box may have worse.
	UID string
	// Size is what a client holds after un-stuffing, in octets: every line
	// ends in CRLF, and a missing last line end is counted. See [Octets]. In a
	// remote Box it is a hint.
	Size int64
	// Time is the arrival. The zero Time means unknown.
	Time time.Time
}

// Store opens maildrops.
type Store interface {
	// Open gives the maildrop of account, a name that an account source has
	// proved. It returns an error that wraps ErrInUse when another session
	// holds it, and one that wraps ErrNoDrop when the name can have none. Any
	// other error is an outage: the caller may try again later.
	Open(ctx context.Context, account string) (Box, error)
}

// Box is one frozen view of a maildrop, for use by one goroutine. Message i
// here is number i+1 on the wire.
type Box interface {
	// Messages lists the view by arrival, oldest first. The caller must not
	// change the slice. It is the same for the life of the Box.
	Messages() []Message

	// Get gives the stored octets of message i, with LF or CRLF line ends.
	// If lines is negative it is the whole message; else its header, the
	// empty line, and at least that many lines of its body. The reader ends
	// in io.EOF only if everything asked for was read, whole and undamaged.
	// The caller closes it. Errors wrap ErrGone or ErrDamaged where they apply.
	Get(ctx context.Context, i, lines int) (io.ReadCloser, error)

	// Commit removes the messages whose indices are in deleted, which has no
	// duplicates. It is the only way to remove mail, and it is all or
	// nothing: nil means that they are gone and stay gone even if the power
	// fails now. A message that is already gone is no error. After Commit only
	// Close may be called.
	Commit(ctx context.Context, deleted []int) error

	// Close releases the maildrop. It is always safe, removes nothing, and
	// may be called more than once.
	Close() error
}

// Incoming says how a message is to be delivered. The zero value is an
// ordinary delivery.
type Incoming struct {
	// Key makes the delivery idempotent: the same key again is a no-op, at
	// least as long as its message is there.
	Key string
	// UID is imported from another server. Empty: the store chooses. One that
	// is not valid or is taken is refused, or replaced by the store.
	UID string
	// Time is the imported arrival. Zero: now.
	Time time.Time
}

// Deliverer puts messages into maildrops.
type Deliverer interface {
	// Deliver stores everything that r gives until io.EOF as one message of
	// account. Nil means that the message survives a power cut. On any error,
	// one from r included, no part of it will ever be seen. Errors wrap
	// ErrFull and ErrNoDrop where they apply.
	Deliver(ctx context.Context, account string, in Incoming, r io.Reader) error
}
