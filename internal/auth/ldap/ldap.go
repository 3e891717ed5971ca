// Package ldap is the account source that is a directory (RFC 4511): the entry
// of a name is searched, and a bind as that entry proves the password. Or the
// name tells the DN of the entry, and nothing is searched. Stored passwords
// are not read.
package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/postwain/postwain/sasl"
)

var (
	// errRefused is the one error for everybody who may not sign in, so that
	// it tells nothing.
	errRefused = fmt.Errorf("ldap: %w", sasl.ErrRefused)
	errNoUser  = fmt.Errorf("ldap: %w", sasl.ErrNoUser)
	// errAmbiguous is no refusal of itself: what a name with two entries means
	// is not known.
	errAmbiguous = errors.New("ldap: more than one entry matches the name; a narrower base or filter is needed")
)

// Source is a directory. It may be used by many goroutines. It is a
// [sasl.Authenticator] and a [sasl.Looker]. Errors that wrap neither
// [sasl.ErrRefused] nor [sasl.ErrNoUser] are outages.
type Source struct {
	o        Options
	names    template // of a filter, or of a DN if o.DN is set
	accounts template // of the filter that finds an account's entry

	searches, binds *pool
	report          reporter
}

// New makes a source. It asks no server yet: one that is away is an outage of
// those who sign in meanwhile, not of the program. Close it in the end.
func New(o Options) (*Source, error) {
	return newSource(o, dialer)
}

func newSource(o Options, dial dialFunc) (*Source, error) {
	o = o.withDefaults()
	s := &Source{o: o, report: reporter{tell: o.Report}}
	var err error
	if s.names, s.accounts, err = o.check(); err != nil {
		return nil, err
	}
	list, err := o.servers(dial)
	if err != nil {
		return nil, err
	}
	if s.o.Decoy == "" {
		// Nobody can make the entry, who does not know what is drawn here.
		s.o.Decoy = strings.TrimSuffix("cn="+rand.Text()+","+o.Base, ",")
	}
	s.searches = newPool(list, o, o.serviceBind)
	s.binds = newPool(list, o, nil)
	return s, nil
}

// Close closes the connections. Those in use are closed by their users.
func (s *Source) Close() error {
	s.searches.close()
	s.binds.close()
	return nil
}

// Authenticate implements [sasl.Authenticator]. A name without an entry is the
// same error as a wrong password, and the same work for this program: a bind as
// Options.Decoy. An empty password is refused: to a server it would mean
// somebody without a name (RFC 4513 §5.1.2).
func (s *Source) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	name, err := sasl.PrepareUser(l.User)
	password := sasl.PreparePassword(l.Password)
	if err != nil || password == "" || len(password) > sasl.MaxPassword {
		return "", errRefused
	}
	dn, account, err := s.identify(ctx, name)
	known := err == nil
	switch {
	case errors.Is(err, errAmbiguous):
		s.report.note(err)
		dn = s.o.Decoy
	case errors.Is(err, sasl.ErrNoUser):
		dn = s.o.Decoy
	case err != nil:
		return "", err
	}
	err = s.binds.do(ctx, func(c *ldap.Conn) error { return bind(c, dn, password) })
	if err == nil && known {
		return account, nil
	}
	if err == nil || refuses(err, name) {
		return "", errRefused
	}
	return "", fmt.Errorf("ldap: bind as the user: %w", err)
}

// identify gives the DN that proves a name and the account that it proves.
func (s *Source) identify(ctx context.Context, name string) (dn, account string, err error) {
	if s.o.DN != "" {
		dn, ok := s.names.expand(name, ldap.EscapeDN)
		if !ok {
			return "", "", errNoUser
		}
		return dn, name, nil
	}
	e, err := s.search(ctx, s.names, name)
	if err != nil {
		return "", "", err
	}
	account, err = s.account(e, name)
	return e.DN, account, err
}

// Lookup implements [sasl.Looker]. An entry that has no password exists.
func (s *Source) Lookup(ctx context.Context, name string) (account string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	name, err = sasl.PrepareUser(name)
	if err != nil {
		return "", errNoUser
	}
	e, err := s.search(ctx, s.names, name)
	if err != nil {
		return "", err
	}
	return s.account(e, name)
}

// Fields returns the attributes of an account that Options.Fields names, by
// the names that it gives them, which the caller may keep; those that the entry
// does not have are left out. Several values have commas between them. The error wraps
// [sasl.ErrNoUser], or it is an outage, which more than one entry is too.
func (s *Source) Fields(ctx context.Context, account string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	account, err := sasl.PrepareUser(account)
	if err != nil {
		return nil, errNoUser
	}
	e, err := s.search(ctx, s.accounts, account)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string, len(s.o.Fields))
	for field, attribute := range s.o.Fields {
		values := valuesOf(e, attribute)
		if len(values) == 0 {
			continue
		}
		if fields[field] = strings.Join(values, ","); !printable(fields[field]) {
			return nil, fmt.Errorf("ldap: attribute %s of the entry is no text", attribute)
		}
	}
	return fields, nil
}

// account is the canonical name of an entry.
func (s *Source) account(e *ldap.Entry, name string) (string, error) {
	attribute := s.o.AccountAttribute
	if attribute == "" {
		return name, nil
	}
	values := valuesOf(e, attribute)
	if len(values) != 1 {
		return "", fmt.Errorf("ldap: the entry has %d values of %s, the account's name, and should have one", len(values), attribute)
	}
	account, err := sasl.PrepareUser(values[0])
	if err != nil {
		// What PrepareUser says is a refusal; this is not.
		return "", fmt.Errorf("ldap: attribute %s of the entry is no name of an account", attribute)
	}
	return account, nil
}

// valuesOf gives the values of an attribute, whose name has no case (RFC 4512
// §2.5).
func valuesOf(e *ldap.Entry, attribute string) []string {
	for _, a := range e.Attributes {
		if small(a.Name) == small(attribute) {
			return a.Values
		}
	}
	return nil
}

// small is ASCII only, as names of attributes are.
func small(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
