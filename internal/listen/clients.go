package listen

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// maxChain is how many certificates a client may send, and how many may lie
// between it and the root. They travel in its session tickets.
const (
	maxChain      = 5
	maxChainBytes = 16 << 10
)

// ClientFiles are the files that client certificates are verified with.
type ClientFiles struct {
	// CA holds the certificates, in PEM, of the authorities whose clients may
	// come. It is required.
	CA string
	// CRL holds the revocation lists of these authorities: PEM, one after the
	// other, or a single one in DER. Each must be signed by a certificate in
	// CA. Empty: nothing is revoked.
	CRL string
}

// Clients verify the certificates of clients. They can be exchanged while they
// are in use.
type Clients struct{ current atomic.Pointer[authorities] }

// authorities is one state of the files.
type authorities struct {
	pool    *x509.CertPool
	digest  string // of the certificates: sessions begin anew where it changes
	revoked map[revokedCertificate]bool
}

// LoadClients reads the files. The warnings are about what can be used and
// should not be so.
func LoadClients(f ClientFiles) (c *Clients, warnings []string, err error) {
	c = &Clients{}
	warnings, err = c.Reload(f)
	if err != nil {
		return nil, nil, err
	}
	return c, warnings, nil
}

// Reload reads files that take the place of the present ones in new handshakes,
// resumed sessions among them. After an error nothing has changed.
func (c *Clients) Reload(f ClientFiles) (warnings []string, err error) {
	all, err := readAuthorities(f.CA)
	if err != nil {
		return nil, err
	}
	now := &authorities{pool: x509.NewCertPool()}
	digest, valid := sha256.New(), 0
	for _, ca := range all {
		now.pool.AddCert(ca)
		digest.Write(ca.Raw)
		if time.Now().After(ca.NotAfter) {
			warnings = append(warnings, fmt.Sprintf("%s: the certificate of %q expired at %s; its clients are refused",
				f.CA, ca.Subject, ca.NotAfter.UTC().Format(time.RFC3339)))
			continue
		}
		valid++
	}
	if valid == 0 {
		return nil, fmt.Errorf("listen: client certificates: all of %s have expired", f.CA)
	}
	now.digest = hex.EncodeToString(digest.Sum(nil))
	if f.CRL != "" {
		stale, err := now.readRevoked(f.CRL, all)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, stale...)
	}
	c.current.Store(now)
	return warnings, nil
}

// readAuthorities reads the certificates of a file. A certificate that cannot
// sign others is a mistake: it would let in itself only.
func readAuthorities(name string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("listen: client certificates: %w", err)
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("listen: client certificates: %s holds a %q; only the certificates of authorities belong there", name, block.Type)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("listen: client certificates: %s: certificate %d: %w", name, len(all)+1, err)
		}
		if !ca.IsCA {
			return nil, fmt.Errorf("listen: client certificates: %s: %q is no authority (its basic constraints do not say CA)", name, ca.Subject)
		}
		all = append(all, ca)
	}
	if len(all) == 0 || len(bytes.TrimSpace(data)) > 0 && bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("listen: client certificates: %s is not made of certificates in PEM", name)
	}
	return all, nil
}

// verify is asked at the end of each handshake, when the certificate has been
// verified, and of each resumed session.
func (a *authorities) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	size := 0
	for _, c := range s.PeerCertificates {
		size += len(c.Raw)
	}
	if len(s.PeerCertificates) > maxChain || size > maxChainBytes {
		return errors.New("listen: the client's certificate chain is too long")
	}
	for _, chain := range s.VerifiedChains {
		if len(chain) <= maxChain+1 && !a.isRevoked(chain) {
			return nil
		}
	}
	return errors.New("listen: the client's certificate has been revoked, or its chain is too long")
}
