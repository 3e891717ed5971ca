package config

import (
	"fmt"
	"slices"
	"strings"
)

// SASL says by which mechanisms clients may sign in.
type SASL struct {
	// Mechanisms are those that are offered where the account sources can
	// serve them: "SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2",
	// "EXTERNAL" and "GSSAPI". Off unless they are named are the weak ones,
	// "SCRAM-SHA-1", "CRAM-MD5" and "APOP", and "SCRAM-SHA-256-PLUS" and
	// "SCRAM-SHA-1-PLUS", which bind a login to its TLS channel: mutt 2.2 takes
	// them where they are offered, cannot do them, and gives up. Those of SCRAM, CRAM-MD5 and APOP need passwords
	// that are stored so that the server can use them, which postwain user
	// --scheme makes; unless they are named here they are offered only if all
	// accounts have such. USER and PASS go with PLAIN. PLAIN, LOGIN and those
	// with tokens are offered only inside TLS, on the machine itself and where
	// insecure_auth is set. Unset: all that are not off.
	Mechanisms []Offered `toml:"mechanisms"`
	// CommonName lets EXTERNAL take the common name of a client's certificate
	// for the account where it has no mail address.
	CommonName bool `toml:"common_name"`
}

// Offered is the name of a SASL mechanism of the server, or "APOP".
type Offered string

// mechanismNames are those of Offered, the strongest first.
func mechanismNames() []string {
	return []string{
		"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN", "LOGIN",
		"OAUTHBEARER", "XOAUTH2", "EXTERNAL", "GSSAPI", "CRAM-MD5", "APOP",
	}
}

// UnmarshalText reads a name in capitals.
func (o *Offered) UnmarshalText(text []byte) error {
	if !slices.Contains(mechanismNames(), string(text)) {
		return fmt.Errorf("%q is no mechanism of this server; there are %s", text, strings.Join(mechanismNames(), ", "))
	}
	*o = Offered(text)
	return nil
}

// Kerberos lets clients sign in by tickets: by KPOP, where a [[listen]] has
// proto = "kpop", and by GSSAPI.
type Kerberos struct {
	// Keytab is the file with the keys of the service pop/HOST. It is read
	// again when it changes. Make it with: kadmin ktadd -k FILE pop/HOST
	Keytab string `toml:"keytab"`
	// Realm is that of the users, such as "EXAMPLE.ORG".
	Realm string `toml:"realm"`
	// Domain is what an account has behind the name of its principal: with
	// "example.org", bob@EXAMPLE.ORG is the account bob@example.org. Unset: the
	// account is bob.
	Domain string `toml:"domain"`
	// FoldCase takes the principal Bob for bob, as Active Directory spells names
	// as they are typed. To other KDCs these are two.
	FoldCase bool `toml:"fold_case"`
	// Principals are exceptions: "bob/admin@EXAMPLE.ORG=bob" gives a principal
	// an account, and with nothing behind = it has none.
	Principals []string `toml:"principals"`
}

// Accounts are the exceptions of Principals.
func (k *Kerberos) Accounts() map[string]string {
	m := make(map[string]string, len(k.Principals))
	for _, p := range k.Principals {
		principal, account, _ := strings.Cut(p, "=")
		m[principal] = account
	}
	return m
}

// checkSignIn finds what no single value of how users sign in tells.
func (d *decoder) checkSignIn(c *Config) {
	seen := map[Offered]bool{}
	for _, m := range c.SASL.Mechanisms {
		if seen[m] {
			d.fail("sasl.mechanisms", "sasl.mechanisms names %s twice", m)
		}
		seen[m] = true
	}
	if c.SASL.Mechanisms != nil && len(c.SASL.Mechanisms) == 0 {
		d.fail("sasl.mechanisms", "sasl.mechanisms is empty; nobody could sign in")
	}
	k := c.Kerberos
	if k.Keytab+k.Realm+k.Domain != "" && (k.Keytab == "" || k.Realm == "") {
		d.fail("kerberos", "kerberos needs both keytab and realm")
	}
	for i, p := range k.Principals {
		if principal, _, ok := strings.Cut(p, "="); !ok || !strings.Contains(principal, "@") {
			d.fail(fmt.Sprintf("kerberos.principals.%d", i), "kerberos.principals: write \"bob@EXAMPLE.ORG=bob\" instead of %q", p)
		}
	}
	if seen["GSSAPI"] && k.Keytab == "" {
		d.fail("sasl.mechanisms", "sasl.mechanisms names GSSAPI, which needs keytab and realm in [kerberos]")
	}
	if seen["EXTERNAL"] && c.TLS.ClientCA == "" {
		d.fail("sasl.mechanisms", "sasl.mechanisms names EXTERNAL, which needs client_ca in [tls]")
	}
	for i := range c.Listen {
		if c.Listen[i].Proto == KPOP && k.Keytab == "" {
			d.fail(fmt.Sprintf("listen.%d.proto", i), "listen.proto = \"kpop\" needs keytab and realm in [kerberos]")
		}
	}
	d.checkAccounts(&c.Accounts)
}
