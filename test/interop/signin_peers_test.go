//go:build interop

package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/test/rig"
)

// stand is one server with its account sources.
type stand struct {
	space  *rig.Space
	server *rig.Postwain
	gsasl  string // the program over GNU SASL
	kpop   int    // port
	kdc    *rig.KDC
	cells  []signInCell

	oauth   string        // the section of the configuration
	xoauth2 *rig.Postwain // one more server, which offers XOAUTH2 and nothing else

	clients   *clientAuthority
	provider  *identity
	database  *rig.Postgres
	app       map[string]string // app passwords by account
	inSection map[string]string // keys for sections that the rig writes
}

// notPassword is a password of nobody.
const notPassword = "battery-staple"

// signInSetup makes the accounts of a source.
type signInSetup struct {
	// prepare runs before the server starts. accounts have no domain; what it
	// returns is added to the configuration.
	prepare func(t *testing.T, s *stand, accounts []string) (config string)
	// right is what an account's owner can show, and wrong somebody else.
	right, wrong func(t *testing.T, s *stand, account string) credential
}

func ownPassword(_ *testing.T, _ *stand, account string) credential {
	return credential{user: rig.Account(account), password: rig.Password}
}

func wrongPassword(_ *testing.T, _ *stand, account string) credential {
	return credential{user: rig.Account(account), password: notPassword}
}

// standSetups are the servers that are started, by their sources. Sources that
// know passwords and are asked in turn have one each, so that every answer is
// theirs.
func standSetups() []map[string]signInSetup {
	passwd := map[string]signInSetup{
		"scram-sha-1": {withKeysOfDovecot, ownPassword, wrongPassword},
		"master":      {withMaster, byMaster(rig.Password), byMaster(notPassword)},
		"app":         {withAppPasswords, appPassword, wrongPassword},
		"ticket":      {withTickets, ownTicket, strangersTicket},
		"jwt":         {withJWT, ownToken, strangersToken},
		"certificate": {withCertificates, ownCertificate, strangersCertificate},
	}
	for _, scheme := range []string{"argon2id", "scram-sha-256", "cram-md5", "plain"} {
		passwd[scheme] = signInSetup{withScheme(scheme), ownPassword, wrongPassword}
	}
	return []map[string]signInSetup{
		passwd,
		{"ldap": {withDirectory, ownPassword, wrongPassword}, "introspection": {withIntrospection, ownToken, strangersToken}},
		{"sql-plain": {withDatabase, ownPassword, wrongPassword}, "sql-scram-sha-256": {withDatabase, ownPassword, wrongPassword}},
		{"pam": {withPAM, ownPassword, wrongPassword}},
		{"command": {withCommand, ownPassword, wrongPassword}},
	}
}

// withScheme has postwain user make the password of one account, and gives it
// to all.
func withScheme(scheme string) func(*testing.T, *stand, []string) string {
	return func(t *testing.T, s *stand, accounts []string) string {
		t.Helper()
		addLines(t, s.space.Passwd(), accounts, storedPassword(t, scheme))
		return ""
	}
}

// storedPassword is a field of the passwd_file.
func storedPassword(t *testing.T, scheme string) string {
	t.Helper()
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(rig.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := run(t.Context(), nil, program, "user", "add", "somebody", "--data", dir, "--password-file", password, "--scheme", scheme)
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(filepath.Join(dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	field, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "somebody:")
	if !ok {
		t.Fatalf("postwain user has written %q", line)
	}
	return strings.TrimRight(field, ":")
}

func withKeysOfDovecot(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	field, err := run(t.Context(), nil, "doveadm", "-O", "pw", "-s", "SCRAM-SHA-1", "-p", rig.Password)
	if err != nil {
		t.Fatal(err)
	}
	addLines(t, s.space.Passwd(), accounts, strings.TrimSpace(string(field)))
	return ""
}

func addLines(t *testing.T, path string, accounts []string, field string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		if _, e := fmt.Fprintf(f, "%s:%s::::::\n", rig.Account(a), field); e != nil {
			err = e
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// masterName is a user who has no mail.
const masterName = "postmaster"

// withMaster makes accounts with passwords that nobody knows.
func withMaster(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	addLines(t, s.space.Passwd(), accounts, "!")
	path := filepath.Join(s.space.Dir, "masters")
	line := masterName + ":" + storedPassword(t, "argon2id") + "\n"
	if err := os.WriteFile(path, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("[accounts.masters]\npasswd_file = %q\n", path)
}

func byMaster(password string) func(*testing.T, *stand, string) credential {
	return func(_ *testing.T, _ *stand, account string) credential {
		return credential{user: rig.Account(account) + "*" + masterName, password: password}
	}
}

// outsider has a good ticket, and no account.
const outsider = "outsider"

// withTickets makes principals for accounts without a password.
func withTickets(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	addLines(t, s.space.Passwd(), accounts, "!")
	var err error
	if s.kdc, err = s.space.KDC(); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s.kdc.Daemon)
	for _, a := range append(slices.Clone(accounts), outsider) {
		if err := s.kdc.AddUser(a, encryptions[0]); err != nil {
			t.Fatal(err)
		}
	}
	keytab, err := s.kdc.Service("pop/"+rig.Host, encryptions[0])
	if err != nil {
		t.Fatal(err)
	}
	// The server runs as another user.
	if err := errors.Join(os.Chmod(filepath.Dir(keytab), 0o755), os.Chown(keytab, rig.MailID, rig.MailID)); err != nil {
		t.Fatal(err)
	}
	s.kpop = freePort(t)
	return fmt.Sprintf("[kerberos]\nkeytab = %q\nrealm = %q\ndomain = %q\n[[listen]]\nproto = \"kpop\"\naddr = \"127.0.0.1:%d\"\n",
		keytab, rig.Realm, rig.Domain, s.kpop)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func ownTicket(t *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), cache: ticketsOf(t, s, account)}
}

func strangersTicket(t *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), cache: ticketsOf(t, s, outsider)}
}

func ticketsOf(t *testing.T, s *stand, user string) string {
	t.Helper()
	cache := filepath.Join(t.TempDir(), "ccache")
	if err := s.kdc.Init(user, cache); err != nil {
		t.Fatal(err)
	}
	return cache
}
