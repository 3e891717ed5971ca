package pop3test_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3test"
)

// Every way in leads to the same mail.
func TestEveryWayIn(t *testing.T) {
	t.Parallel()
	s := pop3test.NewServer(t)
	s.AddAccount("alice@example.org", "two words")
	s.Deliver("alice@example.org", "Subject: a\n\n.b\n")
	for name, c := range map[string]struct {
		addr      string
		security  pop3client.Security
		mechanism string
	}{
		"TLS": {s.TLSAddr, pop3client.TLS, ""}, "STLS": {s.Addr, pop3client.STLS, ""}, "clear text": {s.Addr, pop3client.Plaintext, ""},
		"USER": {s.TLSAddr, pop3client.TLS, "USER"}, "LOGIN": {s.TLSAddr, pop3client.TLS, "LOGIN"},
	} {
		client, err := pop3client.Dial(t.Context(), c.addr, c.security, pop3client.Options{TLS: s.ClientConfig()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k := pop3client.Credentials{User: "alice@example.org", Password: "two words", Mechanism: c.mechanism, Plaintext: c.security == pop3client.Plaintext}
		if err := client.SignIn(t.Context(), k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, inside := client.TLS(); inside != (c.security != pop3client.Plaintext) {
			t.Errorf("%s: inside TLS is %v", name, inside)
		}
		b, err := client.Retr(t.Context(), 1)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m, err := io.ReadAll(b); string(m) != "Subject: a\r\n\r\n.b\r\n" || err != nil {
			t.Errorf("%s: %q, %v", name, m, err)
		}
		if err := client.Quit(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A certificate that nothing trusts, and passwords that are wrong, do not work.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := pop3test.NewServer(t)
	s.AddAccount("alice", "wonderland")
	var unknown *tls.CertificateVerificationError
	if _, err := pop3client.Dial(t.Context(), s.TLSAddr, pop3client.TLS, pop3client.Options{}); !errors.As(err, &unknown) {
		t.Errorf("without the pool: %v", err)
	}
	for _, k := range []pop3client.Credentials{{User: "alice", Password: "x"}, {User: "bob", Password: "wonderland"}} {
		c, err := pop3client.Dial(t.Context(), s.TLSAddr, pop3client.TLS, pop3client.Options{TLS: s.ClientConfig()})
		if err != nil {
			t.Fatal(err)
		}
		var refused *pop3.Error
		if err := c.SignIn(t.Context(), k); !errors.As(err, &refused) || refused.Code != pop3.CodeAuth {
			t.Errorf("%s: %v", k.User, err)
		}
		c.Close()
	}
}

// Many large messages over TLS, pipelined, come as they are and in order.
func TestManyMessages(t *testing.T) {
	t.Parallel()
	s := pop3test.NewServer(t)
	s.AddAccount("alice", "wonderland")
	const messages = 300
	content := func(n int) string {
		return fmt.Sprintf("Subject: %d\r\n\r\n", n) + strings.Repeat(fmt.Sprintf(".line of %d\r\n", n), n*10)
	}
	for i := range messages {
		s.Deliver("alice", content(i+1))
	}
	c, err := pop3client.Dial(t.Context(), s.TLSAddr, pop3client.TLS, pop3client.Options{TLS: s.ClientConfig()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SignIn(t.Context(), pop3client.Credentials{User: "alice", Password: "wonderland"}); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context())
	if err != nil || len(list) != messages {
		t.Fatalf("%d messages, %v", len(list), err)
	}
	var got bytes.Buffer
	n := 0
	for m, err := range c.Messages(t.Context(), slices.Values(list)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		got.Reset()
		if _, err := io.Copy(&got, m); err != nil || got.String() != content(n) || int64(got.Len()) != m.Size {
			t.Fatalf("message %d has %d octets, %v", n, got.Len(), err)
		}
	}
	if n != messages {
		t.Errorf("%d messages", n)
	}
}
