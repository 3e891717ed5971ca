//go:build linux

package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates names the PEM files of a test authority and of the server
// certificate that it has signed for [Host] and 127.0.0.1.
type Certificates struct {
	Authority string // what clients trust
	Stranger  string // an authority that has signed nothing
	Cert, Key string // the server's, ECDSA P-256
}

func newCertificates(dir string) (Certificates, error) {
	c := Certificates{
		Authority: filepath.Join(dir, "authority.pem"),
		Stranger:  filepath.Join(dir, "stranger.pem"),
		Cert:      filepath.Join(dir, "server.pem"),
		Key:       filepath.Join(dir, "server.key"),
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return c, err
	}
	authority, key, err := newAuthority(c.Authority, "Test authority")
	if err != nil {
		return c, err
	}
	if _, _, err := newAuthority(c.Stranger, "Another authority"); err != nil {
		return c, err
	}
	return c, c.issue(authority, key)
}

func newAuthority(path, name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := certificate(name)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	return cert, key, writePEM(path, "CERTIFICATE", der, 0o644)
}

func (c Certificates) issue(authority *x509.Certificate, signer *ecdsa.PrivateKey) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := certificate(Host)
	t.DNSNames = []string{Host}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, authority, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	if err := writePEM(c.Cert, "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(c.Key, "PRIVATE KEY", pkcs8, 0o600); err != nil {
		return err
	}
	return os.Chown(c.Key, MailID, MailID)
}

func certificate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		serial = big.NewInt(time.Now().UnixNano())
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
	}
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// Client gives a configuration that trusts the test authority and makes a full
// TLS 1.3 handshake for every connection.
func (c Certificates) Client() (*tls.Config, error) {
	data, err := os.ReadFile(c.Authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data)
	return &tls.Config{ServerName: Host, RootCAs: roots, MinVersion: tls.VersionTLS13,
		SessionTicketsDisabled: true, CurvePreferences: []tls.CurveID{tls.X25519}}, nil
}
