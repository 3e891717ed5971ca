//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// clientAuthority vouches for people.
type clientAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// withCertificates makes accounts without a password, and an authority for the
// certificates of their owners.
func withCertificates(t *testing.T, s *stand, accounts []string) string {
	t.Helper()
	addLines(t, s.space.Passwd(), accounts, "!")
	s.clients = newClientAuthority(t)
	path := serversFile(t, s, "clients.pem", string(pemOf("CERTIFICATE", s.clients.cert.Raw)), 0o644)
	s.inSection["[tls]"] = fmt.Sprintf("client_ca = %q\n", path)
	return ""
}

func newClientAuthority(t *testing.T) *clientAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &clientAuthority{key: key}
	template := personalCertificate("People")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func personalCertificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// issue makes a certificate for a mail address, and gives the path of a file
// with it and its key.
func (a *clientAuthority) issue(t *testing.T, address string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := personalCertificate("Somebody")
	template.EmailAddresses = []string{address}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "person.pem")
	if err := os.WriteFile(path, bytes.Join([][]byte{pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", pkcs8)}, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ownCertificate(t *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), cert: s.clients.issue(t, rig.Account(account))}
}

func strangersCertificate(t *testing.T, s *stand, account string) credential {
	return credential{user: rig.Account(account), cert: s.clients.issue(t, rig.Account(outsider))}
}
