package pop3server

import (
	"crypto/tls"
	"sync/atomic"
)

// harden returns c with what RFC 8314 §4, RFC 8996 and RFC 9325 ask of a mail
// server: TLS 1.2 or later, AEAD and ephemeral keys only, and the ALPN name of
// POP3, so that a client of another protocol is turned away in the handshake. A
// legacy site says itself which version is the least.
func harden(c *tls.Config, legacy bool) *tls.Config {
	h := hardenOne(c, legacy)
	ask := h.GetConfigForClient
	if ask == nil {
		return h
	}
	// The site gives the same configuration to client after client until its
	// certificate changes: the last one is kept.
	var last atomic.Pointer[[2]*tls.Config]
	h.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := ask(hello)
		if c == nil || err != nil {
			return c, err
		}
		if pair := last.Load(); pair != nil && pair[0] == c {
			return pair[1], nil
		}
		h := hardenOne(c, legacy)
		last.Store(&[2]*tls.Config{c, h})
		return h, nil
	}
	return h
}

func hardenOne(c *tls.Config, legacy bool) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"pop3"}
	if !legacy {
		c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	}
	if c.CipherSuites == nil {
		c.CipherSuites = []uint16{ // of TLS 1.2
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}
	}
	return c
}
