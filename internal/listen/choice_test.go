package listen

import (
	"crypto/tls"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Which certificate a client gets: by the name that it asks for, and by what it
// can use.
func TestChoice(t *testing.T) {
	t.Parallel()
	files := map[string]Pair{
		"mail EC":  issueKey(t, ecKey(t), "mail.example.org"),
		"mail RSA": issueKey(t, rsaKey(t), "mail.example.org"),
		"wild EC":  issueKey(t, ecKey(t), "*.example.net", "example.net"),
		"pop EC":   issueKey(t, ecKey(t), "pop.example.net"),
		"idn EC":   issueKey(t, ecKey(t), "xn--bcher-kva.example"),
		"other":    issueKey(t, rsaKey(t), "rsa.example.com"),
	}
	names := map[string]string{}
	var pairs []Pair
	for _, name := range []string{"mail EC", "other", "mail RSA", "pop EC", "wild EC", "idn EC"} {
		pairs = append(pairs, files[name])
		cert, err := tls.LoadX509KeyPair(files[name].Cert, files[name].Key)
		if err != nil {
			t.Fatal(err)
		}
		names[string(cert.Certificate[0])] = name
	}
	c, warnings, err := LoadCertificates(pairs)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	onlyRSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	onlyEC := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	for _, tt := range []struct {
		name, any, rsa, ec string
	}{
		{"mail.example.org", "mail EC", "mail RSA", "mail EC"},
		{"MAIL.example.ORG", "mail EC", "mail RSA", "mail EC"},
		{"", "mail EC", "mail RSA", "mail EC"},
		{"unknown.example", "mail EC", "mail RSA", "mail EC"},
		{"192.0.2.1", "mail EC", "mail RSA", "mail EC"}, // clients send no name then
		{"pop.example.net", "pop EC", "mail RSA", "pop EC"},
		{"imap.example.net", "wild EC", "mail RSA", "wild EC"},
		{"example.net", "wild EC", "mail RSA", "wild EC"},
		{"a.b.example.net", "mail EC", "mail RSA", "mail EC"}, // a wildcard is one label
		{"xn--bcher-kva.example", "idn EC", "mail RSA", "idn EC"},
		{"rsa.example.com", "other", "other", "mail EC"},
	} {
		for _, client := range []struct {
			config *tls.Config
			want   string
		}{{&tls.Config{}, tt.any}, {onlyRSA, tt.rsa}, {onlyEC, tt.ec}} {
			config := client.config.Clone()
			config.ServerName = tt.name
			ends, err := converse(t, c.Config(), config)
			if err != nil {
				t.Errorf("%q: %v", tt.name, err)
				continue
			}
			if got := names[string(ends.client.PeerCertificates[0].Raw)]; got != client.want {
				t.Errorf("%q with %v: got %q, want %q", tt.name, config.CipherSuites, got, client.want)
			}
		}
	}
}

// A source is asked for what the files do not have.
func TestSource(t *testing.T) {
	t.Parallel()
	fromFile := issue(t, "a", time.Now(), "mail.example.org")
	managed, err := tls.X509KeyPair(readPair(t, issue(t, "b", time.Now(), "acme.example.org")))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	source := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked = append(asked, hello.ServerName)
		if hello.ServerName != "" && hello.ServerName != "acme.example.org" {
			return nil, errors.New("not mine")
		}
		return &managed, nil
	}
	for _, tt := range []struct {
		files []Pair
		want  map[string]string // "": fails
		asked []string
	}{
		{[]Pair{fromFile}, map[string]string{
			"": "mail.example.org", "mail.example.org": "mail.example.org", "acme.example.org": "acme.example.org", "x.example": "mail.example.org",
		}, []string{"acme.example.org", "x.example"}},
		{nil, map[string]string{"": "acme.example.org", "acme.example.org": "acme.example.org", "x.example": ""}, []string{"", "acme.example.org", "x.example"}},
	} {
		c, _, err := LoadCertificates(tt.files)
		if err != nil {
			t.Fatal(err)
		}
		c.SetSource(source)
		asked = nil
		for name, want := range tt.want {
			got, err := handshake(t, c.Config(), &tls.Config{ServerName: name})
			if got != want || (err == nil) != (want != "") {
				t.Errorf("%d files, %q: got %q, %v", len(tt.files), name, got, err)
			}
		}
		slices.Sort(asked)
		if !slices.Equal(asked, tt.asked) {
			t.Errorf("%d files: asked %q", len(tt.files), asked)
		}
		c.SetSource(nil)
		if _, err := converse(t, c.Config(), &tls.Config{}); (err == nil) != (len(tt.files) > 0) {
			t.Errorf("without a source: %v", err)
		}
	}
}

// A certificate that names its host by the common name only is refused by
// today's clients.
func TestNamelessCertificate(t *testing.T) {
	t.Parallel()
	_, warnings, err := LoadCertificates([]Pair{issueKey(t, ecKey(t), nil...)})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "subjectAltName") {
		t.Errorf("got %q, %v", warnings, err)
	}
}

func readPair(t *testing.T, p Pair) (cert, key []byte) {
	t.Helper()
	cert, err := os.ReadFile(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	key, err = os.ReadFile(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
