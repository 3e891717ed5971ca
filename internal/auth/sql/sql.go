// Package sql is the account source that is a PostgreSQL database. The
// operator writes the query; the name is a parameter of it and never a part of
// its text. Passwords are stored as {SCHEME}hash as in a passwd-file.
package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/sasl"
)

var (
	// errRefused is the one error for everybody who may not sign in, so that
	// it tells nothing.
	errRefused = fmt.Errorf("sql: %w", sasl.ErrRefused)
	errNoUser  = fmt.Errorf("sql: %w", sasl.ErrNoUser)
)

// Options are the choices of New.
type Options struct {
	// DSN says how to connect: keywords and values, such as
	// "host=db.example.org dbname=mail user=postwain sslmode=verify-full", or a
	// postgres:// URL. Several hosts are tried in order. What it leaves out,
	// libpq's environment variables may say. Without sslmode=verify-full any
	// server is trusted, and TLS is used where there is some.
	DSN string

	// UserQuery finds an account. It has one parameter, $1, the name in its
	// canonical spelling, and gives at most one row. Its columns are told by
	// their names: password is {SCHEME}hash, and where it is NULL nobody signs
	// in; account, which need not be there, is the canonical name of the account;
	// with nologin, unless it is NULL or false, nobody signs in; that and all
	// others are fields, as text, without those that are NULL.
	UserQuery string
	// LookupQuery is for Lookup, which knows more names than those that sign in.
	// FieldsQuery is for Fields, and is asked for accounts by their canonical
	// names. Neither needs a password. Empty: UserQuery.
	LookupQuery string
	FieldsQuery string

	// Connections is how many there are at most. Others wait. Zero: 8.
	Connections int
	// Timeout is how long a question may take, with all that belongs to it; the
	// server ends statements after that too. Behind PgBouncer the parameter
	// statement_timeout must be among its ignore_startup_parameters. Zero: 10 s.
	Timeout time.Duration
}

// Source is a database. It may be used by many goroutines. It is a
// [sasl.Authenticator], a [sasl.Looker] and a [sasl.SecretSource]. Errors that
// wrap neither [sasl.ErrRefused] nor [sasl.ErrNoUser] are outages. Its
// Authenticate spends processor time on hashes.
type Source struct {
	timeout time.Duration
	pool    *pgxpool.Pool
	stored  *passwdfile.Stored
}

// New makes a source. It asks no server yet: one that is away is an outage of
// those who sign in meanwhile, not of the program. Close it in the end.
func New(o Options) (*Source, error) {
	return newSource(o, nil)
}

// Check connects, and asks the server whether the queries are good. The error
// says what is wrong with them, or it is an outage.
func (s *Source) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("sql: %w", err)
	}
	c.Release()
	return nil
}

// Close closes the connections, when those who use them are done.
func (s *Source) Close() error {
	s.pool.Close()
	return nil
}

// Authenticate implements [sasl.Authenticator]. Every refusal is the same
// error, and for a name without a row a decoy is verified in vain. That what is
// stored cannot be read is an outage.
func (s *Source) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	name, err := sasl.PrepareUser(l.User)
	if err != nil || l.Password == "" || len(l.Password) > sasl.MaxPassword {
		return "", errRefused
	}
	r, err := s.ask(ctx, userQuery, name)
	if errors.Is(err, sasl.ErrNoUser) {
		s.stored.Refuse(name, l.Password)
		return "", errRefused
	}
	if err != nil {
		return "", err
	}
	ok, err := s.stored.Verify(name, r.password, l.Password)
	if err != nil {
		return "", fmt.Errorf("sql: column password of the account: %w", err)
	}
	if !ok || r.noLogin() {
		return "", errRefused
	}
	return r.name(name)
}

// Lookup implements [sasl.Looker]. An account that cannot sign in exists.
func (s *Source) Lookup(ctx context.Context, name string) (account string, err error) {
	if name, err = sasl.PrepareUser(name); err != nil {
		return "", errNoUser
	}
	r, err := s.ask(ctx, lookupQuery, name)
	if err != nil {
		return "", err
	}
	return r.name(name)
}

// Fields returns the columns of an account beside account and password, which
// the caller may keep. The error wraps [sasl.ErrNoUser], or it is an outage.
func (s *Source) Fields(ctx context.Context, account string) (map[string]string, error) {
	account, err := sasl.PrepareUser(account)
	if err != nil {
		return nil, errNoUser
	}
	r, err := s.ask(ctx, fieldsQuery, account)
	if err != nil {
		return nil, err
	}
	return r.fields, nil
}

// Secret implements [sasl.SecretSource]: for "PLAIN" the password itself where
// it is stored so, and for other schemes what is stored under them. It is not
// told where the client is: whoever asks looks at allow_nets in the fields.
func (s *Source) Secret(ctx context.Context, name, scheme string) (account string, value []byte, err error) {
	if name, err = sasl.PrepareUser(name); err != nil {
		return "", nil, errRefused
	}
	r, err := s.ask(ctx, userQuery, name)
	if errors.Is(err, sasl.ErrNoUser) {
		return "", nil, errRefused
	}
	if err != nil {
		return "", nil, err
	}
	value, ok := s.stored.Secret(r.password, scheme)
	if !ok || r.noLogin() {
		return "", nil, errRefused
	}
	if account, err = r.name(name); err != nil {
		return "", nil, err
	}
	return account, value, nil
}

// row is what a query says of a name.
type row struct {
	account  *string // nil: the name itself
	password string
	fields   map[string]string
}

// name is the canonical name of the account that was found for name.
func (r *row) name(name string) (string, error) {
	if r.account == nil {
		return name, nil
	}
	account, err := sasl.PrepareUser(*r.account)
	if err != nil {
		// What PrepareUser says is a refusal; this is not.
		return "", errors.New("sql: column account is no name of an account")
	}
	return account, nil
}

// noLogin understands booleans, as the database writes them, and words.
func (r *row) noLogin() bool {
	switch strings.Trim(r.fields["nologin"], " ") {
	case "", "f", "false", "n", "no", "0":
		return false
	}
	return true
}
