package interop

import "slices"

// signInWay is one way to sign in.
type signInWay struct {
	name string // as in [sasl] mechanisms, or USER or KPOP
	text string // for operators: what it needs, and when it is good
}

// passwords are the ways that send the password to the server. Every account
// source that proves passwords serves them.
func passwords(more ...string) []string { return append([]string{"USER", "PLAIN", "LOGIN"}, more...) }

// bound gives the names of SCRAM mechanisms, each with its -PLUS form.
func bound(names ...string) (all []string) {
	for _, n := range names {
		all = append(all, n, n+"-PLUS")
	}
	return all
}

// allPasswords are all ways that need a password.
func allPasswords() []string {
	return passwords(append(bound("SCRAM-SHA-256", "SCRAM-SHA-1"), "CRAM-MD5", "APOP")...)
}

// signInSource is something that proves who somebody is.
type signInSource struct {
	id     string // in the names of tests and accounts
	name   string
	serves []string
}

func signInSources() []signInSource {
	every := allPasswords()
	return []signInSource{
		{"argon2id", "`passwd_file`, {ARGON2ID}", passwords()},
		{"scram-sha-256", "`passwd_file`, {SCRAM-SHA-256}", passwords(bound("SCRAM-SHA-256")...)},
		{"scram-sha-1", "`passwd_file`, {SCRAM-SHA-1}", passwords(bound("SCRAM-SHA-1")...)},
		{"cram-md5", "`passwd_file`, {CRAM-MD5}", passwords("CRAM-MD5")},
		{"plain", "`passwd_file`, {PLAIN}", every},
		{"master", "`masters`", passwords()},
		{"app", "`app_passwords`", passwords()},
		{"ldap", "`ldap`", passwords()},
		{"sql-plain", "`sql`, {PLAIN}", every},
		{"sql-scram-sha-256", "`sql`, {SCRAM-SHA-256}", passwords(bound("SCRAM-SHA-256")...)},
		{"pam", "`pam`", passwords()},
		{"command", "`command`", passwords()},
		{"jwt", "`oauth`, `issuer`", []string{"OAUTHBEARER", "XOAUTH2"}},
		{"introspection", "`oauth`, `introspection`", []string{"OAUTHBEARER", "XOAUTH2"}},
		{"certificate", "`client_ca`", []string{"EXTERNAL"}},
		{"ticket", "`kerberos`", []string{"GSSAPI", "KPOP"}},
	}
}

// signInClient is a program that fetches mail.
type signInClient struct {
	id   string // in the names of tests and accounts
	name string
	has  []string
	// lacks says which of the ways it does not have.
	lacks string
}

func signInClients() []signInClient {
	return []signInClient{
		{
			"postwain", "pop3client",
			passwords(append(bound("SCRAM-SHA-256", "SCRAM-SHA-1"), "CRAM-MD5", "APOP", "OAUTHBEARER", "XOAUTH2", "GSSAPI", "KPOP")...),
			"has no EXTERNAL",
		},
		{
			"mpop", "mpop",
			passwords("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "APOP", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "GSSAPI"),
			"1.4.18 has no channel binding, so no -PLUS, and no KPOP",
		},
		{
			"fetchmail", "fetchmail",
			[]string{"USER", "CRAM-MD5", "APOP", "GSSAPI", "KPOP"},
			"has no PLAIN, LOGIN and SCRAM, and EXTERNAL for IMAP only; 6.4 has no OAuth",
		},
		{
			"curl", "curl",
			[]string{"PLAIN", "LOGIN", "CRAM-MD5", "APOP", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "GSSAPI"},
			"takes USER only where there is no SASL, and here it goes with PLAIN; Debian builds it without GNU SASL, from which it has SCRAM; " +
				"no KPOP. It takes OAUTHBEARER where there is that too, so its XOAUTH2 is for a server that offers nothing else",
		},
		{
			"gsasl", "GNU SASL",
			append(bound("SCRAM-SHA-256", "SCRAM-SHA-1"), "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "GSSAPI"),
			"a library for SASL, so no USER, APOP and KPOP; 2.2 has no mechanism for OAuth",
		},
		{
			"mutt", "mutt",
			passwords("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "APOP", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "GSSAPI"),
			"2.2 has no channel binding, so no -PLUS, and no KPOP",
		},
		{"poplib", "Python poplib", []string{"USER", "APOP"}, "has no SASL"},
		{"getmail", "getmail6", []string{"USER", "APOP"}, "has OAuth and Kerberos for IMAP only"},
	}
}

// signInCell is what one test proves: that a client signs in by one way to an
// account of one source, and that who cannot prove to be its owner does not.
type signInCell struct{ source, way, client string }

// String is the name of the test below TestSignIn.
func (c signInCell) String() string { return c.source + "/" + c.way + "/" + c.client }

// account is the one of a test, without its domain.
func (c signInCell) account() string {
	b := []byte(c.source + "." + c.way + "." + c.client)
	for i, x := range b {
		if 'A' <= x && x <= 'Z' {
			b[i] = x - 'A' + 'a'
		}
	}
	return string(b)
}

// signInCells are all that clients are to prove of a source.
func signInCells(s signInSource) (all []signInCell) {
	for _, w := range signInWays() {
		if !slices.Contains(s.serves, w.name) {
			continue
		}
		for _, c := range signInClients() {
			if slices.Contains(c.has, w.name) {
				all = append(all, signInCell{s.id, w.name, c.id})
			}
		}
	}
	return all
}
