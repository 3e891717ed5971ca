package config

import (
	"fmt"
	"strings"
	"time"
)

// check finds what no single value tells.
func (d *decoder) check(c *Config) {
	if c.Hostname != "" && !validHost(c.Hostname) {
		d.fail("hostname", "hostname = %q is no host name; write it as \"mail.example.org\"", c.Hostname)
	}
	if c.Mail.Store == Maildir {
		d.checkPath(c.Mail.Path)
	}
	d.checkBucket(c)
	d.checkSignIn(c)
	d.pair("tls", c.TLS.Cert, c.TLS.Key)
	haveTLS := c.TLS.Cert != "" || c.TLS.ACME.Configured()
	if c.TLS.ClientCA != "" && !haveTLS {
		d.fail("tls.client_ca", "tls.client_ca needs cert and key beside it")
	}
	if c.TLS.ClientCRL != "" && c.TLS.ClientCA == "" {
		d.fail("tls.client_crl", "tls.client_crl needs client_ca beside it")
	}
	d.checkACME(&c.TLS.ACME)
	for i, further := range c.TLS.Certificate {
		at := fmt.Sprintf("tls.certificate.%d", i)
		if further == (Certificate{}) {
			d.fail(at, "tls.certificate needs cert and key")
		}
		d.pair(at, further.Cert, further.Key)
	}
	if len(c.TLS.Certificate) > 0 && !haveTLS {
		d.fail("tls.cert", "tls.cert is missing; clients that ask for no name get this certificate")
	}
	d.checkListeners(c)
	d.checkLimits(&c.Limits)
}

// checkPath looks at the template of the accounts' directories.
func (d *decoder) checkPath(path string) {
	if path == "" {
		d.fail("mail.path", "mail.path is missing; write path = \"/var/mail/vhosts/%%d/%%n\" in [mail]")
		return
	}
	own := false
	for rest := path; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(after, "u"), strings.HasPrefix(after, "n"):
			own = true
		case strings.HasPrefix(after, "d"), strings.HasPrefix(after, "%"):
		default:
			d.fail("mail.path", "mail.path = %q: after %% comes u, n, d or %%", path)
			return
		}
		rest = after[1:]
	}
	if !own {
		d.fail("mail.path", "mail.path = %q would be the same for all accounts; it needs %%u or %%n", path)
	}
}

func (d *decoder) pair(at, cert, key string) {
	if (cert == "") != (key == "") {
		d.fail(at, "%s needs both cert and key", section(at))
	}
}

func (d *decoder) checkListeners(c *Config) {
	if len(c.Listen) == 0 {
		d.fail("listen", "there is no [[listen]]; nobody could connect")
	}
	seen := make(map[Addr]int)
	for i := range c.Listen {
		l := &c.Listen[i]
		at := fmt.Sprintf("listen.%d", i)
		if l.Proto == "" {
			d.fail(at+".proto", "listen.proto is missing; write \"pop3\", \"pop3s\", \"lmtp\" or \"kpop\"")
		}
		if l.Addr == (Addr{}) {
			d.fail(at+".addr", "listen.addr is missing; write \"host:port\" or \"unix:/path\"")
			continue
		}
		if first, twice := seen[l.Addr]; twice && !strings.HasSuffix(l.Addr.Address, ":0") {
			d.fail(at+".addr", "listen.addr = %q is used in line %d already", l.Addr, d.lines[fmt.Sprintf("listen.%d.addr", first)])
		}
		seen[l.Addr] = i
		d.checkListener(at, l, c.TLS.Cert != "" || c.TLS.ACME.Configured())
	}
}

func (d *decoder) checkListener(at string, l *Listen, haveTLS bool) {
	unix := l.Addr.Network == "unix"
	switch {
	case l.Proto == POP3S && !haveTLS:
		d.fail(at+".proto", "listen.proto = \"pop3s\" needs a certificate; write cert and key in [tls]")
	case l.Proto == POP3 && !haveTLS && !l.InsecureAuth && !l.Addr.Local():
		d.fail(at, "nobody could sign in at %s: there is no certificate in [tls], and insecure_auth is not set", l.Addr)
	case l.Proto == LMTP && !l.Addr.Local() && len(l.Allow) == 0:
		d.fail(at, "anybody could deliver mail at %s; name those who may, as allow = [\"192.0.2.0/24\"]", l.Addr)
	}
	if l.InsecureAuth && l.Proto != POP3 {
		d.fail(at+".insecure_auth", "listen.insecure_auth has no meaning for proto = %q", l.Proto)
	}
	if l.Legacy && l.Proto != POP3 && l.Proto != POP3S || l.LegacyPublic && !l.Legacy {
		d.fail(at+".legacy", "listen.legacy is for proto = \"pop3\" and \"pop3s\", and legacy_public goes with it")
	}
	if unix && len(l.ProxyFrom)+len(l.Allow) > 0 {
		d.fail(at, "listen.proxy_from and listen.allow have no meaning for a Unix socket; its mode and group say who may connect")
	}
	if !unix && (l.Mode != 0 || l.Group != "") {
		d.fail(at, "listen.mode and listen.group are for Unix sockets only")
	}
}

func (d *decoder) checkLimits(l *Limits) {
	for _, n := range []struct {
		key   string
		value int
	}{
		{"connections", l.Connections},
		{"connections_per_address", l.ConnectionsPerAddress},
		{"sessions_per_account", l.SessionsPerAccount},
		{"lmtp_connections", l.LMTPConnections},
		{"message_size", int(l.MessageSize)},
	} {
		if n.value < 1 {
			d.fail("limits."+n.key, "limits.%s must be at least 1", n.key)
		}
	}
	for _, t := range []struct {
		key   string
		value time.Duration
		least time.Duration
	}{
		{"login_timeout", l.LoginTimeout, time.Second},
		{"idle_timeout", l.IdleTimeout, 10 * time.Minute},
		{"write_timeout", l.WriteTimeout, time.Second},
	} {
		if t.value < t.least {
			d.fail("limits."+t.key, "limits.%s must be at least %s", t.key, formatDuration(t.least))
		}
	}
}

// validHost reports whether name is a host name: labels of letters, digits and
// hyphens.
func validHost(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}
