package sasl_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/sasl"
)

// register is a source of names that notes what it was asked.
type register struct {
	names []string
	err   error
	asked []string
}

func (r *register) Lookup(_ context.Context, name string) (string, error) {
	r.asked = append(r.asked, name)
	switch {
	case r.err != nil:
		return "", r.err
	case slices.Contains(r.names, name):
		return "account-of-" + name, nil
	}
	return "", fmt.Errorf("register: %w", sasl.ErrNoUser)
}

func TestCertificateNames(t *testing.T) {
	t.Parallel()
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf("a%d@example.org", i)
	}
	for _, tt := range []struct {
		name   string
		emails []string
		common string
		cn     bool
		want   []string
	}{
		{"one", []string{"alice@example.org"}, "", false, []string{"alice@example.org"}},
		{"canonical", []string{"Alice@Example.ORG"}, "", false, []string{"alice@example.org"}},
		{"full width", []string{"ａlice@example.org"}, "", false, nil},
		{"common name in full width", nil, "ａlice", true, nil},
		{"several", []string{"alice@example.org", "bob@example.org"}, "", false, []string{"alice@example.org", "bob@example.org"}},
		{"common name not asked for", nil, "alice", false, nil},
		{"common name", nil, "Alice", true, []string{"alice"}},
		{"common name beside", []string{"bob@example.org"}, "alice", true, []string{"bob@example.org"}},
		{"common name beside a bad one", []string{"b b"}, "alice", true, nil},
		{"common name in words", nil, "Alice Example", true, nil},
		{"nothing", nil, "", true, nil},
		{"bad ones", []string{"", "a\x00b", "a b@example.org", strings.Repeat("a", 256), "alice@example.org"}, "", false, []string{"alice@example.org"}},
		{"many", many, "", false, many[:16]},
	} {
		cert := &x509.Certificate{EmailAddresses: tt.emails, Subject: pkix.Name{CommonName: tt.common}}
		if got := sasl.CertificateNames(cert, tt.cn); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
	if got := sasl.CertificateNames(nil, true); got != nil {
		t.Errorf("no certificate: %q", got)
	}
}

func TestExternal(t *testing.T) {
	t.Parallel()
	refused, malformed := sasl.ErrRefused, sasl.ErrMalformed
	known := []string{"alice@example.org", "bob@example.org", "root"}
	for _, tt := range []struct {
		name, response string
		certificate    []string
		account        string
		err            error
	}{
		{"left to the server", "", []string{"alice@example.org"}, "account-of-alice@example.org", nil},
		{"asked for", "alice@example.org", []string{"alice@example.org"}, "account-of-alice@example.org", nil},
		{"in another spelling", "ALICE@example.org", []string{"alice@example.org"}, "account-of-alice@example.org", nil},
		{"the first that is there", "", []string{"carol@example.org", "bob@example.org", "alice@example.org"}, "account-of-bob@example.org", nil},
		{"the second", "bob@example.org", []string{"alice@example.org", "bob@example.org"}, "account-of-bob@example.org", nil},
		{"another's", "bob@example.org", []string{"alice@example.org"}, "", refused},
		{"a part", "alice", []string{"alice@example.org"}, "", refused},
		{"root", "root", []string{"alice@example.org"}, "", refused},
		{"no certificate", "", nil, "", refused}, // CVE-2019-3814
		{"no certificate, asked for", "alice@example.org", nil, "", refused},
		{"no account", "", []string{"carol@example.org"}, "", refused},
		{"no account, asked for", "carol@example.org", []string{"carol@example.org"}, "", refused},
		{"NUL", "alice@example.org\x00", []string{"alice@example.org"}, "", malformed},
		{"line end", "alice@example.org\n", []string{"alice@example.org"}, "", malformed},
		{"Latin-1", "zo\xeb", []string{"alice@example.org"}, "", malformed},
		{"long", strings.Repeat("a", 256), []string{"alice@example.org"}, "", refused},
		{"very long", strings.Repeat("a", 1<<20), []string{"alice@example.org"}, "", refused},
	} {
		for _, before := range [][]string{nil, {"-"}} {
			r := &register{names: known}
			m := sasl.NewExternal(sasl.CertificateAccount(r, tt.certificate))
			challenges, account, err := run(t, m, append(before, tt.response)...)
			if account != tt.account || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || challenges[len(challenges)-1] != "-" {
				t.Errorf("%s: got %q, %q, %v", tt.name, challenges, account, err)
			}
			for _, name := range r.asked {
				if !slices.Contains(tt.certificate, name) {
					t.Errorf("%s: the source was asked for %q", tt.name, name)
				}
			}
			quiet(t, err)
		}
	}
	for _, r := range []sasl.Looker{&register{err: errOutage}, &register{names: []string{"x"}, err: context.Canceled}} {
		_, account, err := run(t, sasl.NewExternal(sasl.CertificateAccount(r, []string{"x"})), "")
		if account != "" || err == nil || errors.Is(err, sasl.ErrRefused) {
			t.Errorf("an outage gives %q, %v", account, err)
		}
	}
	nobody := func(context.Context, string) (string, error) { return "", nil }
	m := sasl.NewExternal(nobody)
	if _, account, err := run(t, m, ""); account != "" || err == nil || errors.Is(err, sasl.ErrRefused) || m.Name() != "EXTERNAL" {
		t.Errorf("nobody: %q, %v", account, err)
	}
	x := sasl.NewExternal(sasl.CertificateAccount(&register{names: known}, known)).Start()
	x.Next(t.Context(), []byte{})
	if c, account, err := x.Next(t.Context(), []byte{}); c != nil || account != "" || !errors.Is(err, sasl.ErrMalformed) {
		t.Errorf("goes on after its end: %q, %q, %v", c, account, err)
	}
}

// certificate is one for a client, signed by itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), EmailAddresses: []string{"alice@example.org"}, DNSNames: []string{"pop.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A certificate counts once the server has verified it, and not before.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	cert := certificate(t)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	for _, tt := range []struct {
		name  string
		auth  tls.ClientAuthType
		roots *x509.CertPool
		want  []string
	}{
		{"verified", tls.VerifyClientCertIfGiven, roots, []string{"alice@example.org"}},
		{"asked for only", tls.RequestClientCert, roots, nil},
		{"any", tls.RequireAnyClientCert, roots, nil},
		{"none", tls.NoClientCert, roots, nil},
	} {
		a, b := net.Pipe()
		server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tt.auth, ClientCAs: tt.roots})
		client := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "pop.example.org"})
		if sasl.ClientCertificate(server.ConnectionState()) != nil {
			t.Errorf("%s: a certificate before the handshake", tt.name)
		}
		done := make(chan error, 1)
		go func() {
			done <- client.HandshakeContext(t.Context())
			client.Read(make([]byte, 1)) // the server's tickets
		}()
		if err := errors.Join(server.HandshakeContext(t.Context()), <-done); err != nil {
			t.Fatal(tt.name, err)
		}
		if got := sasl.CertificateNames(sasl.ClientCertificate(server.ConnectionState()), false); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q", tt.name, got)
		}
		a.Close()
		b.Close()
	}
}

func FuzzExternal(f *testing.F) {
	f.Add([]byte("alice@example.org"), "alice@example.org", "Alice")
	f.Add([]byte(""), "", "\uff41lice")
	f.Add([]byte("\x00"), "a\x00b", "x")
	f.Fuzz(func(t *testing.T, response []byte, email, common string) {
		cert := &x509.Certificate{EmailAddresses: []string{email}, Subject: pkix.Name{CommonName: common}}
		names := sasl.CertificateNames(cert, true)
		r := &register{names: names}
		_, account, err := sasl.NewExternal(sasl.CertificateAccount(r, names)).Start().Next(t.Context(), append([]byte{}, response...))
		if (account == "") != (err != nil) {
			t.Fatalf("got %q, %v", account, err)
		}
		if account == "" {
			return
		}
		name, found := strings.CutPrefix(account, "account-of-")
		canonical, _ := sasl.PrepareUser(email)
		asked, _ := sasl.PrepareUser(string(response))
		if !found || name != canonical || len(response) > 0 && asked != name {
			t.Fatalf("%q, %q prove %q", response, email, account)
		}
	})
}
