package auth

import (
	"context"
	"errors"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// A token that is good for a name proves nothing where there is no such account
// any more, and none is good for an account whose fields are gone.
func TestBorrowedAccounts(t *testing.T) {
	t.Parallel()
	users, provider := peopleOf("alice", "a-secret"), peopleOf()
	source := users.source()
	source.Tokens = nil
	s := mustNew(t, Options{Sources: []Source{source, {Tokens: provider, Borrowed: true}}})
	verify := func() (string, error) { return s.Tokens.VerifyToken(inExchange(t), "", "token of alice") }
	if account, err := verify(); account != "alice" || err != nil {
		t.Errorf("an account that is there: %q, %v", account, err)
	}
	delete(users.passwords, "alice")
	if account, err := verify(); account != "" || !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("an account that is gone: %q, %v", account, err)
	}
	if _, err := s.Fields(t.Context(), "alice"); !errors.Is(err, sasl.ErrNoUser) {
		t.Errorf("fields of an account that is gone: %v", err)
	}
}

// What is said of a master in the masters' own file holds for the master.
func TestMasterOwnFields(t *testing.T) {
	t.Parallel()
	users, admins := peopleOf("alice", "a-secret"), peopleOf("admin", "admin's")
	masters := admins.source()
	masters.Fields = func(context.Context, string) (map[string]string, error) {
		return map[string]string{"allow_nets": "203.0.113.0/24"}, nil
	}
	s := mustNew(t, Options{Sources: []Source{users.source()}, Masters: &Masters{Source: masters}})
	if account, err := login(s, "alice*admin", "admin's", here); account != "" || err != errRefused {
		t.Errorf("from elsewhere: %q, %v", account, err)
	}
}

// Who was given a challenge that is made of a secret and goes away has guessed.
func TestAbandonedExchange(t *testing.T) {
	t.Parallel()
	_, s := everything(t)
	m := s.Guard(sasl.NewSCRAM(s.Secrets, sasl.SCRAMOptions{}), here, nil)
	x := m.Start()
	refused := func() error { return x.(interface{ Refused() error }).Refused() }
	if err := refused(); err != nil {
		t.Errorf("before it has begun: %v", err)
	}
	if challenge, _, err := x.Next(t.Context(), []byte("n,,n=alice,r=abc")); len(challenge) == 0 || err != nil {
		t.Fatalf("%q, %v", challenge, err)
	}
	if err := refused(); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("in the middle: %v", err)
	}
	if err := refused(); err != nil {
		t.Errorf("once more: %v", err)
	}
	if d := s.throttle.delay(s.throttle.guesser(here, "", "alice")); d == 0 {
		t.Error("it is no guess")
	}
}
