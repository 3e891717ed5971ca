package rcfile

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postwain/postwain/pop3"
)

// fetchmail reads a fetchmailrc.
func (in *importer) fetchmail(s []byte) error {
	p := parser{in: in, lex: lexer{in: string(s), line: 1}, global: settings{}}
	if err := p.file(); err != nil {
		return err
	}
	defaults, defaultUser := settings{}, person{set: settings{}}
	hosts := p.hosts
	if len(hosts) > 0 && hosts[0].name == "defaults" {
		defaults, defaultUser = hosts[0].set, hosts[0].users[0]
		hosts = hosts[1:]
	}
	count := 0
	for _, h := range hosts {
		h.set = h.set.defaulted(defaults)
		for _, u := range h.users {
			if count++; count > maxEntries {
				return syntax(u.line, "more than %d users", maxEntries)
			}
			u.set = u.set.defaulted(defaultUser.set)
			u.local = append(u.local[:len(u.local):len(u.local)], defaultUser.local...)
			if u.remote == "" {
				u.remote = defaultUser.remote
			}
			if err := in.mailbox(p.global, h, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// mailbox makes an entry of a user at a host.
func (in *importer) mailbox(global settings, h host, u person) error {
	e := Entry{
		Line: u.line, Skip: h.skip, Received: !global.on("invisible"),
		Password: Clear(u.set.str("password")), PasswordFile: u.set.str("passwordfile"), CA: u.set.str("sslcertfile"),
		Keep: u.set.on("keep"), MaxSize: u.set.num("limit"),
		Batch: small(u.set.num("expunge")), Limit: small(u.set.num("fetchlimit")),
		Timeout: seconds(h.set.num("timeout")),
		Every:   seconds(min(global.num("daemon"), maxSeconds) * max(1, min(h.set.num("interval"), 1<<20))),
	}
	url, ok := in.server(&e, h, u)
	if !ok {
		return nil
	}
	if e.PasswordFile != "" && e.Password != "" {
		in.note(u.set["password"].line, "password: it has no effect beside passwordfile")
		e.Password = ""
	}
	in.signIn(&e, h, u)
	in.relative(u.set["sslcertfile"].line, "sslcertfile", e.CA)
	if e.Keep && u.set.on("fetchall") {
		in.note(u.set["fetchall"].line, "fetchall: mail that is kept on the server is fetched once, not in each run")
	}
	if e.Keep && u.set.on("flush") {
		in.note(u.set["flush"].line, "flush: with keep nothing is deleted on the server")
	}
	if h.set.has("interval") && e.Every == 0 {
		in.note(h.set["interval"].line, "interval: it needs \"set daemon\" to mean something; write every")
	}
	in.deliver(&e, u)
	return in.add(e, url)
}

// server finds where the mailbox is. It reports whether that can be reached by
// POP3.
func (in *importer) server(e *Entry, h host, u person) (pop3.URL, bool) {
	url := pop3.URL{TLS: u.set.on("ssl"), User: u.remote, Host: h.name}
	if via := h.set.str("via"); via != "" {
		url.Host = via
	}
	e.Server = url.Host
	switch proto := h.set.str("protocol"); proto {
	case "pop3":
	case "", "auto":
		in.note(h.line, "fetchmail tries IMAP before POP3 where no protocol is given; POP3 is taken")
	case "apop":
		e.Auth = "APOP"
	case "sdps":
		in.note(h.set["protocol"].line, "SDPS: the envelope's recipients are not asked for; POP3 is taken")
	default:
		in.note(h.set["protocol"].line, "the mailbox is left out: %s is not possible, only POP3", proto)
		return url, false
	}
	own := 110
	if url.TLS {
		own = 995
	}
	port, line := own, h.set["service"].line
	switch s := h.set.str("service"); s {
	case "", "pop3", "110":
		if s != "" {
			port = 110
		}
	case "pop3s", "995":
		port = 995
		if !url.TLS {
			url.TLS, own = true, 995
			in.note(line, "port 995 is for TLS: ssl is taken as given")
		}
	default:
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			in.note(line, "the mailbox is left out: service %s is not known; write a port", strconv.QuoteToASCII(s))
			return url, false
		}
		port = int(n)
	}
	if e.Port = port; port != own {
		url.Port = port
	}
	if u.remote == "" {
		in.note(u.line, "the mailbox is left out: without user, fetchmail takes the name of whoever runs it")
		return url, false
	}
	in.encryption(e, u, url)
	return url, true
}

func (in *importer) encryption(e *Entry, u person, url pop3.URL) {
	version, line := u.set.str("sslproto"), u.set["sslproto"].line
	switch {
	case version == "" && line > 0 && !url.TLS:
		e.Plaintext = true
		in.note(line, "sslproto: no TLS was wanted, so plaintext = true; remove that if the server has STLS")
	case version == "" && !url.TLS:
		in.note(u.line, "without ssl, fetchmail goes on in clear text if the server has no STLS; here that needs plaintext = true")
	}
	switch version {
	case "", "auto", "AUTO", "ssl23", "SSL23", "tls1+", "TLS1+", "tls1.1+", "TLS1.1+", "tls1.2+", "TLS1.2+":
	default:
		in.note(line, "sslproto: TLS 1.2 and later are used, whatever it says")
	}
}

// signIn says how to sign in.
func (in *importer) signIn(e *Entry, h host, u person) {
	line := h.set["auth"].line
	switch auth := h.set.str("auth"); auth {
	case "", "any", "password":
	case "cram-md5":
		e.Auth = "CRAM-MD5"
	case "oauthbearer", "xoauth2":
		e.Auth = "XOAUTH2"
		if auth == "oauthbearer" {
			e.Auth = "OAUTHBEARER"
		}
		in.note(line, "auth %s: the password was a token, which ends soon; write token_command or [fetch.oauth] instead of password_file", auth)
	case "implicit":
		in.note(line, "auth ssh: signing in by a tunnel is not possible")
	default:
		in.note(line, "auth %s is not possible; the best that the server has is used", auth)
	}
	if e.Password == "" && e.PasswordFile == "" {
		in.note(u.line, "there is no password: fetchmail asks for it or finds it in ~/.netrc; write password_file or password_command")
	}
}

// deliver finds a destination. Fetchmail has an mda, an LMTP server, or the
// SMTP server of its host.
func (in *importer) deliver(e *Entry, u person) {
	name := in.recipient(u)
	if u.set.has("mda") || u.set.has("bsmtp") {
		for _, idle := range []string{"smtphost", "lmtp", "smtpaddress", "smtpname"} {
			if u.set.has(idle) {
				in.note(u.set[idle].line, "%s: it has no effect beside mda or bsmtp", idle)
			}
		}
	}
	if u.set.has("bsmtp") {
		in.note(u.set["bsmtp"].line, "bsmtp: batched SMTP is not possible; write another destination as to")
		return
	}
	if mda := u.set.str("mda"); mda != "" {
		e.To = "exec:" + in.mda(u.set["mda"].line, mda, name)
		return
	}
	domain, ok := in.listener(e, u)
	if !ok {
		return
	}
	if given := u.set.str("smtpaddress"); given != "" {
		domain = given
	}
	switch full := u.set.str("smtpname"); {
	case full != "":
		e.Recipient = full
	case strings.Contains(name, "@"):
		e.Recipient = name
	case name != "":
		e.Recipient = name + "@" + domain
	default:
		in.note(u.line, "without a local name, fetchmail delivers to whoever runs it; write recipient")
	}
}

// listener makes the destination an SMTP or LMTP server, and gives the domain of
// its recipients; false if it cannot be reached.
func (in *importer) listener(e *Entry, u person) (domain string, ok bool) {
	hunt, line := u.set["smtphost"].words, u.set["smtphost"].line
	if len(hunt) > 1 {
		in.note(line, "smtphost: only the first host is used")
	}
	to := "localhost"
	if len(hunt) > 0 {
		to = hunt[0]
	}
	scheme, port := "smtp", "25"
	if u.set.has("lmtp") {
		scheme, port = "lmtp", "24"
	}
	switch {
	case strings.HasPrefix(to, "/") && scheme == "lmtp":
		e.To = "lmtp:" + to
		return "localhost", true
	case strings.HasPrefix(to, "/"):
		in.note(line, "smtphost: SMTP over a socket is not possible, only LMTP; write another destination as to")
		return "", false
	}
	domain, given, _ := strings.Cut(to, "/")
	if given != "" {
		port = given
	}
	e.To = scheme + "://" + net.JoinHostPort(domain, port)
	if e.ToPlaintext = scheme == "smtp"; e.ToPlaintext && !isLoopback(domain) {
		in.note(max(line, u.line), "fetchmail delivers to %s in clear text, so to_plaintext = true; remove that if the server has STARTTLS",
			strconv.QuoteToASCII(domain))
	}
	return domain, true
}

// recipient is the local user who gets the mail, if one is named.
func (in *importer) recipient(u person) string {
	name, many := "", len(u.local) > 1
	for _, l := range u.local {
		if l.here == "*" || l.there != "" {
			many = true
		}
		if name == "" && l.here != "*" {
			name = l.here
		}
	}
	if many {
		in.note(u.line, "%s: here that of the first local name", multidrop)
	}
	return name
}

func isLoopback(hostName string) bool {
	ip, err := netip.ParseAddr(hostName)
	return hostName == "localhost" || err == nil && ip.IsLoopback()
}

const maxSeconds = 36500 * 24 * 3600 // a hundred years

// seconds is a duration of at most a hundred years.
func seconds(n int64) time.Duration { return time.Duration(min(n, maxSeconds)) * time.Second }

func small(n int64) int { return int(min(n, 1<<30)) }
