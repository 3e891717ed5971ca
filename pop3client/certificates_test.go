package pop3client_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// What a refusal gives as its reason.
const (
	accepted    = ""
	otherHost   = "the name"
	unknown     = "the authority"
	wrongTime   = "the time"
	noAuthority = "an issuer that is no authority"
	tooLong     = "the path length"
	constraint  = "a name constraint"
	wrongUse    = "the extended key usage"
	weak        = "a weak signature"
	critical    = "a critical extension"
	revoked     = "its revocation"
	malformed   = "the encoding"
)

// reason is what err, a refusal of the server host, gives as its reason.
func reason(err error, host string) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var extension x509.UnhandledCriticalExtension
	text := err.Error()
	switch {
	case errors.As(err, &name) && name.Host == host:
		return otherHost
	case errors.As(err, &authority) && strings.Contains(text, "insecure algorithm ECDSA-SHA1"):
		return weak
	case errors.As(err, &authority) && strings.Contains(text, "parent certificate cannot sign"):
		return noAuthority
	case errors.As(err, &authority):
		return unknown
	case errors.As(err, &extension):
		return critical
	case errors.Is(err, pop3client.ErrRevoked):
		return revoked
	case errors.As(err, &invalid):
		return reasons[invalid.Reason]
	case strings.Contains(text, "failed to parse certificate") && strings.Contains(text, "malformed"):
		return malformed
	}
	return "nothing known"
}

// reasons are those of crypto/x509.
var reasons = map[x509.InvalidReason]string{
	x509.Expired:                    wrongTime,
	x509.NotAuthorizedToSign:        noAuthority,
	x509.TooManyIntermediates:       tooLong,
	x509.CANotAuthorizedForThisName: constraint,
	x509.IncompatibleUsage:          wrongUse,
}

// signed is a certificate with its key.
type signed struct {
	*x509.Certificate
	key    crypto.Signer
	staple []byte // an OCSP answer that the server sends with it
}

// forge makes certificates. Its root is the one that the client trusts, unless
// a case trusts another, and has signed the intermediate.
type forge struct {
	t                           *testing.T
	serial                      int64
	root, intermediate, trusted *signed
}

func newForge(t *testing.T) *forge {
	f := &forge{t: t}
	f.root = f.issue(nil, authority("root"))
	f.intermediate = f.issue(f.root, authority("intermediate"))
	f.trusted = f.root
	return f
}

// issue makes a certificate that by signs, or itself if by is nil.
func (f *forge) issue(by *signed, changes ...func(*x509.Certificate)) *signed {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	f.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(f.serial),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, change := range changes {
		change(template)
	}
	if by == nil {
		by = &signed{Certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		f.t.Fatal(err)
	}
	// Some are malformed: the raw octets are what is sent, and the template
	// is what signs others.
	template.Raw = der
	if parsed, err := x509.ParseCertificate(der); err == nil {
		template = parsed
	}
	return &signed{Certificate: template, key: key}
}

// server makes a server's certificate that the intermediate signs, with it.
func (f *forge) server(changes ...func(*x509.Certificate)) []*signed {
	return []*signed{f.issue(f.intermediate, changes...), f.intermediate}
}

// below makes a certificate for mail.example.org that an authority signs, which
// the root signs, with both.
func (f *forge) below(changes ...func(*x509.Certificate)) []*signed {
	a := f.issue(f.root, append([]func(*x509.Certificate){authority("another")}, changes...)...)
	return []*signed{f.issue(a, names("mail.example.org")), a}
}

// trust makes s what the client trusts.
func (f *forge) trust(s *signed) []*signed {
	f.trusted = s
	return []*signed{s}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
	}
}

// names are subjectAltNames of DNS.
func names(dns ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = dns }
}

func addresses(ips ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, ip := range ips {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(ip))
		}
	}
}

// subject is the common name, which is no name of a server (RFC 7817 §3).
func subject(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
}

func valid(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
}

func usage(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

// rawName is a DNS name that crypto/x509 does not write: it is not ASCII.
func rawName(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		value, _ := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(name)}})
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value})
	}
}

func named(dns ...string) func(*forge) []*signed {
	return func(f *forge) []*signed { return f.server(names(dns...)) }
}

func at(ips ...string) func(*forge) []*signed {
	return func(f *forge) []*signed { return f.server(addresses(ips...)) }
}

const here = "mail.example.org"

// chains are what servers send, and what a client has to think of it (RFC 5280
// §6, RFC 6125 §6, RFC 7817 §3).
var chains = []struct {
	name, host string
	send       func(*forge) []*signed
	want       string
}{
	// Names.
	{"right name", here, named(here), accepted},
	{"right name, second of three", here, named("a.example.org", here, "b.example.org"), accepted},
	{"right name in another case", "MAIL.example.ORG", named("mail.EXAMPLE.org"), accepted},
	{"trailing dot of the host", here + ".", named(here), accepted},
	{"trailing dot of another host", here + ".", named("other.example.org"), otherHost},
	{"wrong name", here, named("other.example.org"), otherHost},
	{"right name as a prefix", here, named(here + ".evil.example"), otherHost},
	{"right name as a suffix", here, named("evil" + here), otherHost},
	{"parent domain", here, named("example.org"), otherHost},
	{"no name at all", here, named(), otherHost},
	{"common name alone", here, func(f *forge) []*signed { return f.server(subject(here)) }, otherHost},
	{"common name, and another host's name", here, func(f *forge) []*signed {
		return f.server(subject(here), names("other.example.org"))
	}, otherHost},
	{"right name, and another host's common name", here, func(f *forge) []*signed {
		return f.server(subject("other.example.org"), names(here))
	}, accepted},
	{"NUL in the name", here, named(here + "\x00.evil.example"), otherHost},
	{"NUL after the name", here, named(here + "\x00"), otherHost},
	{"mail addresses", here, func(f *forge) []*signed {
		return f.server(func(c *x509.Certificate) { c.EmailAddresses = []string{here, "alice@" + here} })
	}, otherHost},

	// Wildcards.
	{"wildcard", here, named("*.example.org"), accepted},
	{"wildcard, two labels deep", "a.mail.example.org", named("*.example.org"), otherHost},
	{"wildcard, bare domain", "example.org", named("*.example.org"), otherHost},
	{"wildcard for a part of a label", here, named("m*.example.org"), otherHost},
	{"wildcard for the end of a label", here, named("*l.example.org"), otherHost},
	{"wildcard in the middle", here, named("mail.*.org"), otherHost},
	{"wildcard for two labels", here, named("*.*.org"), otherHost},
	{"wildcard of another domain", here, named("*.example.com"), otherHost},
	{"wildcard alone", here, named("*"), otherHost},
	{"wildcard for an address", "192.0.2.7", named("*.0.2.7"), otherHost},

	// Addresses.
	{"right address", "192.0.2.7", at("192.0.2.7"), accepted},
	{"right address, IPv6", "2001:db8::7", at("2001:db8:0::7"), accepted},
	{"wrong address", "192.0.2.7", at("192.0.2.8"), otherHost},
	{"address as a DNS name", "192.0.2.7", named("192.0.2.7"), otherHost},
	{"address as the common name", "192.0.2.7", func(f *forge) []*signed { return f.server(subject("192.0.2.7")) }, otherHost},
	{"address for a name", here, at("192.0.2.7"), otherHost},

	// Names that are not ASCII.
	{"A-label", "xn--bcher-kva.example", named("xn--bcher-kva.example"), accepted},
	{"U-label in the certificate", "xn--bcher-kva.example", func(f *forge) []*signed { return f.server(rawName("bücher.example")) }, malformed},
	{"U-label in both", "bücher.example", func(f *forge) []*signed { return f.server(rawName("bücher.example")) }, malformed},
	{"wildcard inside an A-label", "xn--bcher-kva.example", named("xn--*.example"), otherHost},
	{"Kelvin sign for a k", "kiosk.example", func(f *forge) []*signed { return f.server(rawName("\u212aiosk.example")) }, malformed},

	// Time.
	{"expired", here, func(f *forge) []*signed { return f.server(names(here), valid(-time.Hour, -time.Minute)) }, wrongTime},
	{"not yet valid", here, func(f *forge) []*signed { return f.server(names(here), valid(time.Minute, time.Hour)) }, wrongTime},
	{"intermediate expired", here, func(f *forge) []*signed { return f.below(valid(-time.Hour, -time.Minute)) }, wrongTime},
	{"root expired", here, func(f *forge) []*signed {
		f.trusted = f.issue(nil, authority("old"), valid(-time.Hour, -time.Minute))
		return []*signed{f.issue(f.trusted, names(here))}
	}, wrongTime},

	// Authorities.
	{"signed by the root", here, func(f *forge) []*signed { return []*signed{f.issue(f.root, names(here))} }, accepted},
	{"self-signed", here, func(f *forge) []*signed { return []*signed{f.issue(nil, names(here))} }, unknown},
	{"self-signed and trusted", here, func(f *forge) []*signed { return f.trust(f.issue(nil, names(here))) }, accepted},
	{"self-signed, trusted, wrong name", here, func(f *forge) []*signed {
		return f.trust(f.issue(nil, names("other.example.org")))
	}, otherHost},
	{"self-signed, trusted, expired", here, func(f *forge) []*signed {
		return f.trust(f.issue(nil, names(here), valid(-time.Hour, -time.Minute)))
	}, wrongTime},
	{"unknown authority", here, func(f *forge) []*signed {
		a := f.issue(nil, authority("elsewhere"))
		return []*signed{f.issue(a, names(here)), a}
	}, unknown},
	{"unknown authority with the root's name", here, func(f *forge) []*signed {
		a := f.issue(nil, authority("root"))
		return []*signed{f.issue(a, names(here)), a, f.root}
	}, unknown},
	{"missing intermediate", here, func(f *forge) []*signed { return f.server(names(here))[:1] }, unknown},
	{"odd order, with strangers", here, func(f *forge) []*signed {
		low := f.issue(f.intermediate, authority("low"))
		stranger := f.issue(nil, authority("elsewhere"))
		return []*signed{f.issue(low, names(here)), f.root, stranger, f.intermediate, low, low}
	}, accepted},
	{"good certificate second", here, func(f *forge) []*signed {
		return append([]*signed{f.issue(nil, subject("evil.example"), names(here))}, f.server(names(here))...)
	}, unknown},
	{"intermediate is a server's certificate", here, func(f *forge) []*signed {
		host := f.issue(f.root, subject("evil.example"), names("evil.example"))
		return []*signed{f.issue(host, names(here)), host}
	}, noAuthority},
	{"intermediate says that it is no authority", here, func(f *forge) []*signed {
		return f.below(func(c *x509.Certificate) { c.IsCA = false })
	}, noAuthority},
	{"path length kept", here, func(f *forge) []*signed {
		return f.below(func(c *x509.Certificate) { c.MaxPathLenZero = true })
	}, accepted},
	{"path length exceeded", here, func(f *forge) []*signed {
		short := f.issue(f.root, authority("short"), func(c *x509.Certificate) { c.MaxPathLenZero = true })
		low := f.issue(short, authority("low"))
		return []*signed{f.issue(low, names(here)), low, short}
	}, tooLong},

	// What an authority may sign, and how.
	{"name permitted", here, func(f *forge) []*signed {
		return f.below(func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
		})
	}, accepted},
	{"name not permitted", here, func(f *forge) []*signed {
		return f.below(func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
		})
	}, constraint},
	{"name excluded", here, func(f *forge) []*signed {
		return f.below(func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"example.org"} })
	}, constraint},
	{"for clients only", here, func(f *forge) []*signed {
		return f.server(names(here), usage(x509.ExtKeyUsageClientAuth))
	}, wrongUse},
	{"for clients and servers", here, func(f *forge) []*signed {
		return f.server(names(here), usage(x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth))
	}, accepted},
	{"authority for mail only", here, func(f *forge) []*signed {
		return f.below(usage(x509.ExtKeyUsageEmailProtection))
	}, wrongUse},
	{"signature by SHA-1", here, func(f *forge) []*signed {
		return f.server(names(here), func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })
	}, weak},
	{"signature changed", here, func(f *forge) []*signed {
		chain := f.server(names(here))
		raw := slices.Clone(chain[0].Raw)
		raw[len(raw)-1] ^= 1
		chain[0].Raw = raw
		return chain
	}, unknown},
	{"critical extension that nobody knows", here, func(f *forge) []*signed {
		return f.server(names(here), func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 1}, Critical: true, Value: []byte{5, 0}}}
		})
	}, critical},

	// Revocation: what the authority answers, sent in the handshake.
	{"stapled: good", here, stapled(ocsp.Response{Status: ocsp.Good}), accepted},
	{"stapled: revoked", here, stapled(ocsp.Response{Status: ocsp.Revoked}), revoked},
	{"stapled: revoked, of yesterday", here, stapled(ocsp.Response{Status: ocsp.Revoked, ThisUpdate: time.Unix(1, 0), NextUpdate: time.Unix(2, 0)}), revoked},
	{"stapled: unknown", here, stapled(ocsp.Response{Status: ocsp.Unknown}), accepted},
	{"stapled: nonsense", here, func(f *forge) []*signed {
		chain := f.server(names(here))
		chain[0].staple = []byte("nonsense")
		return chain
	}, accepted},
	{"stapled: another authority revokes", here, func(f *forge) []*signed {
		chain := f.server(names(here))
		chain[0].staple = f.answer(f.issue(nil, authority("elsewhere")), chain[0], ocsp.Response{Status: ocsp.Revoked})
		return chain
	}, accepted},
	{"stapled: another certificate is revoked", here, func(f *forge) []*signed {
		chain := f.server(names(here))
		chain[0].staple = f.answer(f.intermediate, f.issue(f.intermediate, names(here)), ocsp.Response{Status: ocsp.Revoked})
		return chain
	}, accepted},
	{"staple demanded and there", here, stapled(ocsp.Response{Status: ocsp.Good}, demandsStaple), accepted},
	{"staple demanded and missing", here, func(f *forge) []*signed { return f.server(names(here), demandsStaple) }, revoked},
	{"staple demanded, and it is unknown", here, stapled(ocsp.Response{Status: ocsp.Unknown}, demandsStaple), revoked},
	{"staple demanded, and it is of yesterday", here, stapled(ocsp.Response{Status: ocsp.Good, ThisUpdate: time.Unix(1, 0), NextUpdate: time.Unix(2, 0)}, demandsStaple), revoked},
}

// demandsStaple is the TLS feature of an OCSP answer (RFC 7633).
func demandsStaple(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}})
}

// stapled is a server's chain with what the authority answers about it.
func stapled(answer ocsp.Response, changes ...func(*x509.Certificate)) func(*forge) []*signed {
	return func(f *forge) []*signed {
		chain := f.server(append(changes, names(here))...)
		chain[0].staple = f.answer(f.intermediate, chain[0], answer)
		return chain
	}
}

// answer is what by answers about a certificate, from now on if it says no time.
func (f *forge) answer(by, about *signed, answer ocsp.Response) []byte {
	f.t.Helper()
	answer.SerialNumber = about.SerialNumber
	if answer.ThisUpdate.IsZero() {
		answer.ThisUpdate, answer.NextUpdate = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	}
	text, err := ocsp.CreateResponse(by.Certificate, by.Certificate, answer, by.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// witness is a server that keeps what it is sent: all of it, and what came
// inside TLS.
type witness struct {
	net.Conn
	raw, inside bytes.Buffer
}

func (w *witness) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.raw.Write(p[:n])
	return n, err
}

// serve is the server: it consents to everything.
func (w *witness) serve(s pop3client.Security, certificate tls.Certificate) {
	defer w.Close()
	if s == pop3client.STLS {
		w.consent(w, w)
	}
	inside := tls.Server(w, &tls.Config{Certificates: []tls.Certificate{certificate}})
	if inside.Handshake() == nil {
		w.consent(io.TeeReader(inside, &w.inside), inside)
	}
}

// consent answers commands up to STLS. Inside TLS there is no greeting after
// it, but one that is implicit.
func (w *witness) consent(r io.Reader, out io.Writer) {
	if !strings.Contains(w.raw.String(), "STLS\r\n") {
		io.WriteString(out, "+OK\r\n")
	}
	for in := bufio.NewScanner(r); in.Scan(); {
		switch in.Text() {
		case "CAPA":
			io.WriteString(out, "+OK\r\nSTLS\r\nUSER\r\n.\r\n")
		default:
			io.WriteString(out, "+OK\r\n")
		}
		if in.Text() == "STLS" {
			return
		}
	}
}

// ways are those to TLS. Each one ends with a client that may be given a
// password, or an error and perhaps such a client all the same.
var ways = map[string]struct {
	security pop3client.Security
	open     func(context.Context, net.Conn, string, *tls.Config) (*pop3client.Client, error)
}{
	"Dial, TLS":  {pop3client.TLS, dialed(pop3client.TLS)},
	"Dial, STLS": {pop3client.STLS, dialed(pop3client.STLS)},
	"New, TLS": {pop3client.TLS, func(ctx context.Context, conn net.Conn, host string, c *tls.Config) (*pop3client.Client, error) {
		c.ServerName = host
		return pop3client.New(ctx, tls.Client(conn, c), pop3client.Options{})
	}},
	"New, STLS": {pop3client.STLS, func(ctx context.Context, conn net.Conn, host string, c *tls.Config) (*pop3client.Client, error) {
		c.ServerName = host
		client, err := pop3client.New(ctx, conn, pop3client.Options{TLS: c})
		if err == nil {
			err = client.STLS(ctx)
		}
		return client, err
	}},
}

func dialed(s pop3client.Security) func(context.Context, net.Conn, string, *tls.Config) (*pop3client.Client, error) {
	return func(ctx context.Context, conn net.Conn, host string, c *tls.Config) (*pop3client.Client, error) {
		given := false
		return pop3client.Dial(ctx, net.JoinHostPort(host, "995"), s, pop3client.Options{
			TLS: c,
			Dialer: dialFunc(func(context.Context) (net.Conn, error) {
				if given {
					return nil, errors.New("dialled again")
				}
				given = true
				return conn, nil
			}),
		})
	}
}

// A server without a good certificate gets nothing of a password (RFC 7817 §3,
// RFC 8314 §5.1), even if the caller goes on after the error and would sign in
// in clear text.
func TestCertificates(t *testing.T) {
	t.Parallel()
	for _, c := range chains {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for way, w := range ways {
				synctest.Test(t, func(t *testing.T) {
					f := newForge(t)
					certificate, pool := tls.Certificate{}, x509.NewCertPool()
					for _, s := range c.send(f) {
						if certificate.PrivateKey == nil {
							certificate.PrivateKey, certificate.OCSPStaple = s.key, s.staple
						}
						certificate.Certificate = append(certificate.Certificate, s.Raw)
					}
					pool.AddCert(f.trusted.Certificate)
					conn, peer := testkit.Pipe()
					server := &witness{Conn: peer}
					done := make(chan struct{})
					go func() { defer close(done); server.serve(w.security, certificate) }()

					client, err := w.open(t.Context(), conn, c.host, &tls.Config{RootCAs: pool})
					var signed error
					if client != nil {
						signed = client.SignIn(t.Context(), pop3client.Credentials{User: "alice", Password: "secret", Plaintext: true})
						client.Close()
					}
					conn.Close()
					<-done
					if c.want == accepted {
						server.expectPassword(t, way, errors.Join(err, signed))
						return
					}
					if client != nil && !errors.Is(signed, pop3client.ErrBroken) {
						t.Errorf("%s: signing in after the refusal: %v, want ErrBroken", way, signed)
					}
					server.expectNothing(t, way, w.security)
					expectRefusal(t, way, err, c.want, c.host)
				})
			}
		})
	}
}

func (w *witness) expectPassword(t *testing.T, way string, err error) {
	t.Helper()
	if got := w.inside.String(); err != nil || !strings.HasSuffix(got, "USER alice\r\nPASS secret\r\n") {
		t.Errorf("%s: refused: %v; the server got %q", way, err, got)
	}
}

// expectNothing: in clear text there were at most the commands before TLS, and
// inside TLS nothing.
func (w *witness) expectNothing(t *testing.T, way string, s pop3client.Security) {
	t.Helper()
	if w.inside.Len() > 0 {
		t.Errorf("%s: the server got %q inside TLS", way, w.inside.String())
	}
	before, raw := "", w.raw.String()
	if s == pop3client.STLS {
		before = "CAPA\r\nSTLS\r\n"
	}
	if !strings.HasPrefix(raw, before+"\x16\x03") { // a ClientHello
		t.Errorf("%s: the server got %.40q, want %q and TLS", way, raw, before)
	}
	for _, secret := range []string{"USER", "PASS", "AUTH", "alice", "secret"} {
		if strings.Contains(raw, secret) {
			t.Errorf("%s: the server got %s in %q", way, secret, raw)
		}
	}
}

func expectRefusal(t *testing.T, way string, err error, want, host string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted, want a refusal for %s", way, want)
		return
	}
	if got := reason(err, host); got != want || !strings.HasPrefix(err.Error(), "pop3client: TLS handshake: ") {
		t.Errorf("%s: refused for %s, want %s: %v", way, got, want, err)
	}
}

// A client that was told no name cannot compare any, and so refuses.
func TestCertificateWithoutHost(t *testing.T) {
	t.Parallel()
	for way, open := range map[string]func(context.Context, net.Conn, *tls.Config) error{
		"TLS": func(ctx context.Context, conn net.Conn, c *tls.Config) error {
			_, err := pop3client.New(ctx, tls.Client(conn, c), pop3client.Options{})
			return err
		},
		"STLS": func(ctx context.Context, conn net.Conn, c *tls.Config) error {
			client, err := pop3client.New(ctx, conn, pop3client.Options{TLS: c})
			if err != nil {
				return err
			}
			defer client.Close()
			return client.STLS(ctx)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			certificate, pool := testkit.Certificate(t)
			conn, peer := testkit.Pipe()
			server := &witness{Conn: peer}
			done := make(chan struct{})
			go func() {
				defer close(done)
				server.serve(map[string]pop3client.Security{"TLS": pop3client.TLS, "STLS": pop3client.STLS}[way], certificate)
			}()
			err := open(t.Context(), conn, &tls.Config{RootCAs: pool})
			conn.Close()
			<-done
			if err == nil || !strings.Contains(err.Error(), "ServerName") || server.inside.Len() > 0 {
				t.Errorf("%s: %v; the server got %q", way, err, server.inside.String())
			}
		})
	}
}
