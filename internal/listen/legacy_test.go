package listen

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
)

// What old machines offer, and what they still do not get. The versions and
// suites are in the configuration: GODEBUG is as it is.
func TestLegacyHandshakes(t *testing.T) {
	t.Parallel()
	rsa, ec := issueKey(t, rsaKey(t), "mail.example.org", "old.example.org"), issueKey(t, ecKey(t), "mail.example.org")
	c, _, err := LoadCertificates([]Pair{ec, rsa})
	if err != nil {
		t.Fatal(err)
	}
	strict, legacy := c.Config(), c.ConfigFor(Policy{Legacy: true})
	for name, tt := range map[string]struct {
		client         *tls.Config
		strict, legacy bool
	}{
		"TLS 1.0 RSA 3DES":        {&tls.Config{MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}, false, true},
		"TLS 1.0 RSA AES":         {&tls.Config{MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, false, true},
		"TLS 1.0 ECDHE RSA":       {&tls.Config{MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA}}, false, true},
		"TLS 1.0 ECDHE ECDSA":     {&tls.Config{MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}}, false, true},
		"TLS 1.1 ECDHE 3DES":      {&tls.Config{MaxVersion: tls.VersionTLS11, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}}, false, true},
		"TLS 1.2 RSA GCM":         {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384}}, false, true},
		"TLS 1.2 ECDHE RSA GCM":   {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}, true, true},
		"TLS 1.2 ECDHE ECDSA GCM": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, true, true},
		"TLS 1.3":                 {&tls.Config{MinVersion: tls.VersionTLS13}, true, true},
		"RC4":                     {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}}, false, false},
		"CBC with SHA-256":        {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA256}}, false, false},
		"another protocol":        {&tls.Config{NextProtos: []string{"http/1.1"}}, false, false},
	} {
		for _, server := range []*tls.Config{strict, legacy} {
			for _, host := range []string{"mail.example.org", "old.example.org", "", "unknown.example.com"} {
				client := tt.client.Clone()
				client.MinVersion = max(tls.VersionTLS10, client.MinVersion)
				client.ServerName = host
				_, err := converse(t, server, client)
				// The host "old" has no ECDSA certificate: the other host's serves.
				if want := server == strict && tt.strict || server == legacy && tt.legacy; (err == nil) != want {
					t.Errorf("%s, legacy %t, name %q: %v", name, server == legacy, host, err)
				}
			}
		}
	}
}

func TestCheckLegacyPairs(t *testing.T) {
	t.Parallel()
	rsa, ec := issueKey(t, rsaKey(t), "mail.example.org"), issueKey(t, ecKey(t), "mail.example.org")
	for _, pairs := range [][]Pair{{rsa}, {ec, rsa}} {
		if err := CheckLegacyPairs(pairs); err != nil {
			t.Error(err)
		}
	}
	if err := CheckLegacyPairs([]Pair{ec}); err == nil || !strings.Contains(err.Error(), ec.Cert) || !strings.Contains(err.Error(), "ECDSA") {
		t.Errorf("ECDSA only: %v", err)
	}
	if CheckLegacyPairs(nil) == nil || CheckLegacyPairs([]Pair{{"/none/a", "/none/b"}}) == nil {
		t.Error("no certificate is good for a legacy listener")
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for ip, public := range map[string]bool{
		"127.0.0.1": false, "127.255.0.1": false, "::1": false, "::ffff:127.0.0.1": false,
		"10.0.0.1": false, "10.255.255.255": false, "9.255.255.255": true, "11.0.0.0": true,
		"172.15.255.255": true, "172.16.0.0": false, "172.31.255.255": false, "172.32.0.0": true,
		"192.168.0.1": false, "192.167.255.255": true, "192.169.0.0": true, "::ffff:192.168.1.1": false, "::ffff:8.8.8.8": true,
		"169.254.1.1": false, "fe80::1": false, "fe80::1%eth0": false,
		"100.63.255.255": true, "100.64.0.0": false, "100.127.255.255": false, "100.128.0.0": true, "::ffff:100.64.0.1": false,
		"fc00::1": false, "fdff::1": false, "fe00::1": true, "2001:db8::1": true, "64:ff9b::10.0.0.1": true,
		"0.0.0.0": true, "::": true, "8.8.8.8": true,
	} {
		if got := Public(netip.MustParseAddr(ip)); got != public {
			t.Errorf("%s: %t", ip, got)
		}
	}
}

func TestCheckLegacyAddress(t *testing.T) {
	t.Parallel()
	for address, fine := range map[string]bool{
		"127.0.0.1:995": true, "[::1]:995": true, "localhost:995": true, "192.168.1.2:995": true, "[fd00::1]:995": true,
		":995": false, "0.0.0.0:995": false, "[::]:995": false, "192.0.2.1:995": false, "mail.example.org:995": false,
		"localhost.example.org:995": false, "": false, "nonsense": false, "010.0.0.1:995": false,
	} {
		err := CheckLegacyAddress(address, false)
		if (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && !strings.Contains(err.Error(), "legacy_public = true") {
			t.Errorf("%q: the error does not say what to do: %v", address, err)
		}
		if err := CheckLegacyAddress(address, true); err != nil {
			t.Errorf("%q, told twice: %v", address, err)
		}
	}
}
