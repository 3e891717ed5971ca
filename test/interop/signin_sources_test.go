//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/apppassword"
	"github.com/postwain/postwain/test/rig"
)

// withAppPasswords makes accounts whose own passwords nobody knows, each with
// one for a device.
func withAppPasswords(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	addLines(t, s.space.Passwd(), accounts, "!")
	dir := serversDirectory(t, s)
	path := filepath.Join(dir, "app-passwords")
	for _, a := range accounts {
		secret, err := apppassword.Add(path, rig.Account(a), "telephone")
		if err != nil {
			t.Fatal(err)
		}
		s.app[a] = secret
	}
	if err := rig.Own(dir); err != nil {
		t.Fatal(err)
	}
	s.inSection["[accounts]"] = fmt.Sprintf("app_passwords = %q\n", path)
	return ""
}

func appPassword(_ *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), password: s.app[account]}
}

// serversDirectory is one that belongs to the server's user.
func serversDirectory(t *testing.T, s *stand) string {
	t.Helper()
	dir, err := os.MkdirTemp(s.space.Dir, "server-")
	if err == nil {
		err = rig.Own(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// serversFile is one that the server's user can read, in a directory of its own.
func serversFile(t *testing.T, s *stand, name, text string, mode os.FileMode) string {
	t.Helper()
	dir := serversDirectory(t, s)
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := rig.Own(dir); err != nil {
		t.Fatal(err)
	}
	return path
}

func withDirectory(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("dn: ou=people," + rig.DirectoryBase + "\nobjectClass: organizationalUnit\nou: people\n\n")
	for _, a := range accounts {
		fmt.Fprintf(&b, "dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: %s\nmail: %s\nuserPassword: %s\n\n",
			a, rig.DirectoryBase, a, rig.Account(a), rig.Password)
	}
	d, err := s.space.Slapd(b.String())
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, d.Daemon)
	return fmt.Sprintf("[accounts.ldap]\nurls = [\"ldaps://%s:%d\"]\nca = %q\nbind_dn = %q\nbind_password_file = %q\nbase = %q\nfilter = \"(mail=%%u)\"\naccount_attribute = \"mail\"\n",
		rig.Host, d.LDAPS, s.space.TLS.Authority, rig.DirectoryService, serversFile(t, s, "password", rig.Password+"\n", 0o600), rig.DirectoryBase)
}

// withDatabase is for both sources that one database has: the first that comes
// starts it, and each brings its accounts.
func withDatabase(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	scheme := "plain"
	if strings.HasPrefix(accounts[0], "sql-scram") {
		scheme = "scram-sha-256"
	}
	field := storedPassword(t, scheme)
	var b strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&b, "INSERT INTO users VALUES ('%s', '%s');\n", rig.Account(a), field)
	}
	if s.database != nil {
		if err := s.database.Run(b.String()); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	var err error
	s.database, err = s.space.Postgres("CREATE ROLE postwain LOGIN PASSWORD '" + rig.Password + "';\n" +
		"CREATE TABLE users (name text PRIMARY KEY, password text);\nGRANT SELECT ON users TO postwain;\n" + b.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.database.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.database.Log())
		}
	})
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d dbname=mail user=postwain sslmode=disable password=%s\n", s.database.Port, rig.Password)
	return fmt.Sprintf("[accounts.sql]\ndsn_file = %q\nuser_query = \"SELECT password FROM users WHERE name = $1\"\n", serversFile(t, s, "dsn", dsn, 0o600))
}

// withPAM has a service with a file of passwords.
func withPAM(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	field, err := run(t.Context(), nil, "doveadm", "-O", "pw", "-s", "SHA512-CRYPT", "-p", rig.Password)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimPrefix(strings.TrimSpace(string(field)), "{SHA512-CRYPT}")
	var b strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&b, "%s:%s\n", rig.Account(a), hash)
	}
	service := pamService(t, "auth required pam_pwdfile.so pwdfile="+serversFile(t, s, "passwords", b.String(), 0o600), "account required pam_permit.so")
	return fmt.Sprintf("[accounts.pam]\nservice = %q\nhelper = %q\n", service, pamHelper(t))
}

// withCommand has a program with the interface of checkpassword.
func withCommand(t *testing.T, s *stand, _ []string) string {
	t.Helper()
	path := serversFile(t, s, "check", fmt.Sprintf(`#!/bin/sh
given=$(tr '\000' '\n' <&3)
case $given in
command.*@%s'
%s
'*) exec "$@" ;;
esac
exit 1
`, rig.Domain, rig.Password), 0o700)
	return fmt.Sprintf("[accounts.command]\nrun = [%q]\n", path)
}

func withJWT(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	s.newProvider(t, accounts)
	s.oauth = fmt.Sprintf("[accounts.oauth]\nissuer = %q\naudience = [%q]\nscopes = [\"mail.pop\"]\nca = %q\n", s.provider.URL, rig.Host, s.space.TLS.Authority)
	return s.oauth
}

func withIntrospection(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	s.newProvider(t, accounts)
	s.oauth = fmt.Sprintf("[accounts.oauth]\nintrospection = \"%s/introspect\"\nclient_id = \"postwain\"\nclient_secret_file = %q\nca = %q\n",
		s.provider.URL, serversFile(t, s, "secret", rig.Password+"\n", 0o600), s.space.TLS.Authority)
	return s.oauth
}

func (s *stand) newProvider(t *testing.T, accounts []string) {
	t.Helper()
	addLines(t, s.space.Passwd(), accounts, "!")
	s.provider = newIdentity(t, s.space, trustOf(t, s.space))
}

func ownToken(t *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), token: s.provider.token(t, rig.Account(account), time.Hour)}
}

func strangersToken(t *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), token: s.provider.token(t, rig.Account(outsider), time.Hour)}
}
