package ldap

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

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
	byMail := searching()
	byMail.AccountAttribute = "mail"
	byDN := Options{URLs: []string{"ldapi:///run/slapd"}, DN: "uid=%u,ou=people,dc=example,dc=org"}
	const alice, nobody = "bind uid=alice,ou=people,dc=example,dc=org", "bind cn=nobody"
	for _, test := range []struct {
		about          string
		o              Options
		user, password string
		account, kind  string
		asked          []string // but for the service's own bind
	}{
		{"right", searching(), "alice", userPassword, "alice", fine, []string{"search (uid=alice)", alice}},
		{"another spelling", searching(), "ALICE", userPassword, "alice", fine, []string{"search (uid=alice)", alice}},
		{"wrong password", searching(), "alice", wrongPassword, "", refused, []string{"search (uid=alice)", alice}},
		{"unknown name", searching(), "mallory", userPassword, "", refused, []string{"search (uid=mallory)", nobody}},
		{"empty password", searching(), "alice", "", "", refused, nil},
		{"long password", searching(), "alice", strings.Repeat("x", sasl.MaxPassword+1), "", refused, nil},
		{"no name", searching(), "a b", userPassword, "", refused, nil},
		{"hostile name", searching(), "a)(uid=*", userPassword, "", refused, []string{`search (uid=a\29\28uid=\2a)`, nobody}},
		{"two entries", searching(), "twin", userPassword, "", refused, []string{"search (uid=twin)", nobody}},
		{"entry without a DN", searching(), "nameless", userPassword, "", outage, []string{"search (uid=nameless)"}},
		{"account's name", byMail, "alice", userPassword, "alice@example.org", fine, []string{"search (uid=alice)", alice}},
		{"no account's name", byMail, "nobody", userPassword, "", refused, []string{"search (uid=nobody)", nobody}},
		{"two accounts' names", byMail, "addresses", userPassword, "", outage, []string{"search (uid=addresses)"}},
		{"bad account's name", byMail, "odd", userPassword, "", outage, []string{"search (uid=odd)"}},
		{"DN", byDN, "alice", userPassword, "alice", fine, []string{alice}},
		{"DN, wrong password", byDN, "alice", wrongPassword, "", refused, []string{alice}},
		{"DN, unknown", byDN, "mallory", userPassword, "", refused, []string{"bind uid=mallory,ou=people,dc=example,dc=org"}},
		{"DN, hostile", byDN, "alice,ou=x+y", userPassword, "", refused, []string{`bind uid=alice\,ou=x\+y,ou=people,dc=example,dc=org`}},
	} {
		t.Run(test.about, func(t *testing.T) {
			t.Parallel()
			d := &directory{entries: people()}
			s := open(t, d, test.o)
			account, err := s.Authenticate(t.Context(), sasl.Login{User: test.user, Password: test.password})
			quiet(t, err)
			if account != test.account || kindOf(err) != test.kind {
				t.Errorf("account %q, %v", account, err)
			}
			asked := slices.DeleteFunc(d.asked(), func(s string) bool { return s == "bind "+serviceDN })
			if !slices.Equal(asked, test.asked) {
				t.Errorf("asked %q, not %q", asked, test.asked)
			}
		})
	}
}

// A success of the decoy signs nobody in, whoever made that entry.
func TestDecoyProvesNobody(t *testing.T) {
	t.Parallel()
	d := &directory{entries: append(people(), entry{dn: "cn=nobody", password: userPassword})}
	s := open(t, d, searching())
	for _, user := range []string{"mallory", "twin"} {
		if _, err := s.Authenticate(t.Context(), sasl.Login{User: user, Password: userPassword}); kindOf(err) != refused {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func TestUserBindResults(t *testing.T) {
	t.Parallel()
	kinds := map[uint16]string{
		ldap.LDAPResultInvalidCredentials: refused, ldap.LDAPResultNoSuchObject: refused,
		ldap.LDAPResultInappropriateAuthentication: refused, ldap.LDAPResultConstraintViolation: refused,
		ldap.LDAPResultInsufficientAccessRights: refused,
	}
	for code := uint16(1); code < 300; code++ {
		want, ok := kinds[code]
		if !ok {
			want = outage
		}
		for _, user := range []string{"alice", "mallory"} {
			d := &directory{entries: people(), code: code}
			s := open(t, d, searching())
			_, err := s.Authenticate(t.Context(), sasl.Login{User: user, Password: userPassword})
			quiet(t, err)
			if kindOf(err) != want {
				t.Errorf("%s, result %d: %v", user, code, err)
			}
			s.Close()
		}
	}
}

// A value beyond its attribute's syntax belongs to no entry; that a plain name
// does is the fault of the template.
func TestInvalidDN(t *testing.T) {
	t.Parallel()
	d := &directory{entries: people(), code: ldap.LDAPResultInvalidDNSyntax}
	s := open(t, d, Options{URLs: []string{"ldapi:///run/slapd"}, DN: "mail=%u,dc=example"})
	for user, want := range map[string]string{"alice": outage, "älice": refused, "a=b": refused} {
		if _, err := s.Authenticate(t.Context(), sasl.Login{User: user, Password: userPassword}); kindOf(err) != want {
			t.Errorf("%s: %v", user, err)
		}
	}
}

// What is wrong with the service's own password is nobody else's.
func TestServicePasswordIsWrong(t *testing.T) {
	t.Parallel()
	for about, password := range map[string]func() (string, error){
		"wrong": func() (string, error) { return wrongPassword, nil },
		"empty": func() (string, error) { return "", nil },
		"none":  func() (string, error) { return "", errors.New("no such file") },
	} {
		o := searching()
		o.Password = password
		d := &directory{entries: people()}
		s := open(t, d, o)
		for range 3 { // the later ones while the server is left alone
			_, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: userPassword})
			quiet(t, err)
			if kindOf(err) != outage || !strings.Contains(err.Error(), "bind") {
				t.Errorf("%s: %v", about, err)
			}
		}
		err := s.binds.do(t.Context(), nil)
		if refuses(err, "alice") || kindOf(err) != outage {
			t.Errorf("%s: a user's bind has the result of the service's: %v", about, err)
		}
	}
}

func TestLookupAndFields(t *testing.T) {
	t.Parallel()
	fields := map[string]string{"allow_nets": "mailnets", "login_delay": "loginDelay", "expire": "mailExpire"}
	byName, byMail := searching(), searching()
	byName.Fields, byMail.Fields, byMail.AccountAttribute = fields, fields, "mail"
	byDN := Options{URLs: []string{"ldapi:///run/slapd"}, DN: "uid=%n,ou=people,dc=example,dc=org", Fields: fields}
	alice := map[string]string{"allow_nets": "192.0.2.0/24,local", "login_delay": "60"}
	for _, test := range []struct {
		about             string
		o                 Options
		name              string
		account, kind     string
		fields            map[string]string
		fieldsOf, fields2 string
	}{
		{"by name", byName, "Alice", "alice", fine, alice, "alice", fine},
		{"by mail", byMail, "alice", "alice@example.org", fine, alice, "alice@example.org", fine},
		{"by DN", byDN, "alice@example.org", "alice@example.org", fine, alice, "alice@example.org", fine},
		{"nobody", byName, "mallory", "", noUser, nil, "mallory", noUser},
		{"nobody by DN", byDN, "mallory@example.org", "", noUser, nil, "mallory", noUser},
		{"no local part", byDN, "@example.org", "", noUser, nil, "@example.org", noUser},
		{"no name", byName, "a b", "", noUser, nil, "", noUser},
		{"two", byName, "twin", "", outage, nil, "twin", outage},
		{"odd", byName, "odd", "odd", fine, nil, "odd", outage},
	} {
		t.Run(test.about, func(t *testing.T) {
			t.Parallel()
			s := open(t, &directory{entries: people()}, test.o)
			account, err := s.Lookup(t.Context(), test.name)
			if account != test.account || kindOf(err) != test.kind {
				t.Errorf("Lookup: %q, %v", account, err)
			}
			got, err := s.Fields(t.Context(), test.fieldsOf)
			if !maps.Equal(got, test.fields) || kindOf(err) != test.fields2 {
				t.Errorf("Fields: %v, %v", got, err)
			}
		})
	}
}

// A base that is not there is nobody's lack of an account.
func TestBaseIsMissing(t *testing.T) {
	t.Parallel()
	for _, code := range []uint16{ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultTimeLimitExceeded} {
		s := open(t, &directory{entries: people(), searchCode: code}, searching())
		if _, err := s.Authenticate(t.Context(), sasl.Login{User: "älice", Password: userPassword}); kindOf(err) != outage {
			t.Errorf("result %d: %v", code, err)
		}
		if _, err := s.Lookup(t.Context(), "älice"); kindOf(err) != outage {
			t.Errorf("result %d: Lookup: %v", code, err)
		}
	}
}

func TestReportsAmbiguity(t *testing.T) {
	t.Parallel()
	var told []error
	o := searching()
	o.Report = func(err error) { told = append(told, err) }
	s := open(t, &directory{entries: people()}, o)
	for range 3 {
		s.Authenticate(t.Context(), sasl.Login{User: "twin", Password: userPassword})
	}
	if len(told) != 1 || !errors.Is(told[0], errAmbiguous) {
		t.Errorf("told %v", told)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for about, change := range map[string]func(*Options){
		"no URL":               func(o *Options) { o.URLs = nil },
		"other scheme":         func(o *Options) { o.URLs = []string{"http://example.org"} },
		"no host":              func(o *Options) { o.URLs = []string{"ldaps:///dc=x"} },
		"host with DN":         func(o *Options) { o.URLs = []string{"ldap://a/dc=x"} },
		"no socket":            func(o *Options) { o.URLs = []string{"ldapi://"} },
		"no password":          func(o *Options) { o.Password = nil },
		"no filter":            func(o *Options) { o.Filter = "" },
		"bad base":             func(o *Options) { o.Base = "example" },
		"both":                 func(o *Options) { o.DN = "uid=%u" },
		"filter for all":       func(o *Options) { o.Filter = "(uid=alice)" },
		"unknown sign":         func(o *Options) { o.Filter = "(uid=%x)" },
		"sign at the end":      func(o *Options) { o.Filter = "(uid=%u)%" },
		"no filter at all":     func(o *Options) { o.Filter = "uid=%u)" },
		"name for attribute":   func(o *Options) { o.Filter = "(&(a=b)(%u=x))" },
		"name for filter":      func(o *Options) { o.Filter = "(&(a=b)%u)" },
		"bad account filter":   func(o *Options) { o.AccountFilter = "(mail=%u" },
		"bad attribute":        func(o *Options) { o.AccountAttribute = "a)(b" },
		"nologin":              func(o *Options) { o.Fields = map[string]string{"nologin": "x"} },
		"field of nothing":     func(o *Options) { o.Fields = map[string]string{"allow_nets": ""} },
		"DN for all":           func(o *Options) { *o = Options{URLs: o.URLs, DN: "uid=alice"} },
		"DN of a bare name":    func(o *Options) { *o = Options{URLs: o.URLs, DN: "%u,dc=example"} },
		"name for a DN's type": func(o *Options) { *o = Options{URLs: o.URLs, DN: "%n=x,dc=example"} },
	} {
		o := searching()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", about)
		} else if !strings.HasPrefix(err.Error(), "ldap: ") {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, network, addr, tls string }{
		{"ldaps://a.example", "tcp", "a.example:636", "at once"},
		{"ldaps://a.example:1636/", "tcp", "a.example:1636", "at once"},
		{"ldap://a.example", "tcp", "a.example:389", "later"},
		{"ldap://[2001:db8::1]:3389", "tcp", "[2001:db8::1]:3389", "later"},
		{"ldapi://%2Frun%2Fslapd%2Fldapi", "unix", "/run/slapd/ldapi", "none"},
		{"ldapi:///run/slapd/ldapi", "unix", "/run/slapd/ldapi", "none"},
	} {
		s, err := (&Options{}).server(test.url)
		if err != nil {
			t.Error(err)
			continue
		}
		tls := map[bool]string{true: "at once", false: "none"}[s.tls != nil]
		if s.start {
			tls = "later"
		}
		if s.network != test.network || s.addr != test.addr || tls != test.tls {
			t.Errorf("%s: %s %s, TLS %s", test.url, s.network, s.addr, tls)
		}
	}
}

func TestNamesStayValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ template, name, filter string }{
		{"(uid=%u)", "*", `(uid=\2a)`},
		{"(uid=%u)", "a)(uid=*", `(uid=a\29\28uid=\2a)`},
		{"(uid=%u)", `\2a`, `(uid=\5c2a)`},
		{"(uid=%u)", "a\x00b", `(uid=a\00b)`},
		{"(uid=%u)", "ä", `(uid=\c3\a4)`},
		{"(&(uid=%n)(o=%d))", "%d@%u", `(&(uid=%d)(o=%u))`},
		{"(&(uid=%n)(o=%d))", "a@b@c", `(&(uid=a@b)(o=c))`},
		{"(|(uid=%u)(rate=5%%))", "a", `(|(uid=a)(rate=5%))`},
	} {
		tm, err := parseFilter(test.template)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, _ := tm.expand(test.name, ldap.EscapeFilter); got != test.filter {
			t.Errorf("%q: %s", test.name, got)
		}
	}
	for _, name := range []string{"a", "@b", "a@"} {
		if tm, _ := parseFilter("(&(uid=%n)(o=%d))"); tm != nil {
			if got, ok := tm.expand(name, ldap.EscapeFilter); ok {
				t.Errorf("%q: %s", name, got)
			}
		}
	}
}

// FuzzName: whatever the name, a filter and a DN have the shape of the template
// and the name for a value.
func FuzzName(f *testing.F) {
	for _, s := range []string{"alice", "a)(b=*", `a\`, "#a", " a ", "a,b=c+d", "\x00", strange, "a=b", `"`} {
		f.Add(s)
	}
	filter, err := parseFilter("(&(objectClass=person)(uid=%u))")
	if err != nil {
		f.Fatal(err)
	}
	dn, err := parseDN("uid=%u,ou=people")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name, err := sasl.PrepareUser(name)
		if err != nil {
			return
		}
		text, _ := filter.expand(name, ldap.EscapeFilter)
		p, err := ldap.CompileFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		if p.Tag != ldap.FilterAnd || len(p.Children) != 2 || p.Children[1].Tag != ldap.FilterEqualityMatch ||
			p.Children[1].Children[1].Data.String() != name {
			t.Errorf("%q: %s", name, text)
		}
		text, _ = dn.expand(name, ldap.EscapeDN)
		d, err := ldap.ParseDN(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.RDNs) != 2 || len(d.RDNs[0].Attributes) != 1 || d.RDNs[0].Attributes[0].Value != name {
			t.Errorf("%q: %s", name, text)
		}
	})
}
