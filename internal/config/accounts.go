package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Accounts says who may sign in. The sources that are configured are asked in
// the order in which they stand here, until one knows the name and password.
type Accounts struct {
	// AppPasswords is a file with passwords for single devices, as postwain
	// user app-password makes them; they count beside the account's own.
	AppPasswords string `toml:"app_passwords"`
	// PasswdFile is a file with one account on each line, as Dovecot writes
	// it: name:{SCHEME}hash, and after six more colons extra fields such as
	// login_delay=10m or allow_nets=192.0.2.0/24,local. It is read again when
	// it changes. Make and change it with postwain user.
	PasswdFile string  `toml:"passwd_file"`
	LDAP       LDAP    `toml:"ldap"`
	SQL        SQL     `toml:"sql"`
	PAM        PAM     `toml:"pam"`
	Command    Program `toml:"command"`
	OAuth      Tokens  `toml:"oauth"`
	Masters    Masters `toml:"masters"`
}

// Masters are users who may sign in to the accounts of others, as alice*admin
// with the password of admin.
type Masters struct {
	// PasswdFile is as that of [accounts], for the masters, who have no mail.
	// Unset: there are none.
	PasswdFile string `toml:"passwd_file"`
	// Separator stands between the account and the master.
	Separator string `toml:"separator"`
	// From names the networks, or single addresses, from which masters may
	// sign in. Unset: all.
	From []Network `toml:"from"`
}

// LDAP is a directory: a name is searched there, and the entry that is found
// proves the password by a bind.
type LDAP struct {
	// URLs are its servers, tried in order: "ldaps://host", "ldap://host",
	// where TLS is begun by STARTTLS, or "ldapi:///path". Unset: there is none.
	URLs []string `toml:"urls"`
	// Plaintext lets passwords go to ldap:// without TLS.
	Plaintext bool `toml:"plaintext"`
	// CA is a file with the certificates, in PEM, of those who may vouch for
	// the servers. Unset: the system's.
	CA string `toml:"ca"`
	// BindDN is who searches. Unset: anybody may.
	BindDN string `toml:"bind_dn"`
	// BindPasswordFile is a file whose first line is the password of bind_dn.
	BindPasswordFile string `toml:"bind_password_file"`
	// Base is the DN below which is searched.
	Base string `toml:"base"`
	// Filter finds the entry of an account: %u stands for the name, %n for its
	// local part, %d for its domain.
	Filter string `toml:"filter"`
	// DN is the DN of an account, with %u, %n and %d as in filter, where none
	// need be searched.
	DN string `toml:"dn"`
	// AccountAttribute has the canonical name of an account. Unset: it is the
	// name that was given.
	AccountAttribute string `toml:"account_attribute"`
	// Fields are attributes that have extra fields of an account, as
	// "allow_nets=mailAllowNets".
	Fields []string `toml:"fields"`
	// DecoyDN is an entry with a password that nobody knows. It is asked in vain
	// where a name has no entry, so that this takes as long as a wrong password.
	DecoyDN string `toml:"decoy_dn"`
	// Timeout is how long a question may take.
	Timeout time.Duration `toml:"timeout"`
}

// SQL is a PostgreSQL database that has names and hashes.
type SQL struct {
	// DSNFile is a file whose first line says how to connect, such as
	// "host=/run/postgresql dbname=mail user=postwain". Unset: there is none.
	DSNFile string `toml:"dsn_file"`
	// UserQuery finds an account, with $1 for its name. It gives at most one
	// row, with the column password, which has {SCHEME}hash as in the
	// passwd_file; the column account, if there is one, is its canonical name,
	// and all others are extra fields. Where account can be another name than
	// $1, fields_query must be there too.
	UserQuery string `toml:"user_query"`
	// LookupQuery finds an account for those who deliver mail, who may know
	// more names. Unset: user_query.
	LookupQuery string `toml:"lookup_query"`
	// FieldsQuery finds the extra fields of an account by its canonical name.
	// Unset: user_query.
	FieldsQuery string `toml:"fields_query"`
	// Timeout is how long a question may take.
	Timeout time.Duration `toml:"timeout"`
}

// PAM asks the system's Pluggable Authentication Modules, by the program
// postwain-pam.
type PAM struct {
	// Service is the name of the file in /etc/pam.d. Unset: PAM is not asked.
	Service string `toml:"service"`
	// Helper is the program.
	Helper string `toml:"helper"`
	// Timeout is how long it may take.
	Timeout time.Duration `toml:"timeout"`
}

// Program is a program that judges passwords, in the manner of checkpassword.
type Program struct {
	// Run is the program and its arguments, as ["/usr/local/bin/check"].
	// Unset: there is none.
	Run []string `toml:"run"`
	// Timeout is how long it may take.
	Timeout time.Duration `toml:"timeout"`
}

// Tokens says who may vouch for the tokens of OAUTHBEARER and XOAUTH2.
type Tokens struct {
	// Issuer is the provider's URL, whose description tells where its keys
	// are; tokens are JWTs that it has signed.
	Issuer string `toml:"issuer"`
	// JWKS is where the keys are, if the provider has no description.
	JWKS string `toml:"jwks"`
	// Introspection is where the server asks about each token (RFC 7662),
	// instead of looking at a signature.
	Introspection string `toml:"introspection"`
	// ClientID is the name of this server there.
	ClientID string `toml:"client_id"`
	// ClientSecretFile is a file whose first line is its secret.
	ClientSecretFile string `toml:"client_secret_file"`
	// Audience is what a token must be meant for: one of these.
	Audience []string `toml:"audience"`
	// Scopes are those that a token must have, all of them.
	Scopes []string `toml:"scopes"`
	// Claim is the part of a token that names the account. Unset: "email", and
	// with introspection "username".
	Claim string `toml:"claim"`
	// UnverifiedEmail takes the claim email also where the provider does not say
	// that it has verified it.
	UnverifiedEmail bool `toml:"unverified_email"`
	// CA is as in [accounts.ldap].
	CA string `toml:"ca"`
}

// Configured says whether the section is there.
func (l *LDAP) Configured() bool { return len(l.URLs) > 0 }

// Configured says whether the section is there.
func (s *SQL) Configured() bool { return s.DSNFile != "" }

// Configured says whether the section is there.
func (p *PAM) Configured() bool { return p.Service != "" }

// Configured says whether the section is there.
func (p *Program) Configured() bool { return len(p.Run) > 0 }

// FieldNames gives the attribute of each field.
func (l *LDAP) FieldNames() map[string]string {
	m := make(map[string]string, len(l.Fields))
	for _, f := range l.Fields {
		field, attribute, _ := strings.Cut(f, "=")
		m[field] = attribute
	}
	return m
}

// Configured says whether tokens can be verified.
func (t *Tokens) Configured() bool {
	return t.Issuer != "" || t.JWKS != "" || t.Introspection != ""
}

// checkAccounts finds what is missing of the account sources.
func (d *decoder) checkAccounts(a *Accounts) {
	if a.PasswdFile == "" && !a.LDAP.Configured() && !a.SQL.Configured() && !a.PAM.Configured() && !a.Command.Configured() {
		d.fail("accounts.passwd_file", "accounts.passwd_file is missing; it names the file that postwain user makes")
	}
	if l := &a.LDAP; l.Configured() {
		for i, u := range l.URLs {
			if !slices.ContainsFunc([]string{"ldap://", "ldaps://", "ldapi://"}, func(s string) bool { return strings.HasPrefix(u, s) }) {
				d.fail(fmt.Sprintf("accounts.ldap.urls.%d", i), "accounts.ldap.urls: %q is no URL of a directory; write \"ldaps://host\"", u)
			}
		}
		for i, f := range l.Fields {
			if field, attribute, ok := strings.Cut(f, "="); !ok || field == "" || attribute == "" {
				d.fail(fmt.Sprintf("accounts.ldap.fields.%d", i), "accounts.ldap.fields: write \"allow_nets=mailAllowNets\" instead of %q", f)
			}
		}
		if (l.Base == "") == (l.DN == "") {
			d.fail("accounts.ldap", "accounts.ldap needs either base, to search below it, or dn")
		}
	}
	if s := &a.SQL; s.Configured() {
		for key, query := range map[string]string{"user_query": s.UserQuery, "lookup_query": s.LookupQuery, "fields_query": s.FieldsQuery} {
			if (query != "" || key == "user_query") && !strings.Contains(query, "$1") {
				d.fail("accounts.sql."+key, "accounts.sql.%s must have $1, which stands for the name", key)
			}
		}
	}
	if t := &a.OAuth; t.Configured() {
		d.checkTokens(t)
	}
	if s := a.Masters.Separator; len(s) != 1 {
		d.fail("accounts.masters.separator", "accounts.masters.separator = %q must be one character", s)
	}
}

func (d *decoder) checkTokens(t *Tokens) {
	if t.Introspection != "" && t.Issuer+t.JWKS != "" {
		d.fail("accounts.oauth.introspection", "accounts.oauth.introspection stands for itself; leave out issuer and jwks")
	}
	if t.JWKS != "" && t.Issuer == "" {
		d.fail("accounts.oauth.issuer", "accounts.oauth.issuer is missing; tokens must name it")
	}
	if t.Introspection == "" && len(t.Audience) == 0 {
		d.fail("accounts.oauth.audience", "accounts.oauth.audience is missing; without it tokens that are meant for others would be taken")
	}
	if t.Introspection != "" && t.ClientID == "" {
		d.fail("accounts.oauth.client_id", "accounts.oauth.client_id is missing; the provider answers those whom it knows")
	}
}
