package acme

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// maxHosts bounds the names: each costs a certificate, and authorities count.
const maxHosts = 100

func (o *Options) check() error {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("acme: "+format, args...)) }
	if len(o.Hosts) == 0 || len(o.Hosts) > maxHosts {
		fail("hosts: %d names; there must be 1 to %d", len(o.Hosts), maxHosts)
	}
	seen := make(map[string]bool)
	for _, h := range o.Hosts {
		if err := checkHost(h); err != nil {
			wrong = append(wrong, err)
		}
		if seen[h] {
			fail("hosts: %q is there twice", h)
		}
		seen[h] = true
	}
	if !o.Agree {
		fail("agree: read the terms of the authority, and say agree = true if you agree")
	}
	if o.Challenge != TLSALPN && o.Challenge != HTTP {
		fail("challenge: %q is neither %q nor %q", o.Challenge, TLSALPN, HTTP)
	}
	if o.Directory != "" {
		if u, err := url.Parse(o.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			fail("directory: %q is no https URL", o.Directory)
		}
	}
	if o.EAB != nil && (o.EAB.KeyID == "" || o.EAB.Key == "") {
		fail("eab: it has two parts, the id of a key and the key")
	}
	if o.Listener == nil || o.Log == nil || o.Dir == "" {
		fail("a listener, a log and a directory are needed")
	}
	return errors.Join(wrong...)
}

// checkHost accepts the names of hosts as certificates have them. These
// challenges prove neither wildcards nor, with most authorities, addresses.
func checkHost(h string) error {
	wrong := func(why string) error { return fmt.Errorf("acme: hosts: %q %s", h, why) }
	if _, err := netip.ParseAddr(h); err == nil {
		return wrong("is an address; give names")
	}
	if strings.HasPrefix(h, "*.") {
		return wrong("is a wildcard, which is only given by DNS challenges; name the hosts one by one")
	}
	if len(h) > 253 || !strings.Contains(h, ".") {
		return wrong("is no full host name, such as mail.example.org")
	}
	for label := range strings.SplitSeq(h, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return wrong("is no host name")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return wrong("may have small letters, digits, hyphens and dots; write other names in their ASCII form (xn--…)")
			}
		}
	}
	return nil
}

// lower changes ASCII letters only.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
