package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Pair names the PEM files of a certificate chain and its private key.
type Pair struct{ Cert, Key string }

// Certificates are the certificates of a server. They can be exchanged while
// they are in use.
type Certificates struct {
	current atomic.Pointer[[]tls.Certificate]
	config  *tls.Config
}

// LoadCertificates reads certificates. The first is given to clients that ask
// for no name or for an unknown one. The warnings are about files that can be
// used and should not be so; the error tells all that cannot be used.
func LoadCertificates(pairs []Pair) (c *Certificates, warnings []string, err error) {
	loaded, warnings, err := load(pairs)
	if err != nil {
		return nil, nil, err
	}
	for i := range loaded {
		if expired(&loaded[i]) {
			warnings = append(warnings, expiry(pairs[i], &loaded[i]))
		}
	}
	c = &Certificates{}
	c.current.Store(&loaded)
	c.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Of TLS 1.2 only what has forward secrecy and authenticated
		// encryption (RFC 9325 §4.2). TLS 1.3 has nothing else.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// A client that asks for another protocol is refused (ALPACA).
		NextProtos:     []string{"pop3"},
		GetCertificate: c.pick,
	}
	return c, warnings, nil
}

// Reload reads certificates that take the place of the present ones in new
// handshakes. After an error, and an expired certificate is one, nothing has
// changed.
func (c *Certificates) Reload(pairs []Pair) (warnings []string, err error) {
	loaded, warnings, err := load(pairs)
	if err != nil {
		return nil, err
	}
	for i := range loaded {
		if expired(&loaded[i]) {
			return nil, errors.New("listen: " + expiry(pairs[i], &loaded[i]))
		}
	}
	c.current.Store(&loaded)
	return warnings, nil
}

// Config is the server's TLS configuration. It is the same for the life of c,
// so that tickets of older sessions stay good after a Reload.
func (c *Certificates) Config() *tls.Config { return c.config }

// pick chooses the certificate of a handshake. It keeps nothing about the
// names that clients ask for.
func (c *Certificates) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *c.current.Load()
	if len(all) > 1 && hello.ServerName != "" {
		for i := range all {
			if hello.SupportsCertificate(&all[i]) == nil {
				return &all[i], nil
			}
		}
	}
	return &all[0], nil
}

func load(pairs []Pair) (loaded []tls.Certificate, warnings []string, err error) {
	var failed []error
	for _, p := range pairs {
		cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			failed = append(failed, describe(p, err))
			continue
		}
		loaded = append(loaded, cert)
		// A group may read it: that is how Debian shares keys (ssl-cert).
		if info, err := os.Stat(p.Key); err == nil && info.Mode().Perm()&0o037 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s holds a private key and others may read it (mode %04o): chmod 0600 %[1]s", p.Key, info.Mode().Perm()))
		}
	}
	return loaded, warnings, errors.Join(failed...)
}

// describe says which of the two files is wrong, where that is known.
func describe(p Pair, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("listen: certificate: %w", err) // names the file
	}
	return fmt.Errorf("listen: certificate %s with key %s: %w", p.Cert, p.Key, err)
}

func expired(c *tls.Certificate) bool { return time.Now().After(c.Leaf.NotAfter) }

func expiry(p Pair, c *tls.Certificate) string {
	return fmt.Sprintf("certificate %s expired at %s", p.Cert, c.Leaf.NotAfter.UTC().Format(time.RFC3339))
}
