package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Scope is how far below Options.Base entries are searched (RFC 4511 §4.5.1.2).
type Scope int

const (
	Subtree  Scope = iota // everywhere, and Base itself
	OneLevel              // right below
)

// Options are the choices of New.
type Options struct {
	// URLs are the servers, tried in order: ldaps://host[:port],
	// ldap://host[:port], where TLS is begun by StartTLS (RFC 4511 §4.14), or
	// ldapi://%2Fpath or ldapi:///path, a Unix socket. At least one.
	URLs []string
	// TLS is for ldaps and StartTLS. Nil: TLS 1.2 and above, with the system's
	// authorities, and the host of the URL.
	TLS *tls.Config
	// Plaintext leaves StartTLS out: passwords go to ldap:// as they are.
	Plaintext bool

	// BindDN is who searches, and Password tells that one's password. It is
	// called for each new connection, so that a password may change. An empty
	// BindDN searches without a name (RFC 4513 §5.1.1).
	BindDN   string
	Password func() (string, error)

	// Base is where the search for Filter begins. In a filter (RFC 4515) %u
	// stands for the name, %n for what is before its last @, %d for what is
	// behind it, each escaped, and %% for a per cent sign. A name that lacks a
	// part that is asked for has no entry.
	Base   string
	Filter string
	Scope  Scope
	// DN is instead of Base and Filter: the DN of an entry (RFC 4514), with the
	// same signs. To sign in is then one bind. Lookup and Fields read the entry.
	DN string

	// AccountAttribute has the canonical name of the account, one value. Empty:
	// the account is the name that was asked for. Set it where the directory
	// matches more loosely than the mail store (some know no accents), or one
	// person has several accounts.
	AccountAttribute string
	// AccountFilter finds the entry of an account by its canonical name, for
	// Fields. Empty: Filter, or the value of AccountAttribute if that is set.
	AccountFilter string
	// Fields are what Source.Fields gives: the name of a field, such as
	// allow_nets, and of the attribute where it is. A field nologin is not
	// known: a filter says who may sign in.
	Fields map[string]string

	// Decoy is the DN that is bound to in vain where a name has no entry, or
	// more than one. Empty: one that does not exist. A server hashes passwords
	// for entries that exist only; an entry for this purpose, with a password that
	// is hashed as those of users are and nobody knows, makes the times equal.
	Decoy string

	// Connections is how many are kept to search, and as many more to bind.
	// Others wait. Zero: 8.
	Connections int
	// Timeout is how long one question may take, with all that belongs to it.
	// Each try has a part of that, so that there is time for another server.
	// Zero: 10 s.
	Timeout time.Duration

	// Report is told what is no error of anybody's login but should be put
	// right, at most once a minute: that a name has more than one entry. It must
	// not block. Nil: nobody is told.
	Report func(error)
}

// maxConnections is how many anybody can want.
const maxConnections = 256

func (o Options) withDefaults() Options {
	if o.Connections <= 0 {
		o.Connections = 8
	}
	o.Connections = min(o.Connections, maxConnections)
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	return o
}

// attempt is the time for one try: to connect, or to wait for one answer.
func (o *Options) attempt() time.Duration { return o.Timeout / time.Duration(len(o.URLs)+1) }

// check reads the templates for names and for accounts.
func (o *Options) check() (names, accounts template, err error) {
	switch {
	case len(o.URLs) == 0:
		return nil, nil, errors.New("ldap: no URL of a server")
	case o.BindDN != "" && o.Password == nil:
		return nil, nil, errors.New("ldap: the bind DN has no password")
	case o.DN != "" && (o.Filter != "" || o.Base != "" || o.AccountAttribute != "" || o.AccountFilter != ""):
		return nil, nil, errors.New("ldap: a DN for each name leaves nothing to search: no base, filter or account attribute")
	case o.DN == "" && o.Filter == "":
		return nil, nil, errors.New("ldap: neither a filter nor a DN for each name")
	}
	if _, err := ldap.ParseDN(o.Base); err != nil {
		return nil, nil, fmt.Errorf("ldap: base %q: %w", o.Base, err)
	}
	for field, attribute := range o.Fields {
		if field == "" || attribute == "" {
			return nil, nil, fmt.Errorf("ldap: field %q needs a name and an attribute", field)
		}
		if field == "nologin" {
			return nil, nil, errors.New("ldap: there is no field nologin: leave such entries out by the filter")
		}
	}
	if o.DN != "" {
		names, err = parseDN(o.DN)
		return names, names, err
	}
	if names, err = parseFilter(o.Filter); err != nil {
		return nil, nil, err
	}
	byAccount := o.Filter
	if o.AccountAttribute != "" {
		byAccount = "(" + o.AccountAttribute + "=%u)"
	}
	accounts, err = parseFilter(cmp.Or(o.AccountFilter, byAccount))
	return names, accounts, err
}

// attributes are those that a search asks for; "1.1": none (RFC 4511 §4.5.1.8).
func (o *Options) attributes() []string {
	var list []string
	if o.AccountAttribute != "" {
		list = append(list, o.AccountAttribute)
	}
	for _, a := range o.Fields {
		list = append(list, a)
	}
	if list == nil {
		return []string{"1.1"}
	}
	return list
}

// serviceBind makes a connection one that searches. That its password is wrong
// is an outage.
func (o Options) serviceBind(ctx context.Context, c *conn) error {
	if o.BindDN == "" {
		return nil
	}
	password, err := o.Password()
	if err != nil {
		return fmt.Errorf("password of the bind DN: %w", err)
	}
	if password == "" {
		return errors.New("password of the bind DN is empty")
	}
	if err := c.run(ctx, func(l *ldap.Conn) error { return bind(l, o.BindDN, password) }); err != nil {
		return fmt.Errorf("bind as %q: %w", o.BindDN, err)
	}
	return nil
}
