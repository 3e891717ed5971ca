package interop

// signInFailure is something that keeps people out.
type signInFailure struct {
	id   string // of the test
	what string
	told string // what the client is told, after -ERR
	log  string // a pattern for a line of the log, … being anything; empty: there is none
	help string
}

func signInFailures() []signInFailure {
	const failed, notOpened = "WARN pop3-login: auth failed user=<…> method=…", "INFO pop3-login: not opened user=<…> … reason=…"
	return []signInFailure{
		{
			"password", "wrong password", "[AUTH] Wrong name or password", failed,
			"Type it again. A program that comes again and again has an old one: give it the new one.",
		},
		{
			"unknown", "no such account", "[AUTH] Wrong name or password", failed,
			"Look how the name is written, with its domain: `postwain user list`.",
		},
		{
			"networks", "the account may not be used from there (`allow_nets`)", "[AUTH] Wrong name or password", failed,
			"Look at `allow_nets` of the account and at `rip` in the line.",
		},
		{
			"secret", "the mechanism needs a secret that the account does not have", "[AUTH] Wrong name or password", failed,
			"Give the account one: `postwain user passwd NAME --scheme SCRAM-SHA-256`. Or let the program take PLAIN.",
		},
		{
			"binding", "something between the program and the server ends TLS", "[AUTH] Wrong name or password", failed,
			"The method ends in -PLUS, and the password was right: look for a proxy, a virus scanner, or an attacker with a certificate.",
		},
		{
			"ticket", "the Kerberos principal has no account", "[AUTH] Wrong name or password", failed,
			"Make the account, or map the principal by `principals` in `[kerberos]`. `klist` shows whose ticket it is.",
		},
		{
			"certificate", "the client's certificate is for no account", "[AUTH] Wrong name or password", failed,
			"It must have the account as its mail address (`subjectAltName`); `common_name` takes the common name.",
		},
		{
			"token", "the token has expired, or is meant for others", "[AUTH] Wrong name or password", failed,
			"Let the program get a new one. A line `accounts` above says what is wrong with the token.",
		},
		{
			"clear", "no TLS", "Passwords are taken only inside TLS", "",
			"Switch TLS or STARTTLS on in the program. `insecure_auth` lets passwords go in clear text.",
		},
		{
			"mechanism", "the mechanism is not offered", "This mechanism is not offered", "",
			"Choose another in the program, or name it in `[sasl] mechanisms`. Those of SCRAM, CRAM-MD5 and APOP need passwords stored for them.",
		},
		{
			"malformed", "the program does not speak the mechanism right", "The response is malformed", notOpened,
			"Choose another mechanism in the program.",
		},
		{
			"use", "another program has the maildrop open", "[IN-USE] Another session has the maildrop open", notOpened,
			"Wait until it is done. `mail.lock = \"snapshot\"` lets several in.",
		},
		{
			"delay", "the account has a `login_delay`", "[LOGIN-DELAY] Too soon after the last login", notOpened,
			"Let the program look for mail less often.",
		},
		{
			"maildrop", "the account has no maildrop", "[SYS/PERM] This account has no maildrop", notOpened,
			"The name of the account and `mail.path` do not go together; the reason says how.",
		},
		{
			"outage", "the directory, the database or the like cannot be asked", "[SYS/TEMP] Trouble on the server; try again later", notOpened,
			"Nobody needs to change a password: the reason says which source it is, and what it said.",
		},
	}
}
