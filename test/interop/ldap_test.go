//go:build interop

package interop

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/ldap"
	"github.com/postwain/postwain/sasl"
	"github.com/postwain/postwain/test/rig"
)

// directoryPeople are the entries of the directory: alice, who has everything;
// bob, without a password; two with one address; and one whose name has what
// filters and DNs are made of.
func directoryPeople() string {
	var b strings.Builder
	b.WriteString("dn: ou=people," + rig.DirectoryBase + "\nobjectClass: organizationalUnit\nou: people\n\n")
	b.WriteString("dn: uid=decoy," + rig.DirectoryBase + "\nobjectClass: account\nobjectClass: simpleSecurityObject\nuid: decoy\nuserPassword: nobody-knows\n\n")
	for _, p := range []struct{ uid, mail, more string }{
		{"alice", "Alice@example.org", "employeeType: 127.0.0.0/8\nemployeeType: local\nuserPassword: " + rig.Password + "\n"},
		{"bob", "bob@example.org", ""},
		{"twin1", "twin@example.org", "userPassword: " + rig.Password + "\n"},
		{"twin2", "twin@example.org", "userPassword: " + rig.Password + "\n"},
		{`o*(x)\,jr`, "odd@example.org", "userPassword: " + rig.Password + "\n"},
	} {
		fmt.Fprintf(&b, "dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: %s\nmail: %s\n%s\n",
			p.uid, rig.DirectoryBase, strings.ReplaceAll(p.uid, `\`, ""), p.mail, p.more)
	}
	return b.String()
}

// kindOfLogin is what the error of an account source means.
func kindOfLogin(err error) string {
	switch {
	case err == nil:
		return "fine"
	case errors.Is(err, sasl.ErrRefused):
		return "refused"
	case errors.Is(err, sasl.ErrNoUser):
		return "no user"
	}
	return "outage"
}

func startSlapd(t *testing.T) (*rig.Slapd, *tls.Config) {
	t.Helper()
	space := newSpace(t)
	d, err := space.Slapd(directoryPeople())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	authority, err := os.ReadFile(space.TLS.Authority)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM(authority)
	return d, trust
}

func openDirectory(t *testing.T, o ldap.Options) *ldap.Source {
	t.Helper()
	s, err := ldap.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// byMail searches entries by their address.
func byMail(trust *tls.Config, urls ...string) ldap.Options {
	return ldap.Options{
		URLs: urls, TLS: trust, Base: rig.DirectoryBase, Filter: "(|(mail=%u)(uid=%u))", AccountAttribute: "mail",
		BindDN: rig.DirectoryService, Password: func() (string, error) { return rig.Password, nil },
		Fields: map[string]string{"allow_nets": "employeeType"}, Decoy: "uid=decoy," + rig.DirectoryBase,
	}
}

func TestSlapd(t *testing.T) {
	t.Parallel()
	d, trust := startSlapd(t)
	for _, url := range []string{
		fmt.Sprintf("ldap://%s:%d", rig.Host, d.LDAP),
		fmt.Sprintf("ldaps://%s:%d", rig.Host, d.LDAPS),
		"ldapi://" + d.Unix,
	} {
		t.Run(url, func(t *testing.T) {
			search := openDirectory(t, byMail(trust, url))
			byDN := openDirectory(t, ldap.Options{URLs: []string{url}, TLS: trust, DN: "uid=%u,ou=people," + rig.DirectoryBase})
			for _, test := range []struct {
				source               *ldap.Source
				user, password, want string
				account              string
			}{
				{search, "alice@example.org", rig.Password, "fine", "alice@example.org"},
				{search, "ALICE", rig.Password, "fine", "alice@example.org"},
				{search, "alice", "wrong", "refused", ""},
				{search, "mallory", rig.Password, "refused", ""},
				{search, "alice", "", "refused", ""},
				{search, "bob", rig.Password, "refused", ""},
				{search, "twin@example.org", rig.Password, "refused", ""},
				{search, "*", rig.Password, "refused", ""},
				{search, "alice)(uid=*", rig.Password, "refused", ""},
				{search, "o*(x),jr", rig.Password, "fine", "odd@example.org"},
				{byDN, "o*(x),jr", rig.Password, "fine", "o*(x),jr"},
				{search, "decoy", "nobody-knows", "outage", ""}, // it has no address
				{byDN, "alice", rig.Password, "fine", "alice"},
				{byDN, "alice", "wrong", "refused", ""},
				{byDN, "mallory", rig.Password, "refused", ""},
				{byDN, "alice,ou=people", rig.Password, "refused", ""},
				{byDN, `alice\`, rig.Password, "refused", ""},
				{byDN, "älice", rig.Password, "refused", ""},
			} {
				account, err := test.source.Authenticate(t.Context(), sasl.Login{User: test.user, Password: test.password})
				if kindOfLogin(err) != test.want || account != test.account {
					t.Errorf("%q: %q, %v", test.user, account, err)
				}
			}
			testDirectoryLookup(t, search)
		})
	}
}

func testDirectoryLookup(t *testing.T, s *ldap.Source) {
	t.Helper()
	for name, want := range map[string]string{"alice": "fine", "bob": "fine", "mallory": "no user", "twin@example.org": "outage"} {
		account, err := s.Lookup(t.Context(), name)
		if kindOfLogin(err) != want || want == "fine" && account != name+"@example.org" {
			t.Errorf("Lookup of %q: %q, %v", name, account, err)
		}
	}
	fields, err := s.Fields(t.Context(), "alice@example.org")
	if err != nil || !maps.Equal(fields, map[string]string{"allow_nets": "127.0.0.0/8,local"}) {
		t.Errorf("Fields: %v, %v", fields, err)
	}
	if fields, err = s.Fields(t.Context(), "bob@example.org"); err != nil || len(fields) != 0 {
		t.Errorf("Fields of bob: %v, %v", fields, err)
	}
	if _, err = s.Fields(t.Context(), "mallory@example.org"); !errors.Is(err, sasl.ErrNoUser) {
		t.Errorf("Fields of nobody: %v", err)
	}
}

// What the directory would take from nobody, or we from no directory, is an
// outage.
func TestSlapdNotTrusted(t *testing.T) {
	t.Parallel()
	d, trust := startSlapd(t)
	url := fmt.Sprintf("ldap://%s:%d", rig.Host, d.LDAP)
	noTrust, plain, password, anonymous := byMail(nil, url), byMail(trust, url), byMail(trust, url), byMail(trust, url)
	plain.Plaintext = true
	password.Password = func() (string, error) { return "wrong", nil }
	anonymous.BindDN = ""
	for about, o := range map[string]ldap.Options{"no trust": noTrust, "no TLS": plain, "wrong service password": password, "anonymous": anonymous} {
		s := openDirectory(t, o)
		_, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: rig.Password})
		if kindOfLogin(err) != "outage" {
			t.Errorf("%s: %v", about, err)
		}
		t.Logf("%s: %v", about, err)
	}
}

// awaitLogin waits until a server that is back has been noticed.
func awaitLogin(t *testing.T, works func() bool) {
	t.Helper()
	late := time.After(15 * time.Second)
	for !works() {
		select {
		case <-late:
			t.Fatal("the server is back, and nobody has noticed")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestSlapdDiesAndComesBack(t *testing.T) {
	t.Parallel()
	d, trust := startSlapd(t)
	s := openDirectory(t, byMail(trust, fmt.Sprintf("ldaps://%s:%d", rig.Host, d.LDAPS)))
	login := func(password string) string {
		_, err := s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: password})
		return kindOfLogin(err)
	}
	if got := login(rig.Password); got != "fine" {
		t.Fatal(got)
	}
	if err := d.Kill(); err != nil {
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
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLogin(t, func() bool { return login(rig.Password) == "fine" })
	if got := login("wrong"); got != "refused" {
		t.Error(got)
	}
}
