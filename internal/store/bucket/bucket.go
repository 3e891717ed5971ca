// Package bucket keeps mail in an object store that any number of servers share,
// with nothing between them. It is built on two things that such stores do, and
// on no more: of many who create an object one wins, and a listing has what was
// answered before it. docs/adr/0006-bucket-protocol.md has the layout and why it
// is safe.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// Store keeps maildrops in a bucket.
type Store struct {
	objects objects
	prefix  string
	spool   string
	ttl     time.Duration
	ulids   ulids
}

// defaultTTL is how long a lease lives that nobody renews.
const defaultTTL = time.Minute

// errLost says that another server has taken the maildrop over: this one was
// silent for longer than its lease.
var errLost = errors.New("the lease of the maildrop is lost")

// Open opens a maildrop for this session alone, by a lease.
func (s *Store) Open(ctx context.Context, account string) (maildrop.Box, error) {
	d, err := s.drop(account)
	if err != nil {
		return nil, err
	}
	return d.acquire(ctx)
}

// Close has nothing to end: each Box ends its own.
func (s *Store) Close() error { return nil }

// Snapshots opens maildrops for any number of sessions at a time.
func (s *Store) Snapshots() maildrop.Store { return snapshots{s} }

type snapshots struct{ s *Store }

func (o snapshots) Open(ctx context.Context, account string) (maildrop.Box, error) {
	d, err := o.s.drop(account)
	if err != nil {
		return nil, err
	}
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	b := newBox(d, v, newULID(time.Now()).String())
	b.ending = func() string { return endings + d.store.ulids.next(time.Now()).String() }
	return b, nil
}

// drop is the maildrop of an account.
type drop struct {
	store   *Store
	account string
	dir     string
}

func (s *Store) drop(account string) (*drop, error) {
	dir, ok := directory(s.prefix, account)
	if !ok {
		return nil, fmt.Errorf("bucket: account %q: %w", account, maildrop.ErrNoDrop)
	}
	return &drop{s, account, dir}, nil
}

// wrap names the maildrop in an error.
func (d *drop) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bucket: %s: %w", d.account, err)
}
