package listen

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"
)

// site is a server that asks for certificates.
type site struct {
	config  *tls.Config
	clients *Clients
	files   ClientFiles
}

func newSite(t *testing.T, f ClientFiles) *site {
	t.Helper()
	c, _, err := LoadCertificates([]Pair{issue(t, "a", time.Now(), "mail.example.org")})
	if err != nil {
		t.Fatal(err)
	}
	clients, warnings, err := LoadClients(f)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	return &site{c.ConfigFor(Policy{Clients: clients}), clients, f}
}

func shows(c ...tls.Certificate) *tls.Config {
	return &tls.Config{
		ServerName: "mail.example.org", ClientSessionCache: tls.NewLRUClientSessionCache(0),
		// Shown whatever the server says it would take.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(c) == 0 {
				return &tls.Certificate{}, nil
			}
			return &c[0], nil
		},
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "root", nil)
	sub := newAuthority(t, "sub", root)
	stranger := newAuthority(t, "root", nil) // of the same name
	viaSub := sub.client(t, "carol@example.org", nil)
	viaSub.Certificate = append(viaSub.Certificate, sub.cert.Raw)
	deep := sub
	var below [][]byte
	for range maxChain {
		deep = newAuthority(t, "deep", deep)
		below = append([][]byte{deep.cert.Raw}, below...)
	}
	tooLong := deep.client(t, "dan@example.org", nil)
	tooLong.Certificate = append(append(tooLong.Certificate, below...), sub.cert.Raw)
	ballast := root.client(t, "eve@example.org", nil)
	for range maxChain {
		ballast.Certificate = append(ballast.Certificate, stranger.cert.Raw)
	}
	heavy := root.client(t, "eve@example.org", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, maxChainBytes)}}
	})
	gone := root.client(t, "gone@example.org", nil)
	s := newSite(t, ClientFiles{
		CA:  put(t, "ca.pem", root.pem()),
		CRL: put(t, "crl.pem", root.revoke(t, time.Now().Add(time.Hour), gone)),
	})
	for name, tt := range map[string]struct {
		client *tls.Config
		as     string
		fails  bool
	}{
		"none":        {client: shows()},
		"good":        {client: shows(root.client(t, "alice@example.org", nil)), as: "alice@example.org"},
		"by a sub-CA": {client: shows(viaSub), as: "carol@example.org"},
		"stranger":    {client: shows(stranger.client(t, "alice@example.org", nil)), fails: true},
		"expired": {client: shows(root.client(t, "alice@example.org", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})), fails: true},
		"a server's": {client: shows(root.client(t, "alice@example.org", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})), fails: true},
		"revoked":        {client: shows(gone), fails: true},
		"too long chain": {client: shows(tooLong), fails: true},
		"too many":       {client: shows(ballast), fails: true},
		"too large":      {client: shows(heavy), fails: true},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := tt.client.Clone()
			client.MaxVersion = version
			ends, err := converse(t, s.config, client)
			if (err != nil) != tt.fails {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
			}
			if tt.as == "" {
				if len(ends.server.VerifiedChains) > 0 {
					t.Errorf("%s: somebody is verified", name)
				}
				continue
			}
			if len(ends.server.VerifiedChains) == 0 || ends.server.VerifiedChains[0][0].EmailAddresses[0] != tt.as {
				t.Errorf("%s, %s: chains %v", name, tls.VersionName(version), ends.server.VerifiedChains)
			}
		}
	}
}

// A resumed session is verified by what is known now.
func TestResumedClientCertificates(t *testing.T) {
	t.Parallel()
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	alice := root.client(t, "alice@example.org", nil)
	ca, both := put(t, "ca.pem", root.pem()), put(t, "both.pem", append(root.pem(), other.pem()...))
	replaced := put(t, "new.pem", other.pem())
	until := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		now            ClientFiles
		resumed, fails bool
	}{
		"the same":           {now: ClientFiles{CA: ca}, resumed: true},
		"an empty list":      {now: ClientFiles{CA: ca, CRL: put(t, "crl", root.revoke(t, until))}, resumed: true},
		"revoked":            {now: ClientFiles{CA: ca, CRL: put(t, "crl", root.revoke(t, until, alice))}, fails: true},
		"one more authority": {now: ClientFiles{CA: both}},
		"another authority":  {now: ClientFiles{CA: replaced}, fails: true},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := newSite(t, ClientFiles{CA: ca})
			client := shows(alice)
			client.MaxVersion = version
			for i, resumed := range []bool{false, true} {
				ends, err := converse(t, s.config, client)
				if err != nil || ends.server.DidResume != resumed || len(ends.server.VerifiedChains) == 0 {
					t.Fatalf("%s: connection %d: resumed %t, %v", name, i, ends.server.DidResume, err)
				}
			}
			if _, err := s.clients.Reload(tt.now); err != nil {
				t.Fatal(name, err)
			}
			ends, err := converse(t, s.config, client)
			if (err != nil) != tt.fails || ends.server.DidResume != tt.resumed {
				t.Errorf("%s, %s: resumed %t, %v", name, tls.VersionName(version), ends.server.DidResume, err)
			}
			if !tt.fails && len(ends.server.VerifiedChains) == 0 {
				t.Errorf("%s: nobody is verified", name)
			}
		}
	}
}

// A session that began where nobody asked for a certificate does not keep the
// client from showing one elsewhere.
func TestResumeWhereCertificatesAreAsked(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "root", nil)
	c, _, err := LoadCertificates([]Pair{issue(t, "a", time.Now(), "mail.example.org")})
	if err != nil {
		t.Fatal(err)
	}
	clients, _, err := LoadClients(ClientFiles{CA: put(t, "ca.pem", root.pem())})
	if err != nil {
		t.Fatal(err)
	}
	client := shows(root.client(t, "alice@example.org", nil))
	if _, err := converse(t, c.Config(), client); err != nil {
		t.Fatal(err)
	}
	ends, err := converse(t, c.ConfigFor(Policy{Clients: clients}), client)
	if err != nil || ends.server.DidResume || len(ends.server.VerifiedChains) == 0 {
		t.Errorf("resumed %t, %v", ends.server.DidResume, err)
	}
	// And one with a certificate is nothing where nobody asks.
	ends, err = converse(t, c.Config(), client)
	if err != nil || ends.server.DidResume || len(ends.server.PeerCertificates) > 0 {
		t.Errorf("resumed %t, %v", ends.server.DidResume, err)
	}
}

func TestClientFilesAreChecked(t *testing.T) {
	t.Parallel()
	root, other := newAuthority(t, "root", nil), newAuthority(t, "root", nil)
	leaf := root.client(t, "alice@example.org", nil)
	good := put(t, "ca.pem", root.pem())
	old := &authority{key: ecKey(t)}
	old.cert = sign(t, &x509.Certificate{IsCA: true, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}, old.key, nil)
	until := time.Now().Add(time.Hour)
	list := root.revoke(t, until, leaf)
	s := newSite(t, ClientFiles{CA: good})
	for name, f := range map[string]ClientFiles{
		"no file":           {CA: "/none/ca.pem"},
		"empty":             {CA: put(t, "x", nil)},
		"no PEM":            {CA: put(t, "x", []byte("hello\n"))},
		"damaged":           {CA: put(t, "x", root.pem()[:200])},
		"second is damaged": {CA: put(t, "x", append(root.pem(), other.pem()[:200]...))},
		"a client's":        {CA: put(t, "x", encode("CERTIFICATE", leaf.Certificate[0]))},
		"a key":             {CA: put(t, "x", append(root.pem(), encode("PRIVATE KEY", []byte("x"))...))},
		"expired":           {CA: put(t, "x", old.pem())},
		"no list":           {CA: good, CRL: "/none/crl.pem"},
		"empty list":        {CA: good, CRL: put(t, "x", nil)},
		"list of another":   {CA: good, CRL: put(t, "x", other.revoke(t, until))},
		"list cut off":      {CA: good, CRL: put(t, "x", list[:len(list)-30])},
		"no list but a CA":  {CA: good, CRL: good},
	} {
		_, err := s.clients.Reload(f)
		bad := f.CA
		if f.CRL != "" {
			bad = f.CRL
		}
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", name, err)
		}
		if ends, err := converse(t, s.config, shows(leaf)); err != nil || len(ends.server.VerifiedChains) == 0 {
			t.Fatalf("%s: what was there is gone: %v", name, err)
		}
	}
	warnings, err := s.clients.Reload(ClientFiles{
		CA: put(t, "x", append(root.pem(), old.pem()...)), CRL: put(t, "x", root.revoke(t, time.Now().Add(-time.Minute))),
	})
	if err != nil || len(warnings) != 2 {
		t.Errorf("stale files: %q, %v", warnings, err)
	}
}
