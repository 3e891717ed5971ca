package pop3server

import (
	"context"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/sasl"
)

// New returns a Backend for the accounts of a and the maildrops of s. It offers
// PLAIN and LOGIN, and with them USER and PASS, and asks nothing of the users.
func New(a sasl.Authenticator, s maildrop.Store) Backend { return simple{a, s} }

type simple struct {
	accounts sasl.Authenticator
	store    maildrop.Store
}

func (b simple) NewSession(_ context.Context, p Peer) (Session, error) {
	from := sasl.Login{Remote: p.Remote.Addr(), TLS: p.TLS != nil}
	return simpleSession{b.store, []sasl.Mechanism{sasl.NewPlain(b.accounts, from), sasl.NewLogin(b.accounts, from)}}, nil
}

type simpleSession struct {
	store      maildrop.Store
	mechanisms []sasl.Mechanism
}

func (s simpleSession) Mechanisms() []sasl.Mechanism { return s.mechanisms }

func (s simpleSession) Policy() Policy { return Policy{} }

func (s simpleSession) Open(ctx context.Context, account string) (maildrop.Box, Policy, error) {
	box, err := s.store.Open(ctx, account)
	return box, Policy{}, err
}

func (s simpleSession) Close() error { return nil }
