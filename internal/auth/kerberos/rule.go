// Package kerberos signs clients in by Kerberos tickets: the SASL mechanism
// GSSAPI (RFC 4752, RFC 4121) for both sides, the account behind a client that
// KPOP has proved, and the rule that says which account a principal has.
package kerberos

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/sasl"
)

// Rule maps principals to accounts. A principal of one part in the realm, such
// as bob@EXAMPLE.ORG, has the account bob, or bob@domain where there is a
// Domain. Services (pop/…), roles (bob/admin) and the principals of other
// realms have none, unless Principals names them.
type Rule struct {
	// Realm is the one whose principals have accounts. Empty: none has, save
	// those in Principals.
	Realm string
	// Domain is what accounts have behind "@". Empty: they are bare names.
	Domain string
	// FoldCase takes Bob@EXAMPLE.ORG for bob. Without it only principals whose
	// names are spelled as accounts are have one: to MIT's and Heimdal's KDCs
	// bob and Bob are two. Active Directory spells a name as its user typed it.
	FoldCase bool
	// Principals are exceptions, by the whole principal: the account, or an
	// empty string for a principal that may not sign in.
	Principals map[string]string
	// Accounts knows which accounts exist, and how they are spelled. Nil:
	// every account exists.
	Accounts sasl.Looker
}

// Account gives the account of a principal. The error wraps [sasl.ErrRefused]
// if it has none, or is an outage of r.Accounts.
func (r Rule) Account(ctx context.Context, p krb.Principal) (account string, err error) {
	name, named := r.Principals[p.String()]
	switch {
	case named && name == "":
		return "", refused("%v may not sign in", p)
	case named:
	case r.Realm == "" || p.Realm != r.Realm:
		return "", refused("%v is of another realm than %s", p, r.Realm)
	case len(p.Name) != 1:
		return "", refused("%v is not a user", p)
	default:
		name = p.Name[0]
		spelled, err := sasl.PrepareUser(name)
		if err != nil || spelled != name && !(r.FoldCase && sasl.EqualNames(spelled, name)) || strings.ContainsAny(spelled, "@/") { // full-width forms are ASCII now
			return "", refused("%v is not spelled as an account", p)
		}
		name = r.qualified(spelled)
	}
	return r.lookup(ctx, name)
}

// qualified gives the name of an account for a bare name.
func (r Rule) qualified(name string) string {
	if r.Domain == "" {
		return name
	}
	return name + "@" + r.Domain
}

// lookup gives the account of that name in its canonical spelling.
func (r Rule) lookup(ctx context.Context, name string) (account string, err error) {
	if account, err = sasl.PrepareUser(name); err != nil {
		return "", refused("no such account")
	}
	if r.Accounts == nil {
		return account, nil
	}
	account, err = r.Accounts.Lookup(ctx, account)
	switch {
	case errors.Is(err, sasl.ErrNoUser):
		return "", refused("no such account")
	case err != nil:
		return "", fmt.Errorf("kerberos: looking for an account: %w", err)
	}
	return account, nil
}

// match reports whether name, which a client gives beside its ticket, is
// account, the one that principal p has: the account itself, its bare name, or
// the principal.
func (r Rule) match(ctx context.Context, p krb.Principal, account, name string) (bool, error) {
	if name == p.String() {
		return true, nil
	}
	spelled, err := sasl.PrepareUser(name)
	if err != nil {
		return false, nil
	}
	if spelled == account || r.qualified(spelled) == account {
		return true, nil
	}
	if r.Accounts == nil {
		return false, nil
	}
	other, err := r.lookup(ctx, spelled)
	if errors.Is(err, sasl.ErrRefused) {
		return false, nil
	}
	return other == account, err
}

// account gives the account of p if name, where it is not empty, is its.
func (r Rule) account(ctx context.Context, p krb.Principal, name string) (string, error) {
	account, err := r.Account(ctx, p)
	if err != nil || name == "" {
		return account, err
	}
	same, err := r.match(ctx, p, account, name)
	switch {
	case err != nil:
		return "", err
	case !same:
		return "", refused("%v wants to act for another account", p)
	}
	return account, nil
}

// refused makes an error for the log. Clients see none of it.
func refused(format string, args ...any) error {
	return fmt.Errorf("kerberos: %w: %s", sasl.ErrRefused, fmt.Sprintf(format, args...))
}

// proved is the account source of a connection whose client is proved.
type proved struct {
	principal string
	rule      Rule
}

// NewProved returns the account source for the USER and PASS of a connection on
// which KPOP has proved principal: the name must be the one that the rule gives
// for it, and the password may be anything. A principal that is empty or
// malformed has no account.
func NewProved(principal string, r Rule) sasl.Authenticator { return proved{principal, r} }

func (a proved) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	p, err := krb.ParsePrincipal(a.principal)
	switch {
	case err != nil || p.Realm == "":
		return "", refused("no ticket was shown")
	case l.User == "":
		return "", refused("no name was given")
	}
	return a.rule.account(ctx, p, l.User)
}
