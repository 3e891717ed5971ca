package listen

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func issue(t *testing.T, name string, at time.Time, hosts ...string) Pair {
	t.Helper()
	cert, key, err := selfSigned(hosts, at)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{filepath.Join(t.TempDir(), name+".pem"), filepath.Join(t.TempDir(), name+".key")}
	for file, data := range map[string][]byte{p.Cert: cert, p.Key: key} {
		if err := write(file, data); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// handshake gives the name of the certificate that a client gets.
func handshake(t *testing.T, server *tls.Config, client *tls.Config) (string, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_, _ = conn.Write([]byte("+OK"))
			_ = conn.Close()
		}
	}()
	client.InsecureSkipVerify = client.RootCAs == nil
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 3)); err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestCertificateByName(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c, warnings, err := LoadCertificates([]Pair{issue(t, "a", now, "mail.example.org"), issue(t, "b", now, "pop.example.net")})
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	for name, want := range map[string]string{
		"mail.example.org": "mail.example.org", "pop.example.net": "pop.example.net",
		"": "mail.example.org", "other.example.com": "mail.example.org",
	} {
		if got, err := handshake(t, c.Config(), &tls.Config{ServerName: name}); got != want || err != nil {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	first := issue(t, "a", time.Now(), "first.example.org")
	c, _, err := LoadCertificates([]Pair{first})
	if err != nil {
		t.Fatal(err)
	}
	serves := func(want string) {
		t.Helper()
		if got, err := handshake(t, c.Config(), &tls.Config{}); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	second := issue(t, "b", time.Now(), "second.example.org")
	for name, bad := range map[string]Pair{
		"is missing":      {filepath.Join(t.TempDir(), "none.pem"), second.Key},
		"of another key":  {second.Cert, first.Key},
		"has expired":     issue(t, "old", time.Now().Add(-2*selfSignedLife), "old.example.org"),
		"is its own key":  {second.Key, second.Key},
		"key is the cert": {second.Cert, second.Cert},
	} {
		if _, err := c.Reload([]Pair{bad}); err == nil {
			t.Errorf("a certificate that %s is taken", name)
		} else if !strings.Contains(err.Error(), filepath.Dir(bad.Cert)) {
			t.Errorf("%s: the error names no file: %v", name, err)
		}
		serves("first.example.org")
	}
	if _, err := c.Reload([]Pair{second}); err != nil {
		t.Fatal(err)
	}
	serves("second.example.org")
}

// All certificates that cannot be used are told at once.
func TestLoadTellsAll(t *testing.T) {
	t.Parallel()
	_, _, err := LoadCertificates([]Pair{{"/none/a.pem", "/none/a.key"}, {"/none/b.pem", "/none/b.key"}})
	if err == nil || !strings.Contains(err.Error(), "/none/a.pem") || !strings.Contains(err.Error(), "/none/b.pem") {
		t.Errorf("got %v", err)
	}
}

func TestLoadWarns(t *testing.T) {
	t.Parallel()
	p := issue(t, "old", time.Now().Add(-2*selfSignedLife), "old.example.org")
	if err := os.Chmod(p.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	_, warnings, err := LoadCertificates([]Pair{p})
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Join(warnings, "\n")
	if len(warnings) != 2 || !strings.Contains(told, "chmod 0600 "+p.Key) || !strings.Contains(told, "expired") {
		t.Errorf("got %q", warnings)
	}
}

// Old versions, weak ciphers and other protocols are refused (faults 78, 79).
func TestRefusedHandshakes(t *testing.T) {
	t.Parallel()
	c, _, err := LoadCertificates([]Pair{issue(t, "a", time.Now(), "mail.example.org")})
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*tls.Config{
		"TLS 1.1": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC":     {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"http":    {NextProtos: []string{"http/1.1"}},
		"smtp":    {NextProtos: []string{"smtp", "imap"}},
	} {
		if _, err := handshake(t, c.Config(), client); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, client := range map[string]*tls.Config{
		"TLS 1.2": {MaxVersion: tls.VersionTLS12}, "TLS 1.3": {MinVersion: tls.VersionTLS13}, "pop3": {NextProtos: []string{"pop3"}},
	} {
		if _, err := handshake(t, c.Config(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	p := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if err := SelfSigned(p, hosts); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := LoadCertificates([]Pair{p})
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	first, err := os.ReadFile(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(first)
	for _, name := range hosts {
		if _, err := handshake(t, c.Config(), &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := SelfSigned(p, hosts); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(p.Cert); string(again) != string(first) {
		t.Error("a good certificate was replaced")
	}
	soon := issue(t, "soon", time.Now().Add(-selfSignedLife+selfSignedRenew/2), "localhost")
	before, _ := os.ReadFile(soon.Cert)
	if err := SelfSigned(soon, hosts); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(soon.Cert); string(after) == string(before) {
		t.Error("a certificate that is about to expire was kept")
	}
	if info, err := os.Stat(p.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key: %v, %v", info.Mode(), err)
	}
}
