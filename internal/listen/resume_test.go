package listen_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

type nobody struct{}

func (nobody) Authenticate(context.Context, sasl.Login) (string, error) { return "", sasl.ErrRefused }

// serve starts a POP3 server and gives its address.
func serve(t *testing.T, config *tls.Config, implicit bool) (*pop3server.Server, pop3server.Options, string) {
	t.Helper()
	o := pop3server.Options{Backend: pop3server.New(nobody{}, memdrop.New()), TLS: config, Implicit: implicit}
	s := pop3server.NewServer(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s, o, l.Addr().String()
}

// visit says CAPA to a server over TLS, and reports whether the session was
// resumed.
func visit(t *testing.T, address string, implicit bool, client *tls.Config) (resumed bool) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	if !implicit {
		in := bufio.NewReader(raw)
		fmt.Fprint(raw, "STLS\r\n")
		for range 2 {
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
				t.Fatalf("%q, %v", line, err)
			}
		}
	}
	conn := tls.Client(raw, client)
	fmt.Fprint(conn, "CAPA\r\n")
	for in := bufio.NewScanner(conn); ; {
		if !in.Scan() {
			t.Fatalf("no answer: %v", in.Err())
		}
		if in.Text() == "." {
			return conn.ConnectionState().DidResume
		}
	}
}

// A client's session is good at the pop3s listener and after STLS, with and
// without a certificate of its own, and after a reload.
func TestResumptionAcrossListeners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := listen.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := listen.SelfSigned(pair, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	ca, shown := clientCertificate(t, dir)
	clients, _, err := listen.LoadClients(listen.ClientFiles{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	for name, policy := range map[string]listen.Policy{"plain": {}, "asking": {Clients: clients}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c, _, err := listen.LoadCertificates([]listen.Pair{pair})
			if err != nil {
				t.Fatal(err)
			}
			pop3s, options, one := serve(t, c.ConfigFor(policy), true)
			_, _, two := serve(t, c.ConfigFor(policy), false)
			client := &tls.Config{
				ServerName: "localhost", InsecureSkipVerify: true, MaxVersion: version,
				ClientSessionCache: tls.NewLRUClientSessionCache(1), Certificates: []tls.Certificate{shown},
			}
			if visit(t, one, true, client) {
				t.Fatal("the first is resumed")
			}
			resumed := 0
			for range 5 {
				for _, implicit := range []bool{false, true} {
					address := two
					if implicit {
						address = one
					}
					if visit(t, address, implicit, client) {
						resumed++
					}
				}
				if _, err := c.Reload([]listen.Pair{pair}); err != nil {
					t.Fatal(err)
				}
				options.TLS = c.ConfigFor(policy)
				pop3s.Reconfigure(options)
			}
			if resumed != 10 {
				t.Errorf("%s, %s: %d of 10 are resumed", name, tls.VersionName(version), resumed)
			}
		}
	}
}

// clientCertificate makes an authority's file and a certificate of it.
func clientCertificate(t *testing.T, dir string) (ca string, shown tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "alice"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	var der [2][]byte
	for i, template := range []*x509.Certificate{root, leaf} {
		if der[i], err = x509.CreateCertificate(rand.Reader, template, root, key.Public(), key); err != nil {
			t.Fatal(err)
		}
	}
	ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca, tls.Certificate{Certificate: [][]byte{der[1]}, PrivateKey: key}
}
