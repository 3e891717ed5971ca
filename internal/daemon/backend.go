package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/postwain/postwain/internal/auth"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/lmtp"
	"github.com/postwain/postwain/internal/store"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// backend gives sessions to POP3 connections.
type backend struct {
	accounts *accounts
	offering *offering
	store    store.Store
	room     *room
	site     rules // of accounts that say nothing else
}

// rules are what holds for an account.
type rules struct {
	pop3server.Policy
	lock config.Lock
}

// NewSession gives the mechanisms that the accounts can do. The server offers
// those with passwords only where they cannot be overheard.
func (b *backend) NewSession(_ context.Context, p pop3server.Peer) (pop3server.Session, error) {
	return &session{backend: b, from: p.Remote.Addr(), mechanisms: b.offering.to(p)}, nil
}

type session struct {
	backend    *backend
	from       netip.Addr
	mechanisms []sasl.Mechanism
	opened     bool // a maildrop, which has room
}

func (s *session) Mechanisms() []sasl.Mechanism { return s.mechanisms }

// Policy says that accounts may differ: their fields can change at any time.
func (s *session) Policy() pop3server.Policy {
	p := s.backend.site.Policy
	p.LoginDelayPerUser, p.ExpirePerUser = true, true
	return p
}

func (s *session) Open(ctx context.Context, account string) (maildrop.Box, pop3server.Policy, error) {
	own := s.backend.site
	fields, err := s.backend.accounts.fieldsOf(ctx, account)
	if err == nil {
		err = own.override(fields)
	}
	if err == nil { // a certificate or a ticket has proved the account without it
		err = auth.Admit(fields, s.from)
	}
	if err != nil {
		return nil, own.Policy, &opening{account, fmt.Errorf("account: %w", err)}
	}
	var drops maildrop.Store = s.backend.store
	if own.lock == config.Snapshot {
		drops = s.backend.store.Snapshots()
	}
	if err := s.backend.room.take(); err != nil {
		return nil, own.Policy, &opening{account, err}
	}
	box, err := drops.Open(ctx, account)
	if err != nil {
		s.backend.room.give()
		return nil, own.Policy, &opening{account, err}
	}
	s.opened = true
	return box, own.Policy, nil
}

func (s *session) Close() error {
	if s.opened {
		s.backend.room.give()
	}
	return nil
}

// opening is an error of opening a maildrop, with the account.
type opening struct {
	account string
	error
}

func (o *opening) Unwrap() error { return o.error }

// override puts an account's own fields in place of the site's rules. A field
// that cannot be read is an error: guessing might remove mail.
func (r *rules) override(fields map[string]string) error {
	if text, ok := fields["login_delay"]; ok {
		delay, err := seconds(text)
		if err != nil {
			return fmt.Errorf("login_delay: %w", err)
		}
		r.LoginDelay = delay
	}
	if text, ok := fields["expire"]; ok {
		var e config.Expire
		if err := e.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("expire: %w", err)
		}
		r.Expire = time.Duration(e)
	}
	if text, ok := fields["lock"]; ok {
		if err := r.lock.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
	}
	return nil
}

// seconds reads a number of seconds, or a duration with its unit.
func seconds(text string) (time.Duration, error) {
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		text += "s"
	}
	return config.ParseDuration(text)
}

// resolver finds the account that an address of LMTP belongs to.
type resolver struct {
	accounts sasl.Looker
	hostname string
}

func (r *resolver) Resolve(ctx context.Context, address string) (string, error) {
	for _, name := range lmtp.Names(address, r.hostname) {
		account, err := r.accounts.Lookup(ctx, name)
		if !errors.Is(err, sasl.ErrNoUser) {
			return account, err
		}
	}
	return "", fmt.Errorf("no account for the address: %w", maildrop.ErrNoDrop)
}
