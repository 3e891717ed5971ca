//go:build interop

package interop

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/sasl"
	"github.com/postwain/postwain/test/rig"
)

// refusalStand has a server of which everybody is refused for another reason,
// and one whose directory is away.
type refusalStand struct {
	space         *rig.Space
	server, alone *rig.Postwain
	proxied       int // port that believes in PROXY headers
	provider      *identity
	realm         *stand
}

func newRefusalStand(t *testing.T) *refusalStand {
	t.Helper()
	s := &refusalStand{space: newSpace(t), proxied: freePort(t)}
	var b strings.Builder
	for _, line := range []string{
		"plain@example.org:{PLAIN}" + rig.Password,
		"hashed@example.org:" + storedPassword(t, "argon2id"),
		"elsewhere@example.org:{PLAIN}" + rig.Password + "::::::allow_nets=192.0.2.0/24",
		"often@example.org:{PLAIN}" + rig.Password + "::::::login_delay=1h",
		"nodomain:{PLAIN}" + rig.Password,
	} {
		fmt.Fprintln(&b, line)
	}
	if err := os.WriteFile(s.space.Passwd(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.realm = &stand{space: s.space, inSection: map[string]string{}}
	tickets := withTickets(t, s.realm, nil)
	withCertificates(t, s.realm, nil)
	s.provider = newIdentity(t, s.space, trustOf(t, s.space))
	more := fmt.Sprintf(`[sasl]
mechanisms = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER", "EXTERNAL", "GSSAPI"]
[[listen]]
proto = "pop3"
addr = "127.0.0.1:%d"
proxy_from = ["127.0.0.1"]
[accounts.oauth]
issuer = %q
audience = [%q]
ca = %q
`, s.proxied, s.provider.URL, rig.Host, s.space.TLS.Authority)
	s.realm.server = s.start(t, "")
	if err := s.realm.restart(more + tickets); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s.realm.server.Daemon)
	s.server = s.realm.server
	s.alone = s.start(t, fmt.Sprintf("[accounts.ldap]\nurls = [\"ldaps://127.0.0.1:%d\"]\nca = %q\nbase = \"dc=example\"\nfilter = \"(uid=%%u)\"\n",
		freePort(t), s.space.TLS.Authority))
	return s
}

func (s *refusalStand) start(t *testing.T, more string) *rig.Postwain {
	t.Helper()
	p, err := s.space.Postwain(program, more)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, p.Daemon)
	return p
}

// TestSignInFailures provokes each failure of docs/SIGN-IN.md and looks at what
// the client is told and at what the log says.
func TestSignInFailures(t *testing.T) {
	t.Parallel()
	s := newRefusalStand(t)
	provoke := s.provocations(t)
	for _, f := range signInFailures() {
		t.Run(f.id, func(t *testing.T) {
			server := s.server
			if f.id == "outage" {
				server = s.alone
			}
			before := len(wholeLog(t, server))
			how, ok := provoke[f.id]
			if !ok {
				t.Fatal("nothing provokes it")
			}
			if told := how(t); told != "-ERR "+f.told {
				t.Errorf("the client is told %q", told)
			}
			said := wholeLog(t, server)[before:]
			if f.log == "" {
				return
			}
			pattern := strings.ReplaceAll(regexp.QuoteMeta(f.log), "…", ".*")
			if !regexp.MustCompile(`(?m)\b` + pattern).MatchString(said) {
				t.Errorf("the log says\n%s", said)
			}
		})
	}
}

// wholeLog is all that a server has written.
func wholeLog(t *testing.T, server *rig.Postwain) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(server.Unix), "postwain.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// provocations give the last reply to a client that fails, by what fails.
func (s *refusalStand) provocations(t *testing.T) map[string]func(*testing.T) string {
	plain := func(server *rig.Postwain, user, password string) func(*testing.T) string {
		return func(t *testing.T) string {
			return speak(t, server.POP3, "USER "+user, "PASS "+password)
		}
	}
	token := base64.StdEncoding.EncodeToString([]byte("n,a=plain@example.org,\x01auth=Bearer " + s.provider.token(t, "plain@example.org", -time.Hour) + "\x01\x01"))
	return map[string]func(*testing.T) string{
		"password":  plain(s.server, "plain@example.org", notPassword),
		"unknown":   plain(s.server, "nobody@example.org", rig.Password),
		"networks":  plain(s.server, "elsewhere@example.org", rig.Password),
		"maildrop":  plain(s.server, "nodomain", rig.Password),
		"outage":    plain(s.alone, "nobody@example.org", rig.Password),
		"token":     func(t *testing.T) string { return speak(t, s.server.POP3, "AUTH OAUTHBEARER", token, "AQ==") },
		"mechanism": func(t *testing.T) string { return speak(t, s.server.POP3, "AUTH CRAM-MD5") },
		"malformed": func(t *testing.T) string { return speak(t, s.server.POP3, "AUTH PLAIN YWJj") },
		"clear": func(t *testing.T) string {
			return speak(t, s.proxied, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 110", "USER plain@example.org")
		},
		"secret": func(t *testing.T) string {
			return s.signIn(t, sasl.SCRAMClient(sasl.SCRAMSHA256, "hashed@example.org", rig.Password, nil, false))
		},
		"binding": func(t *testing.T) string {
			between := []byte("of the connection to somebody between")
			return s.signIn(t, sasl.SCRAMClient(sasl.SCRAMSHA256, "plain@example.org", rig.Password, between, true))
		},
		"certificate": func(t *testing.T) string {
			path := strangersCertificate(t, s.realm, "nobody").cert
			certificate, err := tls.LoadX509KeyPair(path, path)
			if err != nil {
				t.Fatal(err)
			}
			return s.signIn(t, externalClient{}, certificate)
		},
		"ticket": func(t *testing.T) string {
			job := signInJob{stand: s.realm, credential: strangersTicket(t, s.realm, "nobody")}
			ticket, err := job.ticket(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s.signIn(t, kerberos.Client(ticket, ""))
		},
		"delay": func(t *testing.T) string {
			if first := plain(s.server, "often@example.org", rig.Password)(t); !strings.HasPrefix(first, "+OK") {
				return first
			}
			return plain(s.server, "often@example.org", rig.Password)(t)
		},
		"use": func(t *testing.T) string {
			maildir := s.space.Maildir("plain")
			if err := rig.MakeMaildir(maildir); err != nil {
				t.Fatal(err)
			}
			if first := plain(s.server, "plain@example.org", rig.Password)(t); !strings.HasPrefix(first, "+OK") {
				return first
			}
			lock, err := os.OpenFile(filepath.Join(maildir, "postwain.lock"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			return plain(s.server, "plain@example.org", rig.Password)(t)
		},
	}
}

// externalClient leaves it to the certificate who signs in.
type externalClient struct{}

func (externalClient) Name() string                 { return "EXTERNAL" }
func (externalClient) Start() ([]byte, bool, error) { return nil, true, nil }
func (externalClient) Next([]byte) ([]byte, error)  { return nil, nil }
func (externalClient) Done() error                  { return nil }

// signIn signs in by a mechanism of SASL inside TLS and gives the refusal as it
// was on the wire.
func (s *refusalStand) signIn(t *testing.T, m sasl.Client, certificates ...tls.Certificate) string {
	t.Helper()
	trust, err := s.space.TLS.Client()
	if err != nil {
		t.Fatal(err)
	}
	trust.Certificates = certificates
	c, err := pop3client.Dial(t.Context(), fmt.Sprintf("127.0.0.1:%d", s.server.POP3S), pop3client.TLS, pop3client.Options{TLS: trust})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Auth(t.Context(), m, true)
	refused, ok := errors.AsType[*pop3.Error](err)
	if !ok {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("-ERR [%s] %s", refused.Code, refused.Text)
}

// speak says some lines to a server, the second after the answer to the first
// and so on, says QUIT and gives the last answer before that.
func speak(t *testing.T, port int, lines ...string) (last string) {
	t.Helper()
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	if strings.HasPrefix(lines[0], "PROXY ") { // no greeting before it
		if _, err := io.WriteString(conn, lines[0]+"\r\n"); err != nil {
			t.Fatal(err)
		}
		lines = lines[1:]
	}
	for _, line := range append([]string{""}, append(lines, "QUIT")...) {
		if line != "" {
			if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := from.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if line != "QUIT" {
			last = strings.TrimSpace(answer)
		}
	}
	return last
}
