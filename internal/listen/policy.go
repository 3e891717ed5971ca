package listen

import (
	"crypto/tls"
	"sync/atomic"
)

// Policy is how a listener speaks TLS. The zero Policy is the ordinary one.
type Policy struct {
	// Clients verify the certificates of clients, for SASL EXTERNAL. A client
	// need not have one; one that is shown must be good. Nil: none is asked for.
	Clients *Clients
	// Legacy takes what machines of before 2008 speak: TLS 1.0, RSA key
	// exchange and 3DES. It needs an RSA certificate (CheckLegacyPairs).
	Legacy bool
}

// ConfigFor is the TLS configuration of a listener. Whatever is exchanged later,
// in c or in the Clients of p, it follows. All configurations of c share their
// session tickets where the policies are equal.
func (c *Certificates) ConfigFor(p Policy) *tls.Config {
	base, rules := c.base(), "strict"
	if p.Legacy {
		relax(base)
		rules = "legacy"
	}
	c.tickets.use(base, rules)
	if p.Clients == nil {
		return base
	}
	// What verifies clients is fixed for each handshake and can be exchanged
	// between two: a tls.Config for each state, the last one kept.
	type made struct {
		of     *authorities
		config *tls.Config
	}
	var last atomic.Pointer[made]
	asking := base.Clone()
	asking.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := p.Clients.current.Load()
		if m := last.Load(); m != nil && m.of == now {
			return m.config, nil
		}
		config := base.Clone()
		config.ClientAuth = tls.VerifyClientCertIfGiven
		config.ClientCAs = now.pool
		config.VerifyConnection = now.verify
		c.tickets.use(config, rules+" "+now.digest)
		last.Store(&made{now, config})
		return config, nil
	}
	return asking
}

// base is what all configurations have.
func (c *Certificates) base() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: strictSuites(),
		// A client that asks for another protocol is refused (ALPACA).
		NextProtos:     []string{"pop3"},
		GetCertificate: c.pick,
	}
}

// strictSuites are of TLS 1.2 only those that have forward secrecy and
// authenticated encryption (RFC 9325 §4.2). TLS 1.3 has nothing else.
func strictSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}
