package config

import "reflect"

// ACME gets certificates by itself from an authority such as Let's Encrypt, for
// hosts of which no file has one.
type ACME struct {
	// Hosts are the names to have certificates for. Unset: ACME is not used.
	Hosts []string `toml:"hosts"`
	// Email is where the authority may write to.
	Email string `toml:"email"`
	// Agree says that you agree to the authority's terms. It must be true.
	Agree bool `toml:"agree"`
	// Directory is the URL of the authority. Unset: Let's Encrypt.
	Directory string `toml:"directory"`
	// Challenge is "tls-alpn-01", where the authority comes to port 443, or
	// "http-01", where it comes to port 80.
	Challenge Challenge `toml:"challenge"`
	// Addr is where it comes to, if that is not ":443" or ":80": another port
	// must be forwarded from there.
	Addr Addr `toml:"addr"`
	// Dir keeps the account, the keys and the certificates; nobody but the
	// server's user may see into it. Unset: acme in state_dir.
	Dir string `toml:"dir"`
	// RSA makes RSA keys, which old clients want, and not ECDSA.
	RSA bool `toml:"rsa"`
	// CA is a file with the certificates, in PEM, of those who may vouch for
	// the authority's server. Unset: the system's.
	CA string `toml:"ca"`
	// EABKeyID names the account that some authorities want one to have there.
	EABKeyID string `toml:"eab_key_id"`
	// EABKeyFile is a file whose first line is the key of that account.
	EABKeyFile string `toml:"eab_key_file"`
}

// Challenge is how an authority sees that a host is ours.
type Challenge string

// The challenges.
const (
	TLSALPN01 Challenge = "tls-alpn-01"
	HTTP01    Challenge = "http-01"
)

// UnmarshalText accepts the names of the challenges.
func (c *Challenge) UnmarshalText(text []byte) error {
	return choose(c, text, []Challenge{TLSALPN01, HTTP01})
}

// Configured says whether the section is there.
func (a *ACME) Configured() bool { return len(a.Hosts) > 0 }

// Listener is where the authority comes to.
func (a *ACME) Listener() Addr {
	switch {
	case a.Addr != Addr{}:
		return a.Addr
	case a.Challenge == HTTP01:
		return Addr{Network: "tcp", Address: "0.0.0.0:80"}
	}
	return Addr{Network: "tcp", Address: "0.0.0.0:443"}
}

// WithoutHosts is what cannot change while the server runs.
func (a ACME) WithoutHosts() ACME {
	a.Hosts = nil
	return a
}

// checkACME finds what is missing.
func (d *decoder) checkACME(a *ACME) {
	switch unset := Default().TLS.ACME; {
	case reflect.DeepEqual(*a, unset):
		return
	case !a.Configured():
		d.fail("tls.acme.hosts", "tls.acme.hosts is missing; it names the hosts to have certificates for")
	case !a.Agree:
		d.fail("tls.acme.agree", "tls.acme.agree must be true: read the authority's terms, and agree to them")
	case (a.EABKeyID == "") != (a.EABKeyFile == ""):
		d.fail("tls.acme", "tls.acme needs both eab_key_id and eab_key_file, or none")
	case a.Addr.Network == "unix":
		d.fail("tls.acme.addr", "tls.acme.addr must be host:port")
	}
	for _, h := range a.Hosts {
		if !validHost(h) {
			d.fail("tls.acme.hosts", "tls.acme.hosts: %q is no host name", h)
		}
	}
}
