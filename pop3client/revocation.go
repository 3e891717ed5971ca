package pop3client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// checkRevoked refuses a server by what it says of its own certificate: an
// answer of the authority that it is revoked, in the handshake (RFC 6066 §8), or
// none where the certificate demands one (RFC 7633). The authority is not asked,
// which would tell it who reads mail where. An answer that is no good proves
// nothing, and an expired one that revokes still does: revocation is for ever.
func checkRevoked(cs tls.ConnectionState) error {
	if len(cs.VerifiedChains) == 0 || len(cs.VerifiedChains[0]) < 2 {
		return nil // nobody verified it, or it is trusted as it is
	}
	leaf, issuer := cs.VerifiedChains[0][0], cs.VerifiedChains[0][1]
	answer, err := ocsp.ParseResponseForCert(cs.OCSPResponse, leaf, issuer)
	switch {
	case err == nil && answer.Status == ocsp.Revoked:
		return fmt.Errorf("%w on %s", ErrRevoked, answer.RevokedAt.UTC().Format(time.DateOnly))
	case err == nil && answer.Status == ocsp.Good && time.Now().Before(answer.NextUpdate):
		return nil
	case demandsStaple(leaf):
		return fmt.Errorf("%w, or at least not proved not to be: it demands an answer by OCSP in the handshake", ErrRevoked)
	}
	return nil
}

// demandsStaple reports whether a certificate has the TLS feature of an OCSP
// answer, status_request (RFC 7633 §4).
func demandsStaple(c *x509.Certificate) bool {
	const statusRequest = 5
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			continue
		}
		var features []int
		rest, err := asn1.Unmarshal(e.Value, &features)
		return err != nil || len(rest) > 0 || slices.Contains(features, statusRequest)
	}
	return false
}
