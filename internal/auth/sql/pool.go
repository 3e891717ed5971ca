package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postwain/postwain/internal/auth/passwdfile"
)

// maxConnections is how many anybody can want.
const maxConnections = 256

// newSource makes a source that connects by dial; nil: as usual.
func newSource(o Options, dial pgconn.DialFunc) (*Source, error) {
	o = o.withDefaults()
	if !hasParameter(o.UserQuery) || !hasParameter(o.LookupQuery) || !hasParameter(o.FieldsQuery) {
		return nil, errors.New("sql: a query must have $1, which stands for the name")
	}
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	if dial != nil {
		config.ConnConfig.DialFunc = dial
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, errors.New("sql: the DSN makes no sense")
	}
	return &Source{timeout: o.Timeout, pool: pool, stored: passwdfile.NewStored()}, nil
}

func (o Options) withDefaults() Options {
	o.LookupQuery = cmp.Or(o.LookupQuery, o.UserQuery)
	o.FieldsQuery = cmp.Or(o.FieldsQuery, o.UserQuery)
	if o.Connections <= 0 {
		o.Connections = 8
	}
	o.Connections = min(o.Connections, maxConnections)
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	return o
}

// hasParameter finds early what the server would find late.
func hasParameter(text string) bool { return strings.Contains(text, "$1") }

func (o *Options) config() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		// The cause repeats pieces of it, and a password is one.
		return nil, errors.New("sql: the DSN is neither keywords and values, as host=db dbname=mail, nor a postgres:// URL")
	}
	config.MaxConns, config.MinConns, config.MinIdleConns = int32(o.Connections), 0, 0
	config.MaxConnIdleTime = time.Minute
	config.PingTimeout = o.Timeout / 2
	config.AfterConnect = o.ready
	c := config.ConnConfig
	if t := o.Timeout / 2; c.ConnectTimeout <= 0 || c.ConnectTimeout > t {
		c.ConnectTimeout = t
	}
	c.MaxProtocolMessageBodyLen = maxMessage
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement // the DSN could ask for one that puts names into text
	c.RuntimeParams["statement_timeout"] = strconv.FormatInt(o.Timeout.Milliseconds(), 10)
	c.RuntimeParams["application_name"] = cmp.Or(c.RuntimeParams["application_name"], "postwain")
	return config, nil
}

// ready prepares the queries on a new connection.
func (o *Options) ready(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	for q, text := range map[query]string{userQuery: o.UserQuery, lookupQuery: o.LookupQuery, fieldsQuery: o.FieldsQuery} {
		if err := prepare(ctx, c, q, text); err != nil {
			return fmt.Errorf("query %w", err)
		}
	}
	return nil
}
