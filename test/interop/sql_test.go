//go:build interop

package interop

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/postwain/postwain/internal/auth/sql"
	"github.com/postwain/postwain/sasl"
	"github.com/postwain/postwain/test/rig"
)

// databaseScript makes users with rig.Password, stored as it is or, for bob, as
// a digest with the salt "saltsalt".
const databaseScript = `
CREATE ROLE postwain LOGIN PASSWORD '` + rig.Password + `';
CREATE TABLE users (
	name text PRIMARY KEY, account text, password varchar(200),
	nets cidr[], login_delay int, nologin boolean NOT NULL DEFAULT false);
CREATE TABLE aliases (name text PRIMARY KEY, account text);
GRANT SELECT ON users, aliases TO postwain;
INSERT INTO users VALUES
	('alice', 'alice@example.org', '{PLAIN}` + rig.Password + `', '{127.0.0.0/8,::1/128}', 60, false),
	('bob', NULL, '{SSHA256}N+8PVzKiBSF5Vo6Ezg0rVfEscyMRrx6F5SUReci12m1zYWx0c2FsdA==', NULL, NULL, false),
	('closed', NULL, '{PLAIN}` + rig.Password + `', NULL, NULL, true),
	('empty', NULL, NULL, NULL, NULL, false),
	('broken', NULL, 'abcdefghijklm', NULL, NULL, false),
	('o''hara";--$1%u\', 'ohara', '{PLAIN}` + rig.Password + `', NULL, NULL, false);
INSERT INTO aliases VALUES ('postmaster', 'alice@example.org'), ('twin', 'a'), ('twins', 'b');
`

const (
	databaseUsers  = `SELECT account, password, array_to_string(nets, ',') AS allow_nets, login_delay, nologin FROM users WHERE name = $1`
	databaseNames  = `SELECT account FROM users WHERE name = $1 UNION SELECT account FROM aliases WHERE name LIKE $1 || '%'`
	databaseFields = `SELECT array_to_string(nets, ',') AS allow_nets, login_delay FROM users WHERE coalesce(account, name) = $1`
)

func startPostgres(t *testing.T) *rig.Postgres {
	t.Helper()
	p, err := newSpace(t).Postgres(databaseScript)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(p.Log())
		}
	})
	return p
}

func database(p *rig.Postgres) sql.Options {
	return sql.Options{
		DSN:       fmt.Sprintf("host=127.0.0.1 port=%d dbname=mail user=postwain sslmode=disable password=%s", p.Port, rig.Password),
		UserQuery: databaseUsers, LookupQuery: databaseNames, FieldsQuery: databaseFields,
	}
}

func openDatabase(t *testing.T, o sql.Options) *sql.Source {
	t.Helper()
	s, err := sql.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestPostgres has one server for all: to make one takes long.
func TestPostgres(t *testing.T) {
	t.Parallel()
	p := startPostgres(t)
	t.Run("accounts", func(t *testing.T) { testDatabaseAccounts(t, p) })
	t.Run("bad queries", func(t *testing.T) { testBadQueries(t, p) })
	t.Run("dies and comes back", func(t *testing.T) { testDatabaseDies(t, p) })
}

func testDatabaseAccounts(t *testing.T, p *rig.Postgres) {
	s := openDatabase(t, database(p))
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ user, password, want, account string }{
		{"alice", rig.Password, "fine", "alice@example.org"},
		{"ALICE", rig.Password, "fine", "alice@example.org"},
		{"bob", rig.Password, "fine", "bob"},
		{"alice", "wrong", "refused", ""},
		{"bob", "wrong", "refused", ""},
		{"mallory", rig.Password, "refused", ""},
		{"closed", rig.Password, "refused", ""},
		{"empty", rig.Password, "refused", ""},
		{"empty", "", "refused", ""},
		{"broken", rig.Password, "outage", ""},
		{"'or'1'='1", rig.Password, "refused", ""},
		{`o'hara";--$1%u\`, rig.Password, "fine", "ohara"},
	} {
		account, err := s.Authenticate(t.Context(), sasl.Login{User: test.user, Password: test.password})
		if kindOfLogin(err) != test.want || account != test.account {
			t.Errorf("%q: %q, %v", test.user, account, err)
		}
	}
	for name, want := range map[string]string{"alice": "alice@example.org", "postmaster": "alice@example.org", "mallory": "no user", "twin": "outage"} {
		account, err := s.Lookup(t.Context(), name)
		if account != want && kindOfLogin(err) != want {
			t.Errorf("Lookup of %q: %q, %v", name, account, err)
		}
	}
	fields, err := s.Fields(t.Context(), "alice@example.org")
	if err != nil || !maps.Equal(fields, map[string]string{"allow_nets": "127.0.0.0/8,::1/128", "login_delay": "60"}) {
		t.Errorf("Fields: %v, %v", fields, err)
	}
	if _, err := s.Fields(t.Context(), "mallory"); !errors.Is(err, sasl.ErrNoUser) {
		t.Errorf("Fields of nobody: %v", err)
	}
	account, secret, err := s.Secret(t.Context(), "alice", "PLAIN")
	if account != "alice@example.org" || string(secret) != rig.Password || err != nil {
		t.Errorf("Secret: %q, %v", account, err)
	}
}

// testBadQueries: what is wrong with a query is told by Check, and an outage
// for everybody. Nothing is ever written.
func testBadQueries(t *testing.T, p *rig.Postgres) {
	if err := p.Run("GRANT INSERT, UPDATE, DELETE ON users TO postwain"); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELEKT password FROM users WHERE name = $1":              "42601",
		"SELECT password FROM nothing WHERE name = $1":            "42P01",
		"SELECT account FROM users WHERE name = $1":               "no column password",
		"SELECT password FROM users WHERE name = $1 OR name = $2": "2 parameters",
		"SELECT password FROM users WHERE name = '$1'":            "0 parameters",
	} {
		o := database(p)
		o.UserQuery = query
		s := openDatabase(t, o)
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
		if _, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: rig.Password}); kindOfLogin(err) != "outage" {
			t.Errorf("%s: %v", query, err)
		}
	}
	o := database(p)
	o.UserQuery = "UPDATE users SET password = '{PLAIN}x' WHERE name = $1 RETURNING password"
	if _, err := openDatabase(t, o).Authenticate(t.Context(), sasl.Login{User: "alice", Password: "x"}); kindOfLogin(err) != "outage" || !strings.Contains(err.Error(), "25006") {
		t.Errorf("a query that writes: %v", err)
	}
	o.DSN = strings.ReplaceAll(o.DSN, rig.Password, "not-the-password")
	err := openDatabase(t, o).Check(t.Context())
	if kindOfLogin(err) != "outage" || strings.Contains(err.Error(), "not-the-password") {
		t.Errorf("wrong password of the service: %v", err)
	}
}

func testDatabaseDies(t *testing.T, p *rig.Postgres) {
	s := openDatabase(t, database(p))
	login := func(password string) string {
		_, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: password})
		return kindOfLogin(err)
	}
	if got := login(rig.Password); got != "fine" {
		t.Fatal(got)
	}
	if err := p.Run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postwain'"); err != nil {
		t.Fatal(err)
	}
	if got := login(rig.Password); got != "fine" {
		t.Errorf("after its connection was ended: %s", got)
	}
	if err := p.End(); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{rig.Password, "wrong"} {
		if got := login(password); got != "outage" {
			t.Errorf("without a server: %s", got)
		}
	}
	if _, err := s.Lookup(t.Context(), "mallory"); kindOfLogin(err) != "outage" {
		t.Errorf("Lookup without a server: %v", err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLogin(t, func() bool { return login(rig.Password) == "fine" })
	if got := login("wrong"); got != "refused" {
		t.Error(got)
	}
}
