package sql

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/postwain/postwain/sasl"
)

// Kinds of errors.
const (
	fine    = "fine"
	refused = "refused"
	noUser  = "no such user"
	outage  = "outage"
)

func kindOf(err error) string {
	switch {
	case err == nil:
		return fine
	case errors.Is(err, sasl.ErrRefused):
		return refused
	case errors.Is(err, sasl.ErrNoUser):
		return noUser
	}
	return outage
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	s := open(t, newDatabase(t), options())
	for _, test := range []struct{ user, password, account, kind string }{
		{"alice", userPassword, "alice@example.org", fine},
		{"ALICE", userPassword, "alice@example.org", fine},
		{"alice", "wrong", "", refused},
		{"alice", "", "", refused},
		{"alice", strings.Repeat("x", sasl.MaxPassword+1), "", refused},
		{"bob", userPassword, "bob", fine},
		{"mallory", userPassword, "", refused},
		{"a b", userPassword, "", refused},
		{"' OR 1=1 --", userPassword, "", refused},
		{"'||'", userPassword, "", refused},
		{"encoding", userPassword, "", refused},
		{"closed", userPassword, "", refused},
		{"closed", "wrong", "", refused},
		{"empty", "NULL", "", refused},
		{"star", "*", "", refused},
		{"twin", userPassword, "", outage},
		{"des", userPassword, "", outage},
		{"nameless", userPassword, "", outage},
		{"nameless", "wrong", "", refused},
		{"noisy", userPassword, "", outage},
		{"ended", userPassword, "", outage},
		{"slow", userPassword, "", outage},
		{"denied", userPassword, "", outage},
	} {
		account, err := s.Authenticate(t.Context(), sasl.Login{User: test.user, Password: test.password})
		quiet(t, err)
		if account != test.account || kindOf(err) != test.kind {
			t.Errorf("%q with %.20q: %q, %v", test.user, test.password, account, err)
		}
	}
}

func TestLookupAndFields(t *testing.T) {
	t.Parallel()
	s := open(t, newDatabase(t), options())
	for name, want := range map[string]struct{ account, kind string }{
		"Alice": {"alice@example.org", fine}, "closed": {"closed", fine}, "mallory": {"", noUser}, "twin": {"", outage}, "a b": {"", noUser},
	} {
		account, err := s.Lookup(t.Context(), name)
		if account != want.account || kindOf(err) != want.kind {
			t.Errorf("%q: %q, %v", name, account, err)
		}
	}
	fields, err := s.Fields(t.Context(), "alice")
	if err != nil || !maps.Equal(fields, map[string]string{"allow_nets": "127.0.0.0/8", "nologin": "f"}) {
		t.Errorf("%v, %v", fields, err)
	}
	if fields, err = s.Fields(t.Context(), "bob"); err != nil || len(fields) != 0 {
		t.Errorf("%v, %v", fields, err)
	}
	if _, err = s.Fields(t.Context(), "mallory"); kindOf(err) != noUser {
		t.Error(err)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	keys, err := sasl.NewSCRAMKeys(sasl.SCRAMSHA256, userPassword, []byte("a salt of sixteen"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	d.rows["scram"] = [][]string{{"scram", "{SCRAM-SHA-256}" + keys.Encode(), "NULL", "NULL"}}
	s := open(t, d, options())
	for _, test := range []struct{ name, scheme, account, value string }{
		{"alice", "PLAIN", "alice@example.org", userPassword},
		{"alice", "SCRAM-SHA-256", "", ""},
		{"scram", "SCRAM-SHA-256", "scram", keys.Encode()},
		{"scram", "SCRAM-SHA-1", "", ""},
		{"scram", "PLAIN", "", ""},
		{"mallory", "PLAIN", "", ""},
		{"closed", "PLAIN", "", ""},
		{"empty", "PLAIN", "", ""},
		{"empty", "", "", ""},
	} {
		account, value, err := s.Secret(t.Context(), test.name, test.scheme)
		if account != test.account || string(value) != test.value || (test.account == "") != (kindOf(err) == refused) {
			t.Errorf("%s of %s: %q, %v", test.scheme, test.name, account, err)
		}
	}
	if _, err := s.Authenticate(t.Context(), sasl.Login{User: "scram", Password: userPassword}); err != nil {
		t.Error(err)
	}
}

// The name goes beside the query, which only reads, and is prepared once.
func TestNameIsAParameter(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	o := options()
	o.DSN += " default_query_exec_mode=simple_protocol"
	s := open(t, d, o)
	const name = "o'hara;drop"
	for range 2 {
		s.Lookup(t.Context(), name)
	}
	asked := d.asked()
	want := []string{"timeout 5000", "begin read only", "name " + name, "rollback", "begin read only", "name " + name, "rollback"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}

func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "SELECT password FROM users", "SELECT password FROM users WHERE name = '%u'"} {
		o := options()
		o.UserQuery = bad
		if _, err := New(o); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	for about, change := range map[string]func(*database){
		"bad syntax":     func(d *database) { d.prepare = "42601" },
		"two parameters": func(d *database) { d.params = 2 },
		"none":           func(d *database) { d.params = 0 },
		"no password":    func(d *database) { d.columns = []string{"account"} },
		"twice":          func(d *database) { d.columns = []string{"password", "password"} },
		"many":           func(d *database) { d.columns = append(strings.Fields(strings.Repeat("x ", maxColumns)), "password") },
	} {
		d := newDatabase(t)
		change(d)
		s := open(t, d, options())
		err := s.Check(t.Context())
		quiet(t, err)
		if kindOf(err) != outage || !strings.Contains(err.Error(), "query postwain_") {
			t.Errorf("%s: %v", about, err)
		}
		if _, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: userPassword}); kindOf(err) != outage {
			t.Errorf("%s: %v", about, err)
		}
	}
	if err := open(t, newDatabase(t), options()).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDSNIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"host=db password='" + dsnPassword, "postgres://u:" + dsnPassword + "@db:x/", dsnPassword,
		"host=db port=" + dsnPassword, "postgres://u:p%zz" + dsnPassword + "@db/",
	} {
		o := options()
		o.DSN = bad
		_, err := New(o)
		if err == nil {
			t.Errorf("%q: no error", bad)
		}
		quiet(t, err)
	}
}

func TestServerBegunAnew(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := open(t, d, options())
	login := func(password string) string {
		_, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: password})
		quiet(t, err)
		return kindOf(err)
	}
	if got := login(userPassword); got != fine {
		t.Fatal(got)
	}
	d.stop(false) // between two questions
	if got := login(userPassword); got != fine {
		t.Errorf("begun anew: %s", got)
	}
	d.stop(true)
	for _, password := range []string{userPassword, "wrong"} {
		if got := login(password); got != outage {
			t.Errorf("down: %s", got)
		}
	}
	d.stop(false)
	if got := login("wrong"); got != refused {
		t.Errorf("back: %s", got)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	o := options()
	o.Timeout = 200 * time.Millisecond
	s := open(t, d, o)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.mute = true
	d.mu.Unlock()
	if _, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: userPassword}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lookup(ctx, "alice"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Answers that are hostile are outages, soon.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	d0 := newDatabase(t)
	encode := func(m ...pgproto3.BackendMessage) []byte {
		var b []byte
		for _, each := range m {
			b, _ = each.Encode(b)
		}
		return b
	}
	head := encode(&pgproto3.BindComplete{}, d0.description())
	row := func(n int) []byte {
		return encode(&pgproto3.DataRow{Values: [][]byte{[]byte("alice"), []byte(storedPlain), []byte(strings.Repeat("x", n)), nil}})
	}
	for about, raw := range map[string][]byte{
		"long row":     append(head, row(2*maxMessage)...),
		"many rows":    append(head, slices.Repeat(row(1000), 5000)...),
		"short row":    append(head, encode(&pgproto3.DataRow{Values: [][]byte{[]byte("alice")}}, &pgproto3.CommandComplete{})...),
		"huge message": append(head, "D\x7f\xff\xff\xff\x00\x04"...),
		"no protocol":  []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"rows of none": encode(&pgproto3.BindComplete{}, &pgproto3.DataRow{Values: [][]byte{[]byte("alice")}}),
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			o := options()
			o.Timeout = 500 * time.Millisecond
			s := open(t, d, o)
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.raw = func(string) []byte { return raw }
			account, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: userPassword})
			quiet(t, err)
			if account != "" || kindOf(err) != outage {
				t.Errorf("%q, %v", account, err)
			}
			if (about == "long row" || about == "huge message") && !strings.Contains(err.Error(), "at most") {
				t.Errorf("it took more than it should: %v", err)
			}
		})
	}
}
