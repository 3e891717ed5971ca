package sasl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

type external struct {
	account func(ctx context.Context, authzid string) (account string, err error)
}

// NewExternal returns the server's side of EXTERNAL (RFC 4422 appendix A).
// account gives the account that the client's channel proves, as
// CertificateAccount does. authzid is the account that the client asks for, or
// empty if it leaves it to the server. The error wraps ErrRefused, or it is an
// outage. A name beyond MaxUser, not in UTF-8 or with control characters does
// not reach account.
func NewExternal(account func(ctx context.Context, authzid string) (account string, err error)) Mechanism {
	return &external{account}
}

func (*external) Name() string { return "EXTERNAL" }

func (m *external) Start() Exchange { return &externalExchange{external: m} }

type externalExchange struct {
	*external
	asked, over bool
}

func (x *externalExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	if x.over {
		return nil, "", errOver()
	}
	if response == nil && !x.asked {
		x.asked = true
		return []byte{}, "", nil
	}
	x.over = true
	authzid := string(response)
	if authzid != "" {
		if err := checkUser(authzid); err != nil {
			return nil, "", err
		}
	}
	account, err = named(x.account(ctx, authzid))
	return nil, account, err
}

// ClientCertificate returns the certificate of the client that the TLS layer
// has verified, or nil: one that was sent but not verified is none.
func ClientCertificate(cs tls.ConnectionState) *x509.Certificate {
	if !cs.HandshakeComplete || len(cs.VerifiedChains) == 0 || len(cs.VerifiedChains[0]) == 0 {
		return nil
	}
	return cs.VerifiedChains[0][0]
}

// maxCertificateNames is how many names of a certificate are looked at.
const maxCertificateNames = 16

// CertificateNames returns the user names that a verified certificate is for:
// its mail addresses (subjectAltName rfc822Name, RFC 5280 §4.2.1.6), the first
// 16, in their canonical spelling. If it has none, and commonName says so, it
// is the common name of its subject. What is not a user name is left out.
func CertificateNames(cert *x509.Certificate, commonName bool) []string {
	if cert == nil {
		return nil
	}
	given := cert.EmailAddresses
	if len(given) == 0 && commonName && cert.Subject.CommonName != "" {
		given = []string{cert.Subject.CommonName}
	}
	var names []string
	for _, g := range given[:min(len(given), maxCertificateNames)] {
		// A name in other letters that look like ours is somebody else's.
		if name, err := PrepareUser(g); err == nil && EqualNames(name, g) {
			names = append(names, name)
		}
	}
	return names
}

// CertificateAccount returns what NewExternal needs for a client whose
// certificate is for names, as CertificateNames gives them. A client that asks
// for an account must ask for one of them; who leaves it to the server gets the
// first that is an account.
func CertificateAccount(accounts Looker, names []string) func(ctx context.Context, authzid string) (account string, err error) {
	return func(ctx context.Context, authzid string) (string, error) {
		asked := canonical(authzid)
		for _, name := range names {
			if authzid != "" && name != asked {
				continue
			}
			account, err := accounts.Lookup(ctx, name)
			if !errors.Is(err, ErrNoUser) {
				return account, err
			}
		}
		return "", fmt.Errorf("sasl: %w: certificate is not for this account", ErrRefused)
	}
}
