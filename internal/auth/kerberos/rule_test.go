package kerberos

import (
	"context"
	"errors"
	"testing"

	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/sasl"
)

type accounts map[string]string

func (a accounts) Lookup(_ context.Context, name string) (string, error) {
	if account, ok := a[name]; ok {
		return account, nil
	}
	return "", sasl.ErrNoUser
}

func TestRule(t *testing.T) {
	t.Parallel()
	plain := Rule{Realm: realm}
	domain := Rule{Realm: realm, Domain: "example.org"}
	folding := Rule{Realm: realm, FoldCase: true}
	known := Rule{Realm: realm, Domain: "example.org", Accounts: accounts{"bob@example.org": "bob@example.org", "alice@example.org": "carol@example.org"}}
	named := Rule{Realm: realm, Principals: map[string]string{
		"bob/admin@EXAMPLE.ORG": "root", "eve@EXAMPLE.ORG": "", "bob@EXAMPLE.COM": "bob2", "Root@EXAMPLE.ORG": "Root",
	}}
	for _, test := range []struct {
		rule      Rule
		principal string
		account   string // empty: refused
	}{
		{plain, "bob@EXAMPLE.ORG", "bob"},
		{plain, "bob@example.org", ""},
		{plain, "bob@EXAMPLE.COM", ""},
		{plain, "bob/admin@EXAMPLE.ORG", ""},
		{plain, "pop/mail.example.org@EXAMPLE.ORG", ""},
		{plain, "Bob@EXAMPLE.ORG", ""},
		{plain, "ｂob@EXAMPLE.ORG", ""},
		{plain, "bob@", ""},
		{plain, "bob", ""},
		{plain, "", ""},
		{Rule{}, "bob@EXAMPLE.ORG", ""},
		{Rule{}, "bob", ""},
		{domain, "bob@EXAMPLE.ORG", "bob@example.org"},
		{folding, "Bob@EXAMPLE.ORG", "bob"},
		{folding, "ｂob@EXAMPLE.ORG", ""},
		{folding, "\u212A@EXAMPLE.ORG", ""},
		{folding, "bob＠example.com@EXAMPLE.ORG", ""},
		{folding, "bob／admin@EXAMPLE.ORG", ""},
		{known, "bob@EXAMPLE.ORG", "bob@example.org"},
		{known, "alice@EXAMPLE.ORG", "carol@example.org"},
		{known, "dave@EXAMPLE.ORG", ""},
		{named, "bob/admin@EXAMPLE.ORG", "root"},
		{named, "eve@EXAMPLE.ORG", ""},
		{named, "bob@EXAMPLE.COM", "bob2"},
		{named, "bob@EXAMPLE.ORG", "bob"},
		{named, "Root@EXAMPLE.ORG", "root"},
	} {
		p, err := krb.ParsePrincipal(test.principal)
		if err == nil {
			var account string
			account, err = test.rule.Account(t.Context(), p)
			if account != test.account || (err == nil) != (test.account != "") || err != nil && !errors.Is(err, sasl.ErrRefused) {
				t.Errorf("%q by %+v: %q, %v", test.principal, test.rule, account, err)
			}
		} else if test.account != "" {
			t.Error(err)
		}
		account, err := NewProved(test.principal, test.rule).Authenticate(t.Context(), sasl.Login{User: "eve", Password: "x"})
		if account != "" || !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%q as eve: %q, %v", test.principal, account, err)
		}
	}
}

func TestProved(t *testing.T) {
	t.Parallel()
	domain := Rule{Realm: realm, Domain: "example.org"}
	known := Rule{Realm: realm, Domain: "example.org", Accounts: accounts{
		"alice@example.org": "carol@example.org", "carol@example.org": "carol@example.org", "dave@example.org": "dave@example.org",
	}}
	for _, test := range []struct {
		rule      Rule
		principal string
		user      string
		account   string // empty: refused
	}{
		{domain, "bob@EXAMPLE.ORG", "bob", "bob@example.org"},
		{domain, "bob@EXAMPLE.ORG", "Bob@Example.org", "bob@example.org"},
		{domain, "bob@EXAMPLE.ORG", "bob@EXAMPLE.ORG", "bob@example.org"},
		{domain, "bob@EXAMPLE.ORG", "alice", ""},
		{domain, "bob@EXAMPLE.ORG", "bob@example.com", ""},
		{domain, "bob@EXAMPLE.ORG", "", ""},
		{domain, "bob@EXAMPLE.COM", "bob", ""},
		{domain, "", "bob", ""},
		{domain, "bob", "bob", ""},
		{known, "alice@EXAMPLE.ORG", "carol", "carol@example.org"},
		{known, "alice@EXAMPLE.ORG", "alice@example.org", "carol@example.org"},
		{known, "alice@EXAMPLE.ORG", "dave@example.org", ""},
		{known, "alice@EXAMPLE.ORG", "nobody", ""},
	} {
		account, err := NewProved(test.principal, test.rule).Authenticate(t.Context(), sasl.Login{User: test.user, Password: "krb_ticket"})
		if account != test.account || (err == nil) != (test.account != "") || err != nil && !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%q with the ticket of %q: %q, %v", test.user, test.principal, account, err)
		}
	}
	broken := Rule{Realm: realm, Accounts: outage{}}
	if _, err := NewProved("bob@EXAMPLE.ORG", broken).Authenticate(t.Context(), sasl.Login{User: "bob"}); err == nil || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("outage: %v", err)
	}
}
