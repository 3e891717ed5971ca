// Package pop3test runs a real POP3 server inside a test, for tests of programs
// that read mail by POP3.
//
//	func TestInbox(t *testing.T) {
//		s := pop3test.NewServer(t)
//		s.AddAccount("alice", "wonderland")
//		s.Deliver("alice", "Subject: tea\r\n\r\nAt six?\r\n")
//		// connect to s.Addr (clear text and STLS) or s.TLSAddr
//	}
//
// It is Postwain's own server over mail in memory: what a client sees is what
// it will see of Postwain, RFC 1939 and its extensions included. It listens on
// loopback and is gone when the test ends.
package pop3test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// TB is what a Server needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Server is a POP3 server. Its methods may be called at the same time.
type Server struct {
	// Addr is the host:port where it speaks in clear text and offers STLS.
	// Passwords are taken in clear text too, since it is on loopback.
	Addr string
	// TLSAddr is the host:port where it speaks TLS from the first octet.
	TLSAddr string

	tb    TB
	store *memdrop.Store
	roots *x509.CertPool

	mu        sync.Mutex
	passwords map[string]string
}

// NewServer starts a Server, which ends with the test. It has no accounts. Its
// certificate is its own, for 127.0.0.1 and localhost.
func NewServer(tb TB) *Server {
	tb.Helper()
	certificate, err := newCertificate()
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, store: memdrop.New(), roots: x509.NewCertPool(), passwords: map[string]string{}}
	s.roots.AddCert(certificate.Leaf)
	o := pop3server.Options{
		Backend:  pop3server.New(accounts{s}, s.store),
		TLS:      &tls.Config{Certificates: []tls.Certificate{certificate}},
		Hostname: "localhost",
	}
	s.Addr = s.serve(o)
	o.Implicit = true
	s.TLSAddr = s.serve(o)
	return s
}

// serve starts one of the two servers and returns its address.
func (s *Server) serve(o pop3server.Options) string {
	s.tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.tb.Fatal(err)
	}
	srv := pop3server.NewServer(o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	s.tb.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}

// AddAccount makes an account, or gives it another password.
func (s *Server) AddAccount(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passwords[user] = password
}

// Deliver puts a message into the mailbox of user, behind those that are there.
// A session that is open does not see it.
func (s *Server) Deliver(user, message string) {
	s.tb.Helper()
	if err := s.store.Deliver(context.Background(), user, maildrop.Incoming{}, strings.NewReader(message)); err != nil {
		s.tb.Fatal(err)
	}
}

// Mail returns the messages in the mailbox of user as they were delivered. It
// fails the test while a session has the mailbox.
func (s *Server) Mail(user string) []string {
	s.tb.Helper()
	box, err := s.store.Open(context.Background(), user)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer box.Close()
	var all []string
	for i := range box.Messages() {
		r, err := box.Get(context.Background(), i, -1)
		if err != nil {
			s.tb.Fatal(err)
		}
		message, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			s.tb.Fatal(err)
		}
		all = append(all, string(message))
	}
	return all
}

// CertPool trusts the server's certificate and no other.
func (s *Server) CertPool() *x509.CertPool { return s.roots.Clone() }

// ClientConfig is a TLS configuration for clients that trusts the server.
func (s *Server) ClientConfig() *tls.Config { return &tls.Config{RootCAs: s.CertPool()} }

// accounts is the account source of a Server.
type accounts struct{ s *Server }

func (a accounts) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if password, ok := a.s.passwords[l.User]; !ok || password != l.Password {
		return "", fmt.Errorf("pop3test: %w", sasl.ErrRefused)
	}
	return l.User, nil
}
