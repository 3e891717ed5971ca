package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postwain/postwain/sasl"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	const in, out, outage = "in", "out", "outage"
	for _, tt := range []struct{ allow, deny, from, want string }{
		{"-", "-", "192.0.2.1", in},
		{"192.0.2.0/24", "-", "192.0.2.1", in},
		{"192.0.2.0/24", "-", "192.0.3.1", out},
		{"192.0.2.0/24", "-", "::ffff:192.0.2.1", in},
		{"::ffff:192.0.2.0/120", "-", "192.0.2.1", in},
		{"192.0.2.99/24", "-", "192.0.2.1", in},
		{"10.0.0.0/8,192.0.2.1", "-", "192.0.2.1", in},
		{"10.0.0.0/8, 192.0.2.1", "-", "192.0.2.1", in},
		{"::ffff:192.0.2.1", "-", "192.0.2.1", in},
		{"192.0.2.1", "-", "192.0.2.2", out},
		{"2001:db8::/32", "-", "2001:db8::1%eth0", in},
		{"2001:db8::/32", "-", "192.0.2.1", out},
		{"::/0", "-", "192.0.2.1", out},
		{"0.0.0.0/0", "-", "2001:db8::1", out},
		{"0.0.0.0/0,::/0", "-", "", out},
		{"local", "-", "", in},
		{"local", "-", "127.0.0.1", out},
		{"-", "local", "", out},
		{"-", "192.0.2.0/24", "192.0.2.1", out},
		{"-", "192.0.2.0/24", "192.0.3.1", in},
		{"-", "192.0.2.0/24", "", in},
		{"192.0.2.0/24", "192.0.2.1", "192.0.2.1", out},
		{"192.0.2.0/24", "192.0.2.1", "192.0.2.2", in},
		{"192.0.2.0/24", "192.0.2.1", "192.0.3.1", out},
		// What cannot be read lets nobody in, and refuses nobody either.
		{"", "-", "192.0.2.1", outage},
		{"-", "", "192.0.2.1", outage},
		{"yes", "-", "192.0.2.1", outage},
		{"192.0.2.0/24,", "-", "192.0.2.1", outage},
		{"192.0.2.0/24,x", "-", "192.0.2.1", outage},
		{"192.0.2.0/24;10.0.0.0/8", "-", "192.0.2.1", outage},
		{"192.0.2.0/33", "-", "192.0.2.1", outage},
		{"192.0.2", "-", "192.0.2.1", outage},
		{"::ffff:0.0.0.0/95", "-", "192.0.2.1", outage},
		{"fe80::1%eth0", "-", "192.0.2.1", outage},
		{"example.org", "-", "192.0.2.1", outage},
		{"192.0.2.0/24", "x", "192.0.2.1", outage},
		{"x", "192.0.2.0/24", "192.0.2.1", outage},
		{strings.Repeat("192.0.2.1,", maxNets) + "192.0.2.1", "-", "192.0.2.1", outage},
		{strings.Repeat("192.0.2.1,", maxNets-1) + "192.0.2.1", "-", "192.0.2.1", in},
		{strings.Repeat(" ", maxNetText) + "192.0.2.1", "-", "192.0.2.1", outage},
	} {
		fields := map[string]string{"login_delay": "1"}
		if tt.allow != "-" {
			fields["allow_nets"] = tt.allow
		}
		if tt.deny != "-" {
			fields["deny_nets"] = tt.deny
		}
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		err, got := Admit(fields, from), in
		switch {
		case errors.Is(err, sasl.ErrRefused):
			got = out
		case err != nil:
			got = outage
		}
		if got != tt.want || got == out && err != errRefused {
			t.Errorf("allow %.40q, deny %.40q, from %s: %v, want %s", tt.allow, tt.deny, tt.from, err, tt.want)
		}
	}
}

// FuzzAdmit: no list lets in who is not in it, and none panics.
func FuzzAdmit(f *testing.F) {
	for _, list := range []string{"", "192.0.2.0/24", "local,::1", "::ffff:1.2.3.4/97", "a/b,c", "1.2.3.4/0"} {
		f.Add(list, "192.0.2.1")
	}
	f.Fuzz(func(t *testing.T, list, from string) {
		a, _ := netip.ParseAddr(from)
		allow, deny := Admit(map[string]string{"allow_nets": list}, a), Admit(map[string]string{"deny_nets": list}, a)
		if allow == nil && deny == nil || errors.Is(allow, sasl.ErrRefused) && errors.Is(deny, sasl.ErrRefused) {
			t.Errorf("%q from %q: %v and %v", list, from, allow, deny)
		}
		if allow == nil && a.IsValid() && !strings.ContainsAny(list, "0123456789:") {
			t.Errorf("%q lets %q in", list, from)
		}
	})
}

// placed gives everybody the same fields.
func placed(t *testing.T, fields map[string]string, err error) (*people, Source) {
	p := peopleOf("alice", "a-secret")
	src := p.source()
	src.Tokens = tokens{p}
	src.Fields = func(_ context.Context, account string) (map[string]string, error) {
		if _, ok := p.passwords[account]; !ok {
			return nil, sasl.ErrNoUser
		}
		return fields, err
	}
	return p, mustNew(t, Options{Sources: []Source{src}})
}

// By every mechanism a right secret from elsewhere looks like a wrong one: the
// same error and the same wait, also the next time.
func TestElsewhereIsAsWrong(t *testing.T) {
	t.Parallel()
	for _, mechanism := range mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := func(user, secret string) (all []string) {
					_, s := placed(t, map[string]string{"allow_nets": "198.51.100.0/24"}, nil)
					for range 4 {
						_, wait, err := try(t, s, mechanism, user, secret, here)
						all = append(all, fmt.Sprint(wait, " ", err))
						if !errors.Is(err, sasl.ErrRefused) {
							t.Errorf("%s %s: %v", user, secret, err)
						}
					}
					return all
				}
				elsewhere := answers("alice", right(mechanism))
				for _, other := range [][2]string{{"alice", "wrong"}, {"nobody", "wrong"}} {
					if wrong := answers(other[0], other[1]); fmt.Sprint(wrong) != fmt.Sprint(elsewhere) {
						t.Errorf("elsewhere: %q\nwrong: %q", elsewhere, wrong)
					}
				}
				_, s := placed(t, map[string]string{"allow_nets": "198.51.100.0/24"}, nil)
				for range 2 {
					if account, wait, err := try(t, s, mechanism, "alice", right(mechanism), there); account != "alice" || wait != 0 || err != nil {
						t.Errorf("from where it may: %q, %v after %d s", account, err, wait)
					}
				}
			})
		})
	}
}

// Fields that cannot be read are an outage to who has proved the account, and
// no sign of life to others.
func TestUnreadableFields(t *testing.T) {
	t.Parallel()
	for _, mechanism := range mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for what, fields := range map[string]map[string]string{"no list": {"deny_nets": "?"}, "outage": nil} {
					var broken error
					if what == "outage" {
						broken = errOutage
					}
					_, s := placed(t, fields, broken)
					if account, _, err := try(t, s, mechanism, "alice", right(mechanism), here); account != "" || err == nil || errors.Is(err, sasl.ErrRefused) {
						t.Errorf("%s: %q, %v", what, account, err)
					}
					for _, user := range []string{"alice", "nobody"} {
						if _, _, err := try(t, s, mechanism, user, "wrong", there); !errors.Is(err, sasl.ErrRefused) {
							t.Errorf("%s: %s: %v", what, user, err)
						}
					}
				}
			})
		})
	}
}

// What a server asks before it opens the mail.
func TestSourceAdmit(t *testing.T) {
	t.Parallel()
	_, s := placed(t, map[string]string{"deny_nets": "192.0.2.0/24"}, nil)
	if err := s.Admit(t.Context(), "alice", there); err != nil {
		t.Errorf("got %v", err)
	}
	if err := s.Admit(t.Context(), "alice", here); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if err := s.Admit(t.Context(), "nobody", there); err == nil || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if err := (Source{}).Admit(t.Context(), "alice", here); err != nil {
		t.Errorf("got %v", err)
	}
}

// An account of a source that has no fields has none, unless it is not known
// where it comes from.
func TestFieldsOfOthers(t *testing.T) {
	t.Parallel()
	first, second := peopleOf("alice", "a secret"), peopleOf("bob", "b secret")
	bare := second.source()
	bare.Fields = nil
	s := mustNew(t, Options{Sources: []Source{first.source(), bare}})
	if account, err := login(s, "bob", "b secret", here); account != "bob" || err != nil {
		t.Errorf("got %q, %v", account, err)
	}
	if fields, err := s.Fields(t.Context(), "alice"); fields["of"] != "alice" || err != nil {
		t.Errorf("got %v, %v", fields, err)
	}
	down := first.source()
	down.Fields = func(context.Context, string) (map[string]string, error) { return nil, errOutage }
	s = mustNew(t, Options{Sources: []Source{down, bare}})
	if account, err := login(s, "bob", "b secret", there); account != "" || !errors.Is(err, errOutage) {
		t.Errorf("during an outage of the fields: %q, %v", account, err)
	}
}

// aliased gives the secret of alice to a name that is not the account's.
type aliased struct{ *people }

func (a aliased) Secret(ctx context.Context, name, scheme string) (string, []byte, error) {
	if name == "alias" {
		name = "alice"
	}
	return a.people.Secret(ctx, name, scheme)
}

// The fields are those of the account, whatever name was given.
func TestFieldsAreTheAccounts(t *testing.T) {
	t.Parallel()
	p := peopleOf("alice", "a-secret")
	src := p.source()
	src.Secrets = aliased{p}
	src.Fields = func(_ context.Context, account string) (map[string]string, error) {
		if account != "alice" {
			return nil, sasl.ErrNoUser
		}
		return map[string]string{"deny_nets": "192.0.2.0/24"}, nil
	}
	s := mustNew(t, Options{Sources: []Source{src}, NoDelay: true})
	for _, mechanism := range []string{"CRAM-MD5", "SCRAM-SHA-256"} {
		if account, _, err := try(t, s, mechanism, "alias", "a-secret", here); account != "" || !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s: %q, %v", mechanism, account, err)
		}
		if account, _, err := try(t, s, mechanism, "alias", "a-secret", there); account != "alice" || err != nil {
			t.Errorf("%s: %q, %v", mechanism, account, err)
		}
	}
}

// Who may not sign in may not by what proves an account without a password.
func TestAdmitNoLogin(t *testing.T) {
	t.Parallel()
	for value, refused := range map[string]bool{"yes": true, "t": true, "1": true, "": false, "0": false, "no": false, "false": false, "f": false} {
		if err := Admit(map[string]string{"nologin": value}, netip.Addr{}); errors.Is(err, sasl.ErrRefused) != refused {
			t.Errorf("nologin=%s: %v", value, err)
		}
	}
}
