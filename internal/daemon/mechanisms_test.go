package daemon

import (
	"crypto/tls"
	"errors"
	"regexp"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// good is the password of the user of scheming.
const good = "canary-right-7"

// scheming runs a server with a user whose password is stored by a scheme,
// instead of the first one.
func scheming(t *testing.T, scheme string, mechanisms ...config.Offered) *site {
	t.Helper()
	s, _ := run(t, func(c *config.Config) {
		c.SASL.Mechanisms = mechanisms
		if err := passwdfile.AddAs(c.Accounts.PasswdFile, "bob", good, scheme); err != nil {
			t.Fatal(err)
		}
		if err := passwdfile.Remove(c.Accounts.PasswdFile, "alice"); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// client connects inside TLS.
func (s *site) client() *pop3client.Client {
	s.t.Helper()
	conn := tls.Client(s.dial("pop3s"), &tls.Config{InsecureSkipVerify: true})
	c, err := pop3client.New(s.t.Context(), conn, pop3client.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *site) offered() string {
	s.t.Helper()
	caps, err := s.client().Capabilities(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	args, _ := caps.Lookup(pop3.CapSASL)
	return args
}

// What is offered is what the stored passwords serve, and the weak only where
// it is named.
func TestOffering(t *testing.T) {
	t.Parallel()
	all := []config.Offered{
		"APOP", "CRAM-MD5", "PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER",
	}
	for _, c := range []struct {
		scheme     string
		mechanisms []config.Offered
		want       string
	}{
		{"", nil, "PLAIN LOGIN"},
		{"SCRAM-SHA-256", nil, "SCRAM-SHA-256 PLAIN LOGIN"},
		{"PLAIN", nil, "SCRAM-SHA-256 PLAIN LOGIN"},
		{"CRAM-MD5", nil, "PLAIN LOGIN"},
		{"", all, "PLAIN LOGIN"},
		{"CRAM-MD5", all, "PLAIN LOGIN CRAM-MD5"},
		{"SCRAM-SHA-256", all, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"},
		{"PLAIN", all, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5"},
		{"PLAIN", []config.Offered{"SCRAM-SHA-256"}, "SCRAM-SHA-256"},
	} {
		t.Run(c.scheme, func(t *testing.T) {
			t.Parallel()
			if got := scheming(t, c.scheme, c.mechanisms...).offered(); got != c.want {
				t.Errorf("%v: got %q, want %q", c.mechanisms, got, c.want)
			}
		})
	}
}

// Each mechanism signs in who has the password, refuses who has not, and leaves
// a line with the name in the log.
func TestMechanisms(t *testing.T) {
	t.Parallel()
	const wrong = "canary-wrong-7"
	names := []string{"APOP", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN", "USER"}
	var offer []config.Offered
	for _, name := range names {
		if name != "USER" {
			offer = append(offer, config.Offered(name))
		}
	}
	s := scheming(t, "PLAIN", offer...)
	for _, name := range names {
		for _, password := range []string{good, wrong} {
			client := s.client()
			err := client.SignIn(t.Context(), pop3client.Credentials{User: "bob", Password: password, Mechanism: name})
			if (password == good) != (err == nil) {
				t.Errorf("%s by %q: %v", name, password, err)
			}
			if err == nil {
				err = client.Quit(t.Context()) // or the next one finds the maildrop in use
			}
			var refused *pop3.Error
			if err != nil && (!errors.As(err, &refused) || refused.Code != pop3.CodeAuth) {
				t.Errorf("%s by %q: %v", name, password, err)
			}
		}
	}
	s.signals <- syscall.SIGTERM
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !regexp.MustCompile(`auth failed user=<bob> method=` + name + ` rip=127\.0\.0\.1 `).MatchString(s.log.String()) {
			t.Errorf("%s: no line of a failure", name)
		}
		if !regexp.MustCompile(`user=<bob> method=` + name + ` .*end=`).MatchString(s.log.String()) {
			t.Errorf("%s: no line of a session", name)
		}
	}
	for _, password := range []string{good, wrong} {
		if form := testkit.Leak(s.out.String()+s.log.String(), password); form != "" { // fault 118
			t.Errorf("password %s is in the output (%s)", password, form)
		}
	}
	if t.Failed() {
		t.Log(s.log.String())
	}
}
