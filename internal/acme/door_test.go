package acme

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
)

// dial comes to a door.
func dial(t *testing.T, l *testkit.Listener) net.Conn {
	t.Helper()
	c, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func openDoor(t *testing.T, serve func(net.Listener)) *testkit.Listener {
	t.Helper()
	l := testkit.Listen()
	d := &door{listener: bound(l), serve: serve}
	d.open(t.Context())
	t.Cleanup(func() { _ = d.close() })
	return l
}

func noCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errNotOurs }

// Whoever says nothing is gone after a while, and holds up nobody but those who
// are too many.
func TestDoorIsBounded(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Listener){
		"tls": serveTLS(challengeConfig(noCertificate)), "http": serveHTTP(http.NotFoundHandler()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := openDoor(t, serve)
				begun := time.Now()
				var silent []net.Conn
				for range maxVisitors {
					silent = append(silent, dial(t, l))
				}
				synctest.Wait()
				ends := func(c net.Conn) time.Duration {
					_, err := io.ReadAll(c)
					if err != nil {
						t.Error(err)
					}
					return time.Since(begun)
				}
				if after := ends(dial(t, l)); after != 0 {
					t.Errorf("one too many was kept for %v", after)
				}
				for _, c := range silent {
					if after := ends(c); after > visitTimeout {
						t.Errorf("a silent one was kept for %v", after)
					}
				}
				// There is room again.
				c := dial(t, l)
				if name == "http" {
					go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: mail.example.org\r\n\r\n") }()
					if answer, _ := io.ReadAll(c); !strings.HasPrefix(string(answer), "HTTP/1.1 404") {
						t.Errorf("got %q", answer)
					}
				} else if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
					t.Error("somebody who is no authority gets a handshake")
				} else if !strings.Contains(err.Error(), "remote error") {
					t.Errorf("no answer: %v", err)
				}
			})
		})
	}
}

// Only who asks for the challenge's protocol alone gets to its certificate.
func TestDoorOnlyForChallenges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		protos []string
		asked  bool
	}{{nil, false}, {[]string{"pop3"}, false}, {[]string{alpn, "pop3"}, false}, {[]string{alpn}, true}} {
		asked := false
		config := challengeConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked = true
			return nil, errNotOurs
		})
		a, b := testkit.Pipe()
		done := make(chan error, 1)
		go func() { done <- tls.Server(b, config).Handshake() }()
		_ = tls.Client(a, &tls.Config{InsecureSkipVerify: true, NextProtos: tt.protos, ServerName: "mail.example.org"}).Handshake()
		if err := <-done; err == nil || asked != tt.asked {
			t.Errorf("%q: asked %t, %v", tt.protos, asked, err)
		}
	}
}
