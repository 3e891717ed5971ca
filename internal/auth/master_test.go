package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/sasl"
)

func withMasters(t *testing.T, users, admins *people, m Masters) Source {
	t.Helper()
	m.Source = admins.source()
	return mustNew(t, Options{Sources: []Source{users.source()}, Masters: &m})
}

func TestMasters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		separator      byte
		user, password string
		account        string
	}{
		{"into an account", 0, "alice*admin", "admin's", "alice"},
		{"in any spelling", 0, "ALICE*Admin", "admin's", "alice"},
		{"full-width separator", 0, "alice＊admin", "admin's", "alice"},
		{"another separator", '%', "alice%admin", "admin's", "alice"},
		{"the separator is another", '%', "alice*admin", "admin's", ""},
		{"separator in the name", 0, "a*b*admin", "admin's", "a*b"},
		{"wrong password", 0, "alice*admin", "alice's", ""},
		{"no such account", 0, "nobody*admin", "admin's", ""},
		{"no such master", 0, "alice*nobody", "admin's", ""},
		{"user as master", 0, "alice*bob", "bob's", ""},
		{"master as user", 0, "admin", "admin's", ""},
		{"master as account", 0, "admin*admin", "admin's", ""},
		{"no account", 0, "*admin", "admin's", ""},
		{"no master", 0, "alice*", "alice's", ""},
		{"herself", 0, "alice", "alice's", "alice"},
		{"herself twice", 0, "alice*alice", "alice's", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := withMasters(t, peopleOf("alice", "alice's", "bob", "bob's", "a*b", "x"), peopleOf("admin", "admin's"), Masters{Separator: tt.separator})
			for range 2 { // also when it is remembered
				account, err := login(s, tt.user, tt.password, here)
				if account != tt.account || (err == nil) != (tt.account != "") {
					t.Errorf("%s: got %q, %v", tt.name, account, err)
				}
				if err != nil && err != errRefused {
					t.Errorf("%s: the error differs: %v", tt.name, err)
				}
			}
		})
	}
}

// Without masters a separator is a sign like any other.
func TestNoMasters(t *testing.T) {
	t.Parallel()
	s := mustNew(t, Options{Sources: []Source{peopleOf("alice", "x", "bob*admin", "b secret").source()}})
	if account, err := login(s, "bob*admin", "b secret", here); account != "bob*admin" || err != nil {
		t.Errorf("got %q, %v", account, err)
	}
	if account, err := login(s, "alice*admin", "x", there); account != "" || err != errRefused {
		t.Errorf("got %q, %v", account, err)
	}
}

func TestMastersFromNetworks(t *testing.T) {
	t.Parallel()
	nets := func(all ...string) []netip.Prefix {
		out := []netip.Prefix{}
		for _, n := range all {
			out = append(out, netip.MustParsePrefix(n))
		}
		return out
	}
	for _, tt := range []struct {
		nets []netip.Prefix
		from string
		ok   bool
	}{
		{nil, "192.0.2.1", true},
		{nets("192.0.2.0/24"), "192.0.2.1", true},
		{nets("192.0.2.0/24"), "::ffff:192.0.2.1", true},
		{nets("::ffff:192.0.2.0/120"), "192.0.2.1", true},
		{nets("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1%eth0", true},
		{nets("192.0.2.0/24"), "192.0.3.1", false},
		{nets("192.0.2.0/24"), "127.0.0.1", false},
		{nets("192.0.2.0/24"), "", false}, // a Unix socket
		{nets(), "192.0.2.1", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var from netip.Addr
			if tt.from != "" {
				from = netip.MustParseAddr(tt.from)
			}
			s := withMasters(t, peopleOf("alice", "alice's"), peopleOf("admin", "admin's"), Masters{Networks: tt.nets})
			account, err := login(s, "alice*admin", "admin's", from)
			if (account == "alice" && err == nil) != tt.ok || !tt.ok && err != errRefused {
				t.Errorf("from %s with %v: %q, %v", tt.from, tt.nets, account, err)
			}
			if account, err := login(s, "alice", "alice's", from); account != "alice" || err != nil {
				t.Errorf("herself: %q, %v", account, err)
			}
		})
	}
}

func TestMastersThatCannotBe(t *testing.T) {
	t.Parallel()
	p := peopleOf()
	for what, o := range map[string]Options{
		"no passwords of masters": {Sources: []Source{p.source()}, Masters: &Masters{}},
		"no names of accounts":    {Sources: []Source{{Authenticator: p}}, Masters: &Masters{Source: p.source()}},
		"no passwords":            {Sources: []Source{{Looker: p}}, Masters: &Masters{Source: p.source()}},
		"letter":                  {Sources: []Source{p.source()}, Masters: &Masters{Source: p.source(), Separator: 'x'}},
		"blank":                   {Sources: []Source{p.source()}, Masters: &Masters{Source: p.source(), Separator: ' '}},
		"not ASCII":               {Sources: []Source{p.source()}, Masters: &Masters{Source: p.source(), Separator: 0xe9}},
		"no network":              {Sources: []Source{p.source()}, Masters: &Masters{Source: p.source(), Networks: []netip.Prefix{{}}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// Refusals of master logins are alike in text, work and time: for a master or
// an account that is not there, and from where masters may not be, with the
// right password too. What is counted is the master's name.
func TestMasterRefusalsAreEqual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		users, admins := peopleOf("alice", "alice's"), peopleOf("admin", "admin's")
		allowed := netip.MustParsePrefix("192.0.2.0/24")
		type refusal struct {
			text          string
			users, admins int64
			wait          time.Duration
		}
		seen := map[string][]refusal{}
		for what, l := range map[string]sasl.Login{
			"wrong":          {User: "alice*admin", Password: "x", Remote: here},
			"no master":      {User: "alice*nobody", Password: "x", Remote: here},
			"no account":     {User: "nobody*admin", Password: "x", Remote: here},
			"elsewhere":      {User: "alice*admin", Password: "admin's", Remote: there},
			"account absent": {User: "nobody*admin", Password: "admin's", Remote: here},
		} {
			s := withMasters(t, users, admins, Masters{Networks: []netip.Prefix{allowed}})
			for i := range 3 {
				if l.Password != "admin's" {
					l.Password = fmt.Sprint("guess ", i)
				}
				u, a, began := users.calls.Load(), admins.calls.Load(), time.Now()
				_, err := s.Authenticator.Authenticate(t.Context(), l)
				seen[what] = append(seen[what], refusal{fmt.Sprint(err), users.calls.Load() - u, admins.calls.Load() - a, time.Since(began)})
			}
		}
		for what, got := range seen {
			want := seen["wrong"]
			if what == "elsewhere" || what == "account absent" { // the same guess again is none
				want = []refusal{want[0], want[1], want[1]}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		s := withMasters(t, users, admins, Masters{})
		for i := range 40 {
			from := netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
			login(s, fmt.Sprint("user", i, "*admin"), fmt.Sprint(i), from)
		}
		if got := waits(s, "alice*admin", "admin's", here); got != 4 {
			t.Errorf("guesses at the master by many accounts make wait %d s", got)
		}
		if got := waits(s, "admin", "x", there); got != 0 {
			t.Errorf("a user of the master's name waits %d s", got)
		}
	})
}

// What is remembered of a master login ends when either of them changes.
func TestMasterIsForgotten(t *testing.T) {
	t.Parallel()
	users, admins := peopleOf("alice", "alice's"), peopleOf("admin", "admin's")
	s := withMasters(t, users, admins, Masters{})
	for _, step := range []struct {
		do       func()
		verified int64
		ok       bool
	}{
		{func() {}, 1, true},
		{func() {}, 0, true},
		{func() { users.change("alice", "new") }, 1, true},
		{func() {}, 0, true},
		{func() { admins.change("admin", "new") }, 1, false},
	} {
		step.do()
		before := admins.calls.Load()
		account, err := login(s, "alice*admin", "admin's", here)
		if n := admins.calls.Load() - before; (account == "alice" && err == nil) != step.ok || n != step.verified {
			t.Errorf("%q, %v; verified %d times, want %d", account, err, n, step.verified)
		}
	}
}

// An outage is an outage to who has proved the master, and only to them.
func TestMasterOutage(t *testing.T) {
	t.Parallel()
	users, admins := peopleOf("alice", "alice's"), peopleOf("admin", "admin's")
	s := withMasters(t, users, admins, Masters{})
	users.err = errOutage
	if account, err := login(s, "alice*admin", "admin's", here); account != "" || !errors.Is(err, errOutage) || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %q, %v", account, err)
	}
	if _, err := login(s, "alice*admin", "x", there); err != errRefused {
		t.Errorf("got %v", err)
	}
	admins.err = errOutage
	if _, err := login(s, "alice*admin", "x", netip.Addr{}); !errors.Is(err, errOutage) || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// The log can tell who it was, also of what is remembered.
func TestMasterIsTold(t *testing.T) {
	t.Parallel()
	s := withMasters(t, peopleOf("alice", "alice's"), peopleOf("admin", "admin's"), Masters{})
	for range 2 {
		var told []Attempt
		m := s.Guard(sasl.NewPlain(s.Authenticator, sasl.Login{Remote: here}), here, func(a Attempt) { told = append(told, a) })
		account, err := talk(t.Context(), m, sasl.PlainClient("Alice*Admin", "admin's"), 9)
		if account != "alice" || err != nil || len(told) != 1 || told[0] != (Attempt{"Alice*Admin", "admin"}) {
			t.Errorf("got %q, %v, told of %v", account, err, told)
		}
	}
	m := s.Guard(sasl.NewPlain(s.Authenticator, sasl.Login{Remote: here}), here, nil)
	_, err := talk(t.Context(), m, sasl.PlainClient("alice*admin", "x"), 9)
	if f, ok := errors.AsType[*Failure](err); !ok || f.Attempt != (Attempt{"alice*admin", "admin"}) {
		t.Errorf("got %#v", err)
	}
}
