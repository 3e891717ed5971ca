// Package memdrop keeps mail in memory: the reference implementation of
// package maildrop, for examples and as a double in tests. What it holds is
// gone with the process.
package memdrop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// Store is a mail store in memory, a [maildrop.Store] and a
// [maildrop.Deliverer]. Its zero value is empty and ready. Every account that
// is not the empty string has a maildrop. It may be used by many goroutines.
type Store struct {
	// Snapshot lets several sessions open a maildrop at once. It must not
	// change once the Store is in use.
	Snapshot bool

	mu    sync.Mutex
	drops map[string]*drop
}

// New returns an empty Store that opens each maildrop for one session at a time.
func New() *Store { return &Store{} }

// drop is the mail of one account. The Store's mutex guards it.
type drop struct {
	messages []*message      // in the order of delivery
	keys     map[string]bool // of all deliveries
	uids     map[string]bool // of all messages that ever were
	serial   uint64          // of the last UID made here
	held     bool            // a session has it, exclusively
}

// message is immutable but for gone.
type message struct {
	maildrop.Message
	data []byte
	gone bool
}

// drop returns the maildrop of account, made if it is not there.
func (s *Store) drop(account string) (*drop, error) {
	if account == "" {
		return nil, fmt.Errorf("memdrop: %w", maildrop.ErrNoDrop)
	}
	d := s.drops[account]
	if d == nil {
		d = &drop{keys: map[string]bool{}, uids: map[string]bool{}}
		if s.drops == nil {
			s.drops = map[string]*drop{}
		}
		s.drops[account] = d
	}
	return d, nil
}

// Open implements [maildrop.Store].
func (s *Store) Open(ctx context.Context, account string) (maildrop.Box, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.drop(account)
	if err != nil {
		return nil, err
	}
	if d.held {
		return nil, fmt.Errorf("memdrop: %w", maildrop.ErrInUse)
	}
	d.held = !s.Snapshot
	b := &box{store: s, drop: d}
	for _, m := range d.messages {
		b.view = append(b.view, m)
		b.list = append(b.list, m.Message)
	}
	return b, nil
}

// Deliver implements [maildrop.Deliverer]. A key is remembered when its
// message is gone. An imported UID that is not valid, or that any message of
// the account ever had, is refused.
func (s *Store) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	data, err := io.ReadAll(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	}))
	if err != nil {
		return fmt.Errorf("memdrop: reading the message: %w", err)
	}
	size, err := maildrop.Octets(bytes.NewReader(data))
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.drop(account)
	if err != nil {
		return err
	}
	if in.Key != "" && d.keys[in.Key] {
		return nil
	}
	m := &message{data: data, Message: maildrop.Message{UID: in.UID, Size: size, Time: in.Time}}
	switch {
	case m.UID == "":
		m.UID = d.nextUID()
	case !validUID(m.UID):
		return errors.New("memdrop: imported UID is not valid")
	case d.uids[m.UID]:
		return errors.New("memdrop: imported UID is taken")
	}
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	d.uids[m.UID] = true
	if in.Key != "" {
		d.keys[in.Key] = true
	}
	d.messages = append(d.messages, m)
	return nil
}

// nextUID makes a UID that no message had.
func (d *drop) nextUID() string {
	for {
		d.serial++
		if uid := strconv.FormatUint(d.serial, 10); !d.uids[uid] {
			return uid
		}
	}
}

// validUID reports whether uid is 1–70 octets of 0x21–0x7E (RFC 1939 §7).
func validUID(uid string) bool {
	for i := range len(uid) {
		if uid[i] < '!' || '~' < uid[i] {
			return false
		}
	}
	return 1 <= len(uid) && len(uid) <= 70
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
