package ldap

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/go-ldap/ldap/v3"
)

// search finds the one entry of a name.
func (s *Source) search(ctx context.Context, t template, name string) (*ldap.Entry, error) {
	r, ok := s.request(t, name)
	if !ok {
		return nil, errNoUser
	}
	var entries []*ldap.Entry
	err := s.searches.do(ctx, func(c *ldap.Conn) error {
		a, err := c.Search(r)
		if a != nil {
			entries = a.Entries
		}
		// Beyond the limit the library says so, or the server (RFC 4511 §4.5.1.4).
		if errors.Is(err, ldap.ErrSizeLimitExceeded) || ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
			return errAmbiguous
		}
		return resultOf(err)
	})
	if r.Scope == ldap.ScopeBaseObject && absent(err, name) {
		return nil, errNoUser
	}
	switch {
	case errors.Is(err, errAmbiguous):
		return nil, errAmbiguous
	case err != nil:
		return nil, fmt.Errorf("ldap: search: %w", err)
	case len(entries) == 0:
		return nil, errNoUser
	case len(entries) > 1:
		return nil, errAmbiguous
	case entries[0].DN == "":
		// A bind as that would be one without a name, which servers grant to
		// anybody (RFC 4513 §5.1.1).
		return nil, errors.New("ldap: search: the server gave an entry without a DN")
	}
	return entries[0], nil
}

// request is the search for a name; ok is false if there can be no such entry.
func (s *Source) request(t template, name string) (r *ldap.SearchRequest, ok bool) {
	r = &ldap.SearchRequest{
		DerefAliases:     ldap.NeverDerefAliases,
		SizeLimit:        2, // more than one is one too many
		EnforceSizeLimit: true,
		TimeLimit:        int(math.Ceil(s.o.attempt().Seconds())),
		Attributes:       s.o.attributes(),
	}
	if s.o.DN != "" {
		r.Scope, r.Filter = ldap.ScopeBaseObject, "(objectClass=*)"
		r.BaseDN, ok = t.expand(name, ldap.EscapeDN)
		return r, ok
	}
	r.BaseDN, r.Scope = s.o.Base, ldap.ScopeWholeSubtree
	if s.o.Scope == OneLevel {
		r.Scope = ldap.ScopeSingleLevel
	}
	r.Filter, ok = t.expand(name, ldap.EscapeFilter)
	return r, ok
}
