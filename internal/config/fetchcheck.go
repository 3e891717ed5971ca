package config

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Wrong is a key of a [[fetch]], such as "delete_after" or "oauth.flow", and
// what is wrong with it, in words that name the key.
type Wrong struct{ Key, Text string }

// fetchCheck collects what is wrong with a Fetch.
type fetchCheck struct {
	*Fetch
	named func(key string) string
	wrong []Wrong
}

// Check finds what no single value of f tells. named gives the name by which
// the user knows a key, in the file or on the command line.
func (f *Fetch) Check(named func(key string) string) []Wrong {
	c := fetchCheck{Fetch: f, named: named}
	c.checkPlaces()
	c.checkSecrets()
	c.checkPolicy()
	c.checkEnvelope()
	c.checkDestination()
	if f.OAuth.given() {
		c.checkOAuth()
	}
	return c.wrong
}

// fail notes that key is wrong. Each %k in format stands for the name of the
// next of keys, the first of which is key.
func (c *fetchCheck) fail(key, format string, more ...string) {
	keys := append([]string{key}, more...)
	for _, k := range keys {
		format = strings.Replace(format, "%k", c.named(k), 1)
	}
	c.wrong = append(c.wrong, Wrong{key, format})
}

// twice notes keys that cannot stand beside each other.
func (c *fetchCheck) twice(key, other string) {
	c.fail(key, "%k and %k contradict each other; write one of them", other)
}

func (c *fetchCheck) checkPlaces() {
	if c.Source.Host == "" {
		c.fail("source", `%k is missing; write "pops://user@host"`)
	}
	if c.Name != "" && !validName(c.Name) {
		c.fail("name", "%k must be up to 100 characters without blanks, and not import or authorize")
	}
	if c.To.Kind == "" {
		c.fail("to", "%k is missing; "+destinations)
	}
	switch {
	case c.Plaintext && c.Source.TLS:
		c.fail("plaintext", "%k is for pop:// only: pops:// is TLS from the first octet")
	case c.Plaintext && c.Source.KPOP:
		c.fail("plaintext", "%k is for pop:// only: kpop:// has no TLS, and sends no password")
	}
	switch {
	case c.Plaintext && c.CA != "":
		c.twice("ca", "plaintext")
	case c.CA != "" && c.Source.KPOP:
		c.fail("ca", "%k is for TLS, which kpop:// has not")
	}
	if c.Timeout < time.Second {
		c.fail("timeout", "%k must be at least 1s")
	}
}

// validName reports whether an account can be named so, on the command line
// and in a line of a report.
func validName(name string) bool {
	if !utf8.ValidString(name) || len(name) > 100 || strings.HasPrefix(name, "-") || name == "import" || name == "authorize" {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) < 0
}

// checkSecrets looks at how to sign in at the source.
func (c *fetchCheck) checkSecrets() {
	c.atMostOne([]given{
		{"password_file", c.PasswordFile != ""}, {"password_command", c.PasswordCommand != nil},
		{"password_env", c.PasswordEnv != ""}, {"token_command", c.TokenCommand != nil},
		{"oauth", c.OAuth.given()},
	})
	if c.Source.Host != "" {
		c.checkKerberos()
	}
	if c.Ticket() {
		return
	}
	token := c.TokenCommand != nil || c.OAuth.given()
	auth, key := c.Auth, "auth"
	switch in := Mechanism(c.Source.Auth); {
	case auth == "":
		auth, key = in, "source"
	case in != "" && in != auth:
		c.fail("auth", "%k is another mechanism than the one in %k", "source")
	}
	switch {
	case token && auth != "" && !auth.token():
		c.fail(key, "%k: "+string(auth)+" takes a password, and there is a token; write XOAUTH2 or OAUTHBEARER, or nothing")
	case !token && auth.token():
		c.fail(key, "%k: "+string(auth)+" takes a token; %k or [fetch.oauth] says where it comes from", "token_command")
	case auth == "APOP" && c.Plaintext:
		c.fail(key, "%k: APOP without TLS would tell the password to whoever sits between; leave %k out", "plaintext")
	}
	if c.OneLine && !token {
		c.fail("one_line", "%k is for tokens, and there is none")
	}
	if token && c.Plaintext {
		c.fail("plaintext", "%k: a token is never sent without TLS")
	}
}

// checkKerberos looks at what is about tickets, and what is not beside them.
func (c *fetchCheck) checkKerberos() {
	if !c.Ticket() {
		for _, g := range []given{{"keytab", c.Keytab != ""}, {"principal", c.Principal != ""}} {
			if g.there {
				c.fail(g.key, "%k is for kpop:// and for %k = GSSAPI only", "auth")
			}
		}
		return
	}
	if c.Principal != "" && c.Keytab == "" {
		c.fail("principal", "%k goes with %k; without, the tickets are of whoever ran kinit", "keytab")
	}
	in := Mechanism(c.Source.Auth)
	switch {
	case c.Source.KPOP && c.Auth != "":
		c.fail("auth", "%k: kpop:// has a way of its own to sign in; leave it out")
	case c.Source.KPOP && in != "":
		c.fail("source", "%k: kpop:// has a way of its own to sign in; leave ;AUTH= out")
	case c.Auth != "" && in != "" && in != c.Auth:
		c.fail("auth", "%k is another mechanism than the one in %k", "source")
	}
	for _, g := range []given{
		{"password_file", c.PasswordFile != ""}, {"password_command", c.PasswordCommand != nil},
		{"password_env", c.PasswordEnv != ""}, {"token_command", c.TokenCommand != nil},
		{"oauth", c.OAuth.given()}, {"one_line", c.OneLine},
	} {
		if g.there {
			c.fail(g.key, "%k: a Kerberos ticket signs in, and nothing else is sent; leave it out")
		}
	}
}

// given is a key, and whether there is a value.
type given struct {
	key   string
	there bool
}

func (c *fetchCheck) atMostOne(all []given) (first string) {
	for _, g := range all {
		switch {
		case g.there && first == "":
			first = g.key
		case g.there:
			c.twice(g.key, first)
		}
	}
	return first
}

func (c *fetchCheck) checkPolicy() {
	if c.Keep && c.DeleteAfter > 0 {
		c.twice("delete_after", "keep")
	}
	if c.Batch < 0 {
		c.fail("batch", "%k must be at least 1")
	}
	if c.Limit < 0 {
		c.fail("limit", "%k must be at least 1")
	}
	if c.Every > 0 && c.Every < LeastEvery {
		c.fail("every", fmt.Sprintf("%%k must be at least %s", formatDuration(LeastEvery)))
	}
}

// LeastEvery is the least pause between two runs.
const LeastEvery = 10 * time.Second

func (c *fetchCheck) checkEnvelope() {
	for _, a := range []struct{ key, value string }{
		{"delivered_to", c.DeliveredTo}, {"from", c.From}, {"recipient", c.Recipient},
	} {
		if a.value != "" && !validAddress(a.value) {
			c.fail(a.key, `%k is no address; write it as "bob@example.org"`)
		}
	}
	switch c.To.Kind {
	case ToLMTP, ToSMTP:
		if c.Recipient == "" {
			c.fail("recipient", "%k is missing; %k needs an envelope, and says whom the mail is for", "to")
		}
	case ToExec, "":
	default:
		if c.Recipient != "" {
			c.fail("recipient", "%k is for lmtp, smtp and exec only")
		}
		if c.From != "" {
			c.fail("from", "%k is for lmtp, smtp and exec only")
		}
	}
}

// validAddress reports whether s can stand in an envelope and in a header line.
func validAddress(s string) bool {
	if len(s) > 254 || !utf8.ValidString(s) || strings.ContainsAny(s, "<>") || s[0] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || !unicode.IsGraphic(r) }) < 0
}

func (c *fetchCheck) checkDestination() {
	secret := c.atMostOne([]given{
		{"to_password_file", c.ToPasswordFile != ""}, {"to_password_command", c.ToPasswordCommand != nil},
		{"to_password_env", c.ToPasswordEnv != ""},
	})
	d := &c.To
	if d.Kind == "" {
		return
	}
	if d.Kind != ToSMTP && d.Kind != ToIMAP {
		for _, g := range []given{
			{"to_user", c.ToUser != ""}, {secret, secret != ""}, {"to_ca", c.ToCA != ""}, {"to_plaintext", c.ToPlaintext},
		} {
			if g.there {
				c.fail(g.key, "%k is for smtp and imap only")
			}
		}
		return
	}
	if c.ToUser != "" && d.User != "" && c.ToUser != d.User {
		c.fail("to_user", "%k is another user than the one in %k", "to")
	}
	user := c.ToUser != "" || d.User != ""
	switch {
	case d.Kind == ToIMAP && !user:
		c.fail("to", `%k has no user; write "imaps://user@host/Mailbox"`)
	case user && secret == "":
		c.fail("to_password_file", "%k, or another way to the password of the destination, is missing")
	case !user && secret != "":
		c.fail(secret, "%k is there, and no user; write to_user")
	}
	if c.ToPlaintext && d.TLS {
		c.fail("to_plaintext", "%k is for smtp:// and imap:// only")
	}
	if c.ToPlaintext && c.ToCA != "" {
		c.twice("to_ca", "to_plaintext")
	}
}

func (c *fetchCheck) checkOAuth() {
	o := &c.OAuth
	if o.ClientID == "" {
		c.fail("oauth.client_id", "%k is missing; it is the id of the client that you have registered with the provider")
	}
	if o.Profile == Google && o.Flow != Code {
		c.fail("oauth.flow", `%k: with profile = "google" it is "code"; Google has no other for mail`)
	}
	if o.Tenant != "" && o.Profile != Microsoft {
		c.fail("oauth.tenant", `%k is for profile = "microsoft" only`)
	}
	if o.Flow == Client {
		if o.ClientSecretFile == "" {
			c.fail("oauth.client_secret_file", `%k is missing; flow = "client" needs it`)
		}
		if o.Profile == Microsoft && o.Tenant == "" {
			c.fail("oauth.tenant", `%k is missing; flow = "client" needs it`)
		}
	}
	for _, u := range []struct {
		key, value string
		needed     bool
	}{
		{"oauth.auth_url", o.AuthURL, o.Flow == Code},
		{"oauth.device_url", o.DeviceURL, o.Flow == Device},
		{"oauth.token_url", o.TokenURL, true},
	} {
		switch {
		case u.value != "" && !validEndpoint(u.value):
			c.fail(u.key, `%k must be an address that begins with "https://"`)
		case u.value == "" && u.needed && o.Profile == "":
			c.fail(u.key, `%k is missing; write it, or profile = "google" or "microsoft"`)
		}
	}
	if len(o.Scopes) == 0 && o.Profile == "" {
		c.fail("oauth.scopes", "%k is missing; the provider says which scope is for POP3")
	}
}

// validEndpoint reports whether secrets may be sent to a URL: by TLS, or on
// this machine.
func validEndpoint(s string) bool {
	for _, prefix := range []string{"https://", "http://127.0.0.1:", "http://[::1]:", "http://localhost:"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest != "" && rest[0] != '/' && strings.IndexFunc(rest, func(r rune) bool { return r <= ' ' || r >= 0x7F }) < 0
		}
	}
	return false
}

// checkFetch looks at each [[fetch]] and at what they are to each other.
func (d *decoder) checkFetch(c *Config) {
	names, boxes := make(map[string]int), make(map[string][]int)
	for i := range c.Fetch {
		f := &c.Fetch[i]
		at := fmt.Sprintf("fetch.%d", i)
		for _, w := range f.Check(func(key string) string { return "fetch." + key }) {
			d.fail(join(at, w.Key), "%s", w.Text)
		}
		if f.Source.Host == "" {
			continue
		}
		if first, twice := names[f.Title()]; twice {
			d.fail(join(at, "name"), "fetch.name = %q is that of the section in line %d already; write another", f.Title(), d.lines[fmt.Sprintf("fetch.%d", first)])
		} else {
			names[f.Title()] = i
		}
		others := boxes[f.remote()]
		f.Further = len(others)
		d.checkShared(c, i, others)
		boxes[f.remote()] = append(others, i)
	}
}

// checkShared looks at section i of a mailbox which the sections in others
// fetch as well: none may delete what another has not seen.
func (d *decoder) checkShared(c *Config, i int, others []int) {
	f, at := &c.Fetch[i], fmt.Sprintf("fetch.%d", i)
	for _, o := range others {
		other, line := &c.Fetch[o], d.lines[fmt.Sprintf("fetch.%d", o)]
		switch {
		case f.To.Kind != "" && f.To.String() == other.To.String() && f.To.Kind != ToExec:
			d.fail(join(at, "to"), "fetch.to: the section in line %d fetches the same mailbox to the same place", line)
		case !f.stays() || !other.stays():
			d.fail(join(at, "keep"), "the section in line %d fetches the same mailbox, and what one deletes the other may never see; write keep = true or delete_after in both", line)
		}
	}
}

func (f *Fetch) stays() bool { return f.Keep || f.DeleteAfter > 0 }

// Mailbox names the remote mailbox, for ever: user@host, with :port if that is
// neither 110 nor 995, nor KPOP's 1109, behind which every server has the same
// mailboxes.
// Further sections of one mailbox, which go to other places, have their titles
// behind it.
func (f *Fetch) Mailbox() string {
	if f.Further > 0 {
		return f.remote() + " " + f.Title()
	}
	return f.remote()
}

// remote is the same for all sections of one mailbox. Hosts are the same in
// either case.
func (f *Fetch) remote() string {
	host := []byte(f.Source.Addr())
	for i, c := range host {
		if c >= 'A' && c <= 'Z' {
			host[i] = c | 0x20
		}
	}
	name := f.Source.User + "@" + string(host)
	if f.Source.KPOP {
		name = strings.TrimSuffix(name, ":1109")
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, ":110"), ":995")
}
