package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// errNoCertificate ends the handshake of a client that nothing can be shown to.
var errNoCertificate = errors.New("listen: there is no certificate yet")

// Pair names the PEM files of a certificate chain and its private key.
type Pair struct{ Cert, Key string }

// Certificates are the certificates of a server. They can be exchanged while
// they are in use.
type Certificates struct {
	current atomic.Pointer[[]tls.Certificate]
	source  atomic.Pointer[Source]
	tickets tickets
	config  *tls.Config
}

// Source gives certificates that do not come from files, those of ACME for one.
// It gives nil, or an error, where it has none that fits. Where the client asks
// for no name it gives the one that it would show to anybody.
type Source func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// LoadCertificates reads certificates. The first is given to clients that ask
// for no name or for an unknown one, or, to those that cannot use it, one of
// another key type. There may be none where a Source follows. The warnings are
// about files that can be used and should not be so; the error tells all that
// cannot be used.
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
	c.config = c.ConfigFor(Policy{})
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

// SetSource adds a source that is asked where no file's certificate is good for
// the name that a client wants. Nil: none.
func (c *Certificates) SetSource(s Source) {
	if s == nil {
		c.source.Store(nil)
		return
	}
	c.source.Store(&s)
}

// Config is the server's TLS configuration for the zero Policy. It is the same
// for the life of c.
func (c *Certificates) Config() *tls.Config { return c.config }

// pick chooses the certificate of a handshake: one for the name that the client
// asks for, of a kind that the client can use; else the one for everybody. It
// keeps nothing about the names that clients ask for.
func (c *Certificates) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all, source := *c.current.Load(), c.source.Load()
	if source == nil && len(all) == 1 {
		return &all[0], nil
	}
	if hello.ServerName != "" {
		if cert := usable(all, hello); cert != nil {
			return cert, nil
		}
	}
	if source != nil && (hello.ServerName != "" || len(all) == 0) {
		cert, err := (*source)(hello)
		if err == nil && cert != nil && (len(all) == 0 || hello.SupportsCertificate(cert) == nil) {
			return cert, nil
		}
		if len(all) == 0 {
			return nil, errors.Join(errNoCertificate, err)
		}
	}
	return forEverybody(all, hello)
}

// usable gives the first certificate that hello's client can use and that is
// good for the name that it asks for, if any.
func usable(all []tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for i := range all {
		if hello.SupportsCertificate(&all[i]) == nil {
			return &all[i]
		}
	}
	return nil
}

// forEverybody gives the first certificate. A client that cannot use its kind
// of key gets one of the same host, and a client that can use none of these,
// which is an old one and seldom looks at names, gets any that it can use.
func forEverybody(all []tls.Certificate, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(all) == 0 {
		return nil, errNoCertificate
	}
	nameless := *hello
	nameless.ServerName = ""
	if nameless.SupportsCertificate(&all[0]) == nil {
		return &all[0], nil
	}
	for i := range all {
		if sameHost(&all[0], &all[i]) && nameless.SupportsCertificate(&all[i]) == nil {
			return &all[i], nil
		}
	}
	if cert := usable(all, &nameless); cert != nil {
		return cert, nil
	}
	return &all[0], nil // the handshake says what is wrong
}

// sameHost reports whether two certificates share a name.
func sameHost(a, b *tls.Certificate) bool {
	return slices.ContainsFunc(a.Leaf.DNSNames, func(name string) bool { return slices.Contains(b.Leaf.DNSNames, name) })
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
		if len(cert.Leaf.DNSNames)+len(cert.Leaf.IPAddresses) == 0 {
			warnings = append(warnings, p.Cert+" names no host (it has no subjectAltName); clients refuse it, whatever its common name is")
		}
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
