package listen

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// relax takes c back to TLS 1.0. Everything is named: what is named here holds
// whatever the defaults of the Go release are (tls10server, tlsrsakex and
// tls3des of GODEBUG are about configurations that name nothing). RC4 stays
// away (RFC 7465), and so do the suites of CBC with SHA-256, which give no old
// client more than CBC with SHA-1 does. Newer clients still get TLS 1.3.
func relax(c *tls.Config) {
	c.MinVersion = tls.VersionTLS10
	c.CipherSuites = append(strictSuites(),
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
	)
}

// CheckLegacyPairs reports an error unless one of the certificates has an RSA
// key, which old machines need: RSA key exchange decrypts with it.
func CheckLegacyPairs(pairs []Pair) error {
	loaded, _, err := load(pairs)
	if err != nil {
		return err
	}
	for i := range loaded {
		if _, ok := loaded[i].Leaf.PublicKey.(*rsa.PublicKey); ok {
			return nil
		}
	}
	if len(pairs) == 0 {
		return errors.New("listen: legacy needs a certificate with an RSA key, and there is none in files; name one by tls.cert or [[tls.certificate]]")
	}
	return fmt.Errorf("listen: legacy needs a certificate with an RSA key, and %s has none of that kind (%s); "+
		"add one with a [[tls.certificate]], newer clients will still get the other", pairs[0].Cert, loaded[0].Leaf.PublicKeyAlgorithm)
}

// CheckLegacyAddress refuses to speak TLS 1.0 at a public address. address is
// host:port, as in the configuration or of an open socket; public says that the
// operator wants it also there.
func CheckLegacyAddress(address string, public bool) error {
	if public || !publicAddress(address) {
		return nil
	}
	return fmt.Errorf("listen: %s: legacy lets clients use TLS 1.0 and RSA key exchange, which others can break, and this address may be public; "+
		"listen at a private address such as 192.168.1.2:995, or write legacy_public = true beside it", address)
}

// publicAddress reports whether strangers might reach a listener at address. A
// name, which may come to mean another address, is taken for public; localhost
// is not. So is a host that is not given, as it means all addresses.
func publicAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true
	}
	if host == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || Public(ip)
}

// Public reports whether an address is not plainly one of this machine or of a
// private network: loopback, RFC 1918, RFC 4193, link-local, or shared address
// space (RFC 6598). The unspecified address, which stands for all, is public.
func Public(ip netip.Addr) bool {
	ip = ip.Unmap()
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	return !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !shared.Contains(ip)
}
