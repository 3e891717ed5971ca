package sasl_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/sasl"
)

// handshake gives both ends of a connection after the handshake.
func handshake(t *testing.T, certificate tls.Certificate, roots *x509.CertPool, version uint16, r tls.RenegotiationSupport) (client, server tls.ConnectionState) {
	t.Helper()
	a, b := testkit.Pipe()
	defer a.Close()
	defer b.Close()
	s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: version, MaxVersion: version})
	c := tls.Client(a, &tls.Config{
		RootCAs: roots, ServerName: "mail.example.org", MinVersion: version, MaxVersion: version, Renegotiation: r,
	})
	failed := make(chan error, 1)
	go func() { failed <- s.HandshakeContext(t.Context()) }()
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}

func TestTLSExporter(t *testing.T) {
	t.Parallel()
	certificate, roots := testkit.Certificate(t)
	seen := map[string]bool{}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13, tls.VersionTLS13} {
		client, server := handshake(t, certificate, roots, version, tls.RenegotiateNever)
		ours, err := sasl.TLSExporter(client)
		if err != nil || len(ours) != 32 {
			t.Fatalf("%s: got %x, %v", tls.VersionName(version), ours, err)
		}
		if theirs, err := sasl.TLSExporter(server); err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s: the server has %x, %v; the client %x", tls.VersionName(version), theirs, err, ours)
		}
		if want, _ := server.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); !bytes.Equal(ours, want) {
			t.Errorf("%s: got %x, want %x", tls.VersionName(version), ours, want)
		}
		if seen[string(ours)] {
			t.Errorf("%s: two connections have one binding", tls.VersionName(version))
		}
		seen[string(ours)] = true
		plus := scramServer{ServerConversation: bound(newServer(t, sasl.SCRAMSHA256), ours)}
		said, err := plus.play(sasl.SCRAMClient(sasl.SCRAMSHA256, "user", "pencil", ours, true))
		if err != nil {
			t.Errorf("%s: %v after %q", tls.VersionName(version), err, said)
		}
	}
	if b, err := sasl.TLSExporter(tls.ConnectionState{Version: tls.VersionTLS13}); b != nil || err == nil {
		t.Errorf("before the handshake: got %x, %v", b, err)
	}
	old, _ := handshake(t, certificate, roots, tls.VersionTLS11, tls.RenegotiateNever)
	if b, err := sasl.TLSExporter(old); b != nil || err == nil {
		t.Errorf("TLS 1.1: got %x, %v", b, err)
	}
	again, _ := handshake(t, certificate, roots, tls.VersionTLS12, tls.RenegotiateOnceAsClient)
	if b, err := sasl.TLSExporter(again); b != nil || err == nil {
		t.Errorf("with renegotiation: got %x, %v", b, err)
	}
}
