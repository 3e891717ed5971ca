package listen

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// revokedCertificate names a certificate by the key of its issuer, which says
// more than the issuer's name, and by its number.
type revokedCertificate struct{ issuerKey, serial string }

// readRevoked reads revocation lists that are signed by all. The warnings tell
// of lists that are out of date: they are used, as a certificate that was
// revoked stays so.
func (a *authorities) readRevoked(name string, all []*x509.Certificate) (warnings []string, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("listen: revocation list: %w", err)
	}
	lists, err := revocationLists(data)
	if err != nil {
		return nil, fmt.Errorf("listen: revocation list %s: %w", name, err)
	}
	a.revoked = make(map[revokedCertificate]bool)
	for _, l := range lists {
		if err := a.add(l, all); err != nil {
			return nil, fmt.Errorf("listen: revocation list %s: of %q: %w", name, l.Issuer, err)
		}
		if !l.NextUpdate.IsZero() && time.Now().After(l.NextUpdate) {
			warnings = append(warnings, fmt.Sprintf("%s: the revocation list of %q should have been renewed at %s",
				name, l.Issuer, l.NextUpdate.UTC().Format(time.RFC3339)))
		}
	}
	return warnings, nil
}

func revocationLists(data []byte) ([]*x509.RevocationList, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		l, err := x509.ParseRevocationList(data)
		return []*x509.RevocationList{l}, err
	}
	var lists []*x509.RevocationList
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("it holds a %q", block.Type)
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 || bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, errors.New("it is cut off or damaged")
	}
	return lists, nil
}

// add takes a list up. What it says in critical extensions would have to be
// understood: delta lists, lists for others' certificates (RFC 5280 §5.2).
func (a *authorities) add(l *x509.RevocationList, all []*x509.Certificate) error {
	for _, e := range l.Extensions {
		if e.Critical {
			return fmt.Errorf("it has the critical extension %s; give a whole list of one authority's certificates", e.Id)
		}
	}
	issuer, err := signer(l, all)
	if err != nil {
		return err
	}
	for _, e := range l.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return fmt.Errorf("an entry has the critical extension %s", x.Id)
			}
		}
		a.revoked[revokedCertificate{string(issuer.RawSubjectPublicKeyInfo), e.SerialNumber.String()}] = true
	}
	return nil
}

// signer finds the authority that has signed a list.
func signer(l *x509.RevocationList, all []*x509.Certificate) (*x509.Certificate, error) {
	failed := errors.New("no authority of clients has that name")
	for _, ca := range all {
		if !bytes.Equal(ca.RawSubject, l.RawIssuer) {
			continue
		}
		err := l.CheckSignatureFrom(ca)
		if err == nil {
			return ca, nil
		}
		failed = err
	}
	return nil, fmt.Errorf("it is not signed by one of the authorities of clients: %w", failed)
}

// isRevoked reports whether a certificate of a chain has been revoked by the
// one that follows it.
func (a *authorities) isRevoked(chain []*x509.Certificate) bool {
	for i := range len(chain) - 1 {
		if a.revoked[revokedCertificate{string(chain[i+1].RawSubjectPublicKeyInfo), chain[i].SerialNumber.String()}] {
			return true
		}
	}
	return false
}
