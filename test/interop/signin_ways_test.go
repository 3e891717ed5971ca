package interop

func signInWays() []signInWay {
	return []signInWay{
		{"USER", "USER and PASS of RFC 1939: every program has it. The password goes to the server, so it is taken only inside " +
			"TLS, on the machine itself, and where `insecure_auth` is set. It goes with PLAIN. Any source that knows passwords will do. " +
			"On by default."},
		{"PLAIN", "As USER, in one step (RFC 4616). On by default."},
		{"LOGIN", "As PLAIN, in the form that Microsoft's programs have. On by default."},
		{"SCRAM-SHA-256", "The password does not leave the client, and each proves to the other that it knows it (RFC 7677). The source " +
			"needs {SCRAM-SHA-256} keys, from which the password can only be guessed, though faster than from {ARGON2ID}, or the {PLAIN} " +
			"password: `postwain user passwd NAME --scheme SCRAM-SHA-256`. On by default where all accounts have such, since a program " +
			"that prefers it would be locked out of one that has not; name it in `mechanisms` to have it sooner."},
		{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256 bound to the TLS connection by tls-exporter (RFC 9266): nobody can stand between, not even with " +
			"a certificate that the client trusts. It needs TLS 1.3, or 1.2 with the extended master secret, to this server itself and not " +
			"to a proxy in front of it. Off unless it is named: mutt 2.2 takes it wherever it is offered, has no channel to bind to, and gives up."},
		{"SCRAM-SHA-1", "For programs that have no SHA-256. The source needs {SCRAM-SHA-1} keys, as Dovecot's `doveadm pw -s SCRAM-SHA-1` " +
			"makes them, or {PLAIN}. Off unless it is named."},
		{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1 with channel binding. Off unless it is named."},
		{"CRAM-MD5", "For old programs that are not to send the password where there is no TLS (RFC 2195). The server must store the {PLAIN} " +
			"password or {CRAM-MD5}, by which who reads the file can sign in. MD5 is weak: with TLS, PLAIN is better. Off unless it is named."},
		{"APOP", "For programs of the nineties (RFC 1939 §7). The server must store the {PLAIN} password. Who can meddle with the connection " +
			"can compute the password, so it is no replacement for TLS. Off unless it is named."},
		{"OAUTHBEARER", "A token of an OAuth 2.0 provider in the place of a password (RFC 7628). It needs `[accounts.oauth]`: a provider that " +
			"signs its tokens (JWT), or that can be asked about them (introspection). The token names the account, and the name that the " +
			"program gives must be the same. On by default where `[accounts.oauth]` is there."},
		{"XOAUTH2", "The older form of OAUTHBEARER, by Google and Microsoft. On with it."},
		{"EXTERNAL", "The certificate that the client has shown in TLS names the account by its mail address (RFC 4422). It needs `client_ca` in " +
			"`[tls]`, and a source that has the account. Good for robots and for machines that have a certificate anyway. On by default where " +
			"`client_ca` is there."},
		{"GSSAPI", "A Kerberos ticket (RFC 4752), for sites with Active Directory, FreeIPA or MIT Kerberos: nobody types a password. It needs " +
			"`[kerberos]` with the keytab of `pop/HOST`, where HOST is the name that clients connect to, and good clocks. On by default " +
			"where `[kerberos]` is there."},
		{"KPOP", "Kerberized POP: the ticket comes in front of the POP3 session, on a port of its own, and USER must name the account of " +
			"its principal. It needs `[kerberos]` and a `[[listen]]` with `proto = \"kpop\"`, usually port 1109. There is no TLS: the mail can " +
			"be read on the way. For sites that have it already."},
	}
}
