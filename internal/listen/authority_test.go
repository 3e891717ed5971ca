package listen

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"

	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/testkit"
)

// authority issues certificates for the tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	next int64
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate; a nil parent signs itself.
func sign(t *testing.T, template *x509.Certificate, key crypto.Signer, parent *authority) *x509.Certificate {
	t.Helper()
	now := time.Now()
	if template.NotBefore.IsZero() {
		template.NotBefore = now.Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = now.Add(1000 * time.Hour)
	}
	template.BasicConstraintsValid = true
	if parent == nil {
		parent = &authority{cert: template, key: key}
	}
	parent.next++
	template.SerialNumber = big.NewInt(parent.next)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t *testing.T, name string, parent *authority) *authority {
	t.Helper()
	a := &authority{key: ecKey(t), next: 100}
	a.cert = sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, a.key, parent)
	return a
}

// client issues a client's certificate; change may spoil it.
func (a *authority) client(t *testing.T, name string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, EmailAddresses: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	key := ecKey(t)
	leaf := sign(t, template, key, a)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// revoke makes a revocation list.
func (a *authority) revoke(t *testing.T, until time.Time, revoked ...tls.Certificate) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: until}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("X509 CRL", der)
}

func (a *authority) pem() []byte { return encode("CERTIFICATE", a.cert.Raw) }

// put writes a file.
func put(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := write(path, data); err != nil {
		t.Fatal(err)
	}
	return path
}

// issueKey is issue with a key of a kind.
func issueKey(t *testing.T, key crypto.Signer, hosts ...string) Pair {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: strings.Join(hosts, " ")}, DNSNames: hosts,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	cert := sign(t, template, key, nil)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{put(t, "c.pem", encode("CERTIFICATE", cert.Raw)), put(t, "c.key", encode("PRIVATE KEY", private))}
}

// both are the two ends of a finished handshake.
type both struct{ client, server tls.ConnectionState }

// converse shakes hands over a pipe and exchanges one line, so that tickets
// arrive. The server's error comes first, as it says why.
func converse(t *testing.T, server, client *tls.Config) (both, error) {
	t.Helper()
	a, b := testkit.Pipe()
	defer a.Close()
	serving, failed := tls.Server(b, server), make(chan error, 1)
	go func() {
		defer b.Close()
		err := serving.Handshake()
		if err == nil {
			_, err = serving.Write([]byte("+OK"))
		}
		failed <- err
	}()
	if client.RootCAs == nil {
		client.InsecureSkipVerify = true
	}
	conn := tls.Client(a, client)
	_, err := io.ReadFull(conn, make([]byte, 3))
	if err != nil {
		_ = a.Close()
	}
	if why := <-failed; why != nil {
		return both{}, why
	}
	return both{conn.ConnectionState(), serving.ConnectionState()}, err
}
