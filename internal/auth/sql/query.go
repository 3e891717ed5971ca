package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postwain/postwain/sasl"
)

// query is one of the queries of Options, which is prepared under this name on
// each connection.
type query string

const (
	userQuery   query = "postwain_user"
	lookupQuery query = "postwain_lookup"
	fieldsQuery query = "postwain_fields"
)

// Bounds of an answer: columns, and octets of one message of the server.
const (
	maxColumns = 64
	maxMessage = 64 << 10
)

// errMany is no refusal: what a name with two rows means is not known.
var errMany = errors.New("the query gives more than one row for the name")

// prepare prepares a query, which needs a password if it is that of users.
func prepare(ctx context.Context, c *pgx.Conn, q query, text string) error {
	d, err := c.Prepare(ctx, string(q), text)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		// There is nobody's data in what it says of a query.
		return fmt.Errorf("%s: the database says: %.200q (SQLSTATE %.5q)", q, refused.Message, refused.Code)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", q, err)
	}
	if n := len(d.ParamOIDs); n != 1 {
		return fmt.Errorf("%s has %d parameters: it must have one, $1, for the name", q, n)
	}
	if len(d.Fields) > maxColumns {
		return fmt.Errorf("%s has more than %d columns", q, maxColumns)
	}
	seen := map[string]bool{}
	for _, f := range d.Fields {
		if seen[f.Name] {
			return fmt.Errorf("%s has two columns with the name %.64q", q, f.Name)
		}
		seen[f.Name] = true
	}
	if q == userQuery && !seen["password"] {
		return fmt.Errorf("%s has no column password", q)
	}
	return nil
}

// ask asks a query for a name, again on a new connection if the one that was
// there is no good: a server that was begun anew has closed them all.
func (s *Source) ask(ctx context.Context, q query, name string) (*row, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	r, err := s.try(ctx, q, name)
	if gone(err) && ctx.Err() == nil {
		s.pool.Reset()
		r, err = s.try(ctx, q, name)
	}
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, sasl.ErrNoUser):
		return nil, err
	case ctx.Err() != nil:
		return nil, fmt.Errorf("sql: %w", context.Cause(ctx))
	}
	return nil, fmt.Errorf("sql: %w", err)
}

// try asks once, in a transaction that only reads.
func (s *Source) try(ctx context.Context, q query, name string) (*row, error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tx, err := c.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, judged(err)
	}
	defer tx.Rollback(ctx) // a connection where it fails is not used again
	rows, err := tx.Query(ctx, string(q), pgx.QueryResultFormats{pgx.TextFormatCode}, name)
	if err != nil {
		return nil, judged(err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, judged(err)
		}
		return nil, errNoUser
	}
	r, err := read(rows)
	if err != nil {
		cancel() // nobody reads the rest
		return nil, err
	}
	if rows.Next() {
		cancel()
		return nil, errMany
	}
	if err := rows.Err(); err != nil {
		return nil, judged(err)
	}
	return r, nil
}

// read takes one row.
func read(rows pgx.Rows) (*row, error) {
	r := &row{fields: map[string]string{}}
	columns, values := rows.FieldDescriptions(), rows.RawValues()
	if len(columns) != len(values) || len(columns) > maxColumns {
		return nil, errors.New("the row has other columns than the query")
	}
	for i, c := range columns {
		if values[i] == nil {
			continue
		}
		value := string(values[i])
		if !printable(value) {
			return nil, fmt.Errorf("column %.64q is no text", c.Name)
		}
		switch c.Name {
		case "account":
			r.account = &value
		case "password":
			r.password = value
		default:
			r.fields[c.Name] = value
		}
	}
	return r, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// judged is the error of a question. The server's text is left out: it may
// repeat what is stored.
func judged(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case "22021", "22P05": // the name has characters that the database's encoding does not
		return errNoUser
	}
	return &answer{refused.Code}
}

// answer is an error that the server gave instead of rows, by its SQLSTATE.
type answer struct{ code string }

func (a *answer) Error() string { return fmt.Sprintf("the database says SQLSTATE %.5q", a.code) }

// gone reports whether a question may get an answer on another connection:
// this one broke, or the server ended it (SQLSTATE class 57P).
func gone(err error) bool {
	var a *answer
	if errors.As(err, &a) {
		return strings.HasPrefix(a.code, "57P")
	}
	return err != nil && !errors.Is(err, errMany) && !errors.Is(err, sasl.ErrNoUser)
}
