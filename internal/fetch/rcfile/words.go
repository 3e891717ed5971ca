package rcfile

// noise are words of a fetchmailrc that make it read like English.
var noise = map[string]bool{"and": true, "with": true, "has": true, "wants": true, "options": true}

// synonyms are the short forms, and the old ones, of keywords.
var synonyms = map[string]string{
	"server": "poll", "local": "localdomains", "proto": "protocol", "port": "service",
	"preauth": "auth", "preauthenticate": "auth", "authenticate": "auth",
	"username": "user", "pass": "password", "folders": "folder", "smtp": "smtphost",
	"pre": "preconnect", "post": "postconnect", "pass8": "pass8bits", "mimedec": "mimedecode",
}

// protocols are written in lower or in upper case.
var protocols = map[string]bool{
	"auto": true, "AUTO": true, "pop2": true, "POP2": true, "pop3": true, "POP3": true, "sdps": true, "SDPS": true,
	"imap": true, "IMAP": true, "apop": true, "APOP": true, "rpop": true, "RPOP": true, "etrn": true, "ETRN": true,
	"odmr": true, "ODMR": true, "kpop": true, "KPOP": true,
}

// mechanisms are the values of auth.
var mechanisms = map[string]string{
	"any": "any", "gssapi": "gssapi", "kerberos": "kerberos", "kerberos4": "kerberos", "kerberos_v4": "kerberos",
	"kerberos5": "kerberos", "kerberos_v5": "kerberos", "ssh": "implicit", "implicit": "implicit", "external": "external",
	"otp": "otp", "opie": "otp", "cram": "cram-md5", "cram-md5": "cram-md5", "msn": "msn", "ntlm": "ntlm",
	"oauthbearer": "oauthbearer", "xoauth2": "xoauth2",
}

// negatable are the words that "no" may be glued to.
var negatable = map[string]bool{
	"bouncemail": true, "uidl": true, "checkalias": true, "dns": true, "envelope": true, "keep": true, "flush": true,
	"limitflush": true, "fetchall": true, "rewrite": true, "forcecr": true, "stripcr": true, "pass8": true,
	"pass8bits": true, "dropstatus": true, "dropdelivered": true, "mimedec": true, "mimedecode": true,
	"spambounce": true, "idle": true, "forceidle": true,
}

// scope is where in a fetchmailrc an option stands.
type scope byte

const (
	global scope = iota
	server
	user
)

// value is what follows an option.
type value byte

const (
	flag    value = iota // nothing; "no" may stand before it
	set                  // nothing, and "no" has no meaning
	one                  // a string
	count                // a number
	several              // strings
	counts               // numbers
	special              // something that only this option has
)

// rule is an option. yes is the note on it, no the one on its negation; where
// they are empty it is taken over, or does what always happens.
type rule struct {
	scope   scope
	value   value
	yes, no string
}

const (
	multidrop = "mail for several people in one mailbox is not sorted: all of it goes to one destination"
	content   = "messages are never changed"
	unlisted  = "there is no counterpart"
)

// rules are all options of a fetchmailrc.
var rules = map[string]rule{
	"logfile":    {global, one, "the log goes to standard error", ""},
	"idfile":     {global, one, "give that file to postwain fetch import too, so that nothing is fetched twice", ""},
	"pidfile":    {global, one, unlisted + ": let a service manager keep the process", ""},
	"daemon":     {global, count, "", ""},
	"postmaster": {global, one, unlisted + ": mail that cannot be delivered stays on the server", ""},
	"bouncemail": {global, flag, "no mail is ever sent back: mail that cannot be delivered stays on the server", ""},
	"spambounce": {global, flag, "no mail is ever sent back: mail that is refused stays on the server", ""},
	"softbounce": {global, flag, "", "mail that cannot be delivered stays on the server and is reported"},
	"syslog":     {global, flag, "the log goes to standard error; let a service manager pass it on", ""},
	"invisible":  {global, flag, "", ""},
	"showdots":   {global, flag, "progress is shown where there is a terminal", ""},

	"via":           {server, one, "", ""},
	"aka":           {server, several, multidrop, ""},
	"localdomains":  {server, several, multidrop, ""},
	"protocol":      {server, special, "", ""},
	"service":       {server, special, "", ""},
	"interval":      {server, count, "", ""},
	"auth":          {server, special, "", ""},
	"timeout":       {server, count, "", ""},
	"envelope":      {server, special, multidrop, ""},
	"qvirtual":      {server, one, multidrop, ""},
	"interface":     {server, one, unlisted, ""},
	"monitor":       {server, one, unlisted, ""},
	"plugin":        {server, one, "connections through a command are not possible: let it listen on a port, and use that as source", ""},
	"plugout":       {server, one, "connections through a command are not possible: use a destination exec:COMMAND", ""},
	"dns":           {server, flag, multidrop, ""},
	"checkalias":    {server, flag, multidrop, ""},
	"uidl":          {server, flag, "", "unique ids are always used"},
	"tracepolls":    {server, flag, unlisted + ": the Received line names the server", ""},
	"principal":     {server, one, "Kerberos is not possible", ""},
	"esmtpname":     {server, one, "signing in at the destination: write to_user", ""},
	"esmtppassword": {server, one, "signing in at the destination: write its password into a file, and that as to_password_file", ""},
	"bad-header":    {server, special, "", ""},

	"password":       {user, one, "", ""},
	"passwordfile":   {user, one, "", ""},
	"passwordfd":     {user, count, "a password from an open file is not possible: write password_file or password_command", ""},
	"folder":         {user, several, "POP3 has no folders but the inbox", ""},
	"smtphost":       {user, several, "", ""},
	"fetchdomains":   {user, several, "ETRN and ODMR are not possible", ""},
	"smtpaddress":    {user, one, "", ""},
	"smtpname":       {user, one, "", ""},
	"antispam":       {user, counts, "mail that the destination refuses stays on the server and is reported", ""},
	"mda":            {user, one, "", ""},
	"bsmtp":          {user, one, "", ""},
	"lmtp":           {user, set, "", ""},
	"preconnect":     {user, one, "commands before a round are not possible: run them before postwain fetch", ""},
	"postconnect":    {user, one, "commands after a round are not possible: run them after postwain fetch", ""},
	"keep":           {user, flag, "", ""},
	"flush":          {user, flag, "mail that another program has read is fetched too, not deleted", ""},
	"limitflush":     {user, flag, "mail that is too large stays on the server and is reported", ""},
	"fetchall":       {user, flag, "", ""},
	"rewrite":        {user, flag, content, ""},
	"forcecr":        {user, flag, content, ""},
	"stripcr":        {user, flag, content, ""},
	"pass8bits":      {user, flag, content, ""},
	"dropstatus":     {user, flag, content, ""},
	"dropdelivered":  {user, flag, content, ""},
	"mimedecode":     {user, flag, content, ""},
	"idle":           {user, flag, "POP3 has no IDLE: poll more often", ""},
	"forceidle":      {user, flag, "POP3 has no IDLE: poll more often", ""},
	"ssl":            {user, flag, "", ""},
	"sslkey":         {user, one, "certificates of clients are not possible", ""},
	"sslcert":        {user, one, "certificates of clients are not possible", ""},
	"sslproto":       {user, one, "", ""},
	"sslcertck":      {user, flag, "", "certificates are always checked: for one that no authority has signed write ca"},
	"sslcertfile":    {user, one, "", ""},
	"sslcertpath":    {user, one, "a directory of certificates is not possible: put them into one file, and write that as ca", ""},
	"sslcommonname":  {user, one, "the certificate must be that of the host in source", ""},
	"sslfingerprint": {user, one, "fingerprints are not compared: write the certificate itself as ca", ""},
	"limit":          {user, count, "", ""},
	"warnings":       {user, count, "mail that is too large is reported in each run", ""},
	"fetchlimit":     {user, count, "", ""},
	"fetchsizelimit": {user, count, "sizes are always listed in one step", ""},
	"fastuidl":       {user, count, "unique ids are always listed in one step", ""},
	"batchlimit":     {user, count, unlisted + ": connections to the destination are reused as long as they last", ""},
	"expunge":        {user, count, "", ""},
	"properties":     {user, one, unlisted, ""},
}

// keywords are the options and the words around them.
var keywords = func() map[string]bool {
	all := map[string]bool{
		"set": true, "defaults": true, "poll": true, "skip": true, "user": true, "is": true, "to": true,
		"here": true, "there": true, "no": true, "accept": true, "reject": true,
	}
	for name := range rules {
		all[name] = true
	}
	return all
}()
