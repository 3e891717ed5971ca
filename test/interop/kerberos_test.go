//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/internal/kpop"
	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
	"github.com/postwain/postwain/test/rig"
)

// encryptions are the encryption types that a service's keys and its tickets
// may have, as the KDC calls them.
var encryptions = []string{"aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha1-96", "aes256-sha2", "aes128-sha2"}

const kerberosLetter = "Subject: tickets\r\n\r\nPlease.\r\n"

// site is a realm, and a server with one user's mail: bob's.
type site struct {
	space    *rig.Space
	kdc      *rig.KDC
	acceptor *krb.Acceptor
	rule     kerberos.Rule
	mail     *memdrop.Store

	kpop, pop3 int // ports
	trust      *tls.Config

	mu       sync.Mutex
	refusals []error
}

func newSite(t *testing.T) *site {
	t.Helper()
	space := newSpace(t)
	kdc, err := space.KDC()
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, kdc.Daemon)
	for _, user := range []string{"bob", "alice"} {
		if err := kdc.AddUser(user, encryptions[0]); err != nil {
			t.Fatal(err)
		}
	}
	keytab, err := kdc.Service("pop/"+rig.Host, encryptions[0])
	if err != nil {
		t.Fatal(err)
	}
	s := &site{space: space, kdc: kdc, rule: kerberos.Rule{Realm: rig.Realm}, mail: memdrop.New()}
	s.acceptor, err = krb.NewAcceptor(krb.Options{Keytab: keytab, Service: kpop.Service, Report: s.note})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.mail.Deliver(t.Context(), "bob", maildrop.Incoming{}, strings.NewReader(kerberosLetter)); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(space.TLS.Cert, space.TLS.Key)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(space.TLS.Authority)
	if err != nil {
		t.Fatal(err)
	}
	s.trust = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: rig.Host}
	s.trust.RootCAs.AppendCertsFromPEM(authority)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	server := pop3server.NewServer(pop3server.Options{Backend: s, TLS: config, Trace: pop3server.Trace{
		Login: func(_ pop3server.Peer, l pop3server.Login) { s.note(l.Err) },
	}})
	t.Cleanup(func() { server.Close() })
	s.pop3 = s.listen(t, server, func(net.Conn) (string, bool) { return "", true })
	s.kpop = s.listen(t, server, func(conn net.Conn) (string, bool) {
		p, err := kpop.Accept(t.Context(), conn, s.acceptor, remoteAddr(conn))
		s.note(err)
		return p.String(), err == nil
	})
	return s
}

func remoteAddr(conn net.Conn) netip.Addr {
	return conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
}

// listen serves POP3 on a port of loopback, behind what begin does.
func (s *site) listen(t *testing.T, server *pop3server.Server, begin func(net.Conn) (principal string, ok bool)) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				if principal, ok := begin(conn); ok {
					remote := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
					server.ServeConn(context.Background(), conn, pop3server.Peer{Remote: remote, Principal: principal, Secure: true})
				}
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

func (s *site) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refusals = append(s.refusals, err)
	}
}

// complaints gives what the server has had to say since the last call.
func (s *site) complaints() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.refusals...)
	s.refusals = nil
	return err
}

// NewSession offers GSSAPI, or behind KPOP the proved name.
func (s *site) NewSession(_ context.Context, p pop3server.Peer) (pop3server.Session, error) {
	if p.Principal != "" {
		return &siteSession{s, sasl.NewPlain(kerberos.NewProved(p.Principal, s.rule), sasl.Login{})}, nil
	}
	return &siteSession{s, kerberos.NewGSSAPI(s.acceptor, s.rule, p.Remote.Addr())}, nil
}

type siteSession struct {
	*site
	mechanism sasl.Mechanism
}

func (s *siteSession) Mechanisms() []sasl.Mechanism { return []sasl.Mechanism{s.mechanism} }
func (s *siteSession) Policy() pop3server.Policy    { return pop3server.Policy{} }
func (s *siteSession) Close() error                 { return nil }

func (s *siteSession) Open(ctx context.Context, account string) (maildrop.Box, pop3server.Policy, error) {
	box, err := s.mail.Open(ctx, account)
	return box, pop3server.Policy{}, err
}

// login makes a fresh credential cache for a user and gives its path.
func (s *site) login(t *testing.T, user string) string {
	t.Helper()
	cache := filepath.Join(t.TempDir(), "ccache")
	if err := s.kdc.Init(user, cache); err != nil {
		t.Fatal(err)
	}
	return cache
}

// kerberosClient is a client of one of the two ways to sign in: it fetches the
// mail of the user whose tickets are in a cache.
type kerberosClient struct {
	name     string
	nameless bool // it leaves it to the server whose mail it is
	fetch    func(t *testing.T, s *site, cache, user string) ([][]byte, error)
}

// TestKerberos signs in with real tickets of every encryption type. The keytab
// changes under the running server each time.
func TestKerberos(t *testing.T) {
	s := newSite(t)
	for _, encryption := range encryptions {
		if _, err := s.kdc.Service("pop/"+rig.Host, encryption); err != nil {
			t.Fatal(err)
		}
		for _, c := range []kerberosClient{
			{"our KPOP", false, ourKPOP}, {"our GSSAPI", false, ourGSSAPI},
			{"fetchmail KPOP", false, fetchmailKPOP}, {"fetchmail GSSAPI", false, fetchmailGSSAPI},
			{"mpop GSSAPI", true, mpopGSSAPI},
			{"postwain fetch KPOP", false, fetchKPOP}, {"postwain fetch GSSAPI", false, fetchGSSAPI},
			{"postwain fetch GSSAPI in clear", false, fetchInClear},
		} {
			t.Run(encryption+"/"+c.name, func(t *testing.T) {
				mail, err := c.fetch(t, s, s.login(t, "bob"), "bob")
				if err != nil || len(mail) != 1 || !bytes.Contains(mail[0], []byte("Subject: tickets")) {
					t.Errorf("%q, %v\nserver: %v\n%s", mail, err, s.complaints(), s.kdc.Log())
				}
				// alice has a good ticket, which opens nobody else's mail.
				mail, err = c.fetch(t, s, s.login(t, "alice"), "bob")
				said := s.complaints()
				if len(mail) > 0 || !c.nameless && (err == nil || !errors.Is(said, sasl.ErrRefused)) {
					t.Errorf("alice: %q, %v\nserver: %v", mail, err, said)
				}
			})
		}
	}
}

// ticket gets a ticket for the server from a cache and the KDC.
func (s *site) ticket(ctx context.Context, cache string) (*krb.Ticket, error) {
	config, err := krb.LoadConfig(s.kdc.Config())
	if err != nil {
		return nil, err
	}
	credentials, err := krb.FromCache(cache, config)
	if err != nil {
		return nil, err
	}
	return credentials.Ticket(ctx, kpop.Service, rig.Host)
}

func dialLoopback(ctx context.Context, port int) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
}

// retrieve reads the first message of a client that has signed in.
func retrieve(ctx context.Context, c *pop3client.Client) ([][]byte, error) {
	body, err := c.Retr(ctx, 1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return [][]byte{data}, c.Quit(ctx)
}

func ourKPOP(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	ticket, err := s.ticket(t.Context(), cache)
	if err != nil {
		return nil, err
	}
	conn, err := dialLoopback(t.Context(), s.kpop)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := kpop.Connect(t.Context(), conn, ticket); err != nil {
		return nil, err
	}
	c, err := pop3client.New(t.Context(), conn, pop3client.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	name := pop3client.Credentials{User: user, Password: "-", Mechanism: "USER", Plaintext: true}
	if err := c.SignIn(t.Context(), name); err != nil {
		return nil, err
	}
	return retrieve(t.Context(), c)
}

func ourGSSAPI(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	ticket, err := s.ticket(t.Context(), cache)
	if err != nil {
		return nil, err
	}
	return signIn(t, s, s.pop3, kerberos.Client(ticket, user))
}

// signIn signs in by a mechanism inside TLS and reads the first message.
func signIn(t *testing.T, s *site, port int, m sasl.Client) ([][]byte, error) {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	c, err := pop3client.Dial(t.Context(), addr, pop3client.STLS, pop3client.Options{TLS: s.trust})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Auth(t.Context(), m, true); err != nil {
		return nil, err
	}
	return retrieve(t.Context(), c)
}

// runFetchmail runs fetchmail, which files what it fetches in a directory. KPOP
// has no option for the port: it stands in the services file, of which
// fetchmail is given its own.
func runFetchmail(t *testing.T, s *site, cache, user, how string) ([][]byte, error) {
	dir, out := t.TempDir(), t.TempDir()
	services := filepath.Join(dir, "services")
	if err := os.WriteFile(services, fmt.Appendf(nil, "kpop\t%d/tcp\n", s.kpop), 0o644); err != nil {
		return nil, err
	}
	rc := fmt.Sprintf("set idfile %q\nset invisible\npoll %s %s timeout 30\nuser %q keep sslproto \"\"\nno rewrite\nmda \"cat > $(mktemp %s/XXXXXXXX)\"\n",
		filepath.Join(dir, "ids"), rig.Host, how, user, out)
	path := filepath.Join(dir, "fetchmailrc")
	if err := os.WriteFile(path, []byte(rc), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	script := `mount --bind "$0" /etc/services && exec fetchmail "$@"`
	_, err := run(ctx, append(s.kdc.Environment(cache), "FETCHMAILHOME="+dir), "unshare", "--mount", "sh", "-c", script, services,
		"--fetchmailrc", path, "--nosyslog", "-v", "--pidfile", filepath.Join(dir, "pid"))
	if err != nil {
		return nil, err
	}
	return readFiles(out)
}

func fetchmailKPOP(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	return runFetchmail(t, s, cache, user, "proto kpop auth kerberos_v5")
}

func fetchmailGSSAPI(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	return runFetchmail(t, s, cache, user, fmt.Sprintf("service %d proto pop3 auth gssapi", s.pop3))
}

func mpopGSSAPI(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "Maildir")
	if err := rig.MakeMaildir(out); err != nil {
		return nil, err
	}
	rc := fmt.Sprintf("account default\nhost %s\nport %d\nuser %s\nauth gssapi\ntls off\nkeep on\nuidls_file %s\ndelivery maildir %s\n",
		rig.Host, s.pop3, user, filepath.Join(dir, "uidls"), out)
	path := filepath.Join(dir, "mpoprc")
	if err := os.WriteFile(path, []byte(rc), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := run(ctx, s.kdc.Environment(cache), "mpop", "--file", path, "--debug"); err != nil {
		return nil, err
	}
	return readDelivered(out)
}

// runFetch runs postwain fetch, which files what it fetches in a Maildir and
// leaves it on the server.
func runFetch(t *testing.T, s *site, cache, source string, more ...string) ([][]byte, error) {
	out := filepath.Join(t.TempDir(), "Maildir")
	args := []string{"fetch", source, "--to", "maildir:" + out, "--state", t.TempDir(), "--keep", "--timeout", "30s"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := run(ctx, s.kdc.Environment(cache), program, append(args, more...)...); err != nil {
		return nil, err
	}
	return readDelivered(out)
}

func fetchKPOP(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	return runFetch(t, s, cache, fmt.Sprintf("kpop://%s@%s:%d", user, rig.Host, s.kpop))
}

func fetchGSSAPI(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	return runFetch(t, s, cache, fmt.Sprintf("pop://%s@%s:%d", user, rig.Host, s.pop3), "--auth", "GSSAPI", "--ca", s.space.TLS.Authority)
}

func fetchInClear(t *testing.T, s *site, cache, user string) ([][]byte, error) {
	return runFetch(t, s, cache, fmt.Sprintf("pop://%s@%s:%d", user, rig.Host, s.pop3), "--auth", "GSSAPI", "--plaintext")
}

// TestFetchRobot fetches with a keytab, and without any ticket says what to do.
func TestFetchRobot(t *testing.T) {
	s := newSite(t)
	keytab, err := s.kdc.Service("fetch/robot", encryptions[0])
	if err != nil {
		t.Fatal(err)
	}
	s.rule.Principals = map[string]string{"fetch/robot@" + rig.Realm: "bob"}
	absent := filepath.Join(t.TempDir(), "absent")
	for _, source := range []string{
		fmt.Sprintf("kpop://bob@%s:%d", rig.Host, s.kpop), fmt.Sprintf("pop://bob;AUTH=GSSAPI@%s:%d", rig.Host, s.pop3),
	} {
		var trust []string
		if strings.HasPrefix(source, "pop:") {
			trust = []string{"--ca", s.space.TLS.Authority}
		}
		mail, err := runFetch(t, s, absent, source, append(trust, "--keytab", keytab, "--principal", "fetch/robot")...)
		if err != nil || len(mail) != 1 {
			t.Errorf("%s with a keytab: %q, %v\nserver: %v\n%s", source, mail, err, s.complaints(), s.kdc.Log())
		}
		if _, err := runFetch(t, s, absent, source, trust...); err == nil || !strings.Contains(err.Error(), "run kinit") || exitCode(err) != 1 {
			t.Errorf("%s without a ticket: %v", source, err)
		}
		if _, err := runFetch(t, s, absent, source, append(trust, "--keytab", keytab)...); err == nil || !strings.Contains(err.Error(), "bob") {
			t.Errorf("%s with the keys of somebody else: %v", source, err)
		}
		elsewhere := strings.Replace(source, rig.Host, "127.0.0.1", 1)
		if _, err := runFetch(t, s, s.login(t, "bob"), elsewhere, trust...); err == nil || !strings.Contains(err.Error(), "write the host by the name") {
			t.Errorf("%s, which is no name of the realm: %v", elsewhere, err)
		}
		if _, err := runFetch(t, s, s.login(t, "alice"), source, trust...); err == nil || exitCode(err) != 77 || !strings.Contains(err.Error(), "klist shows whose ticket it is") {
			t.Errorf("%s with alice's ticket: %v", source, err)
		}
	}
}

// serveKerberos starts the program as a server of the realm. Its accounts have
// a domain behind the principals' names.
func serveKerberos(t *testing.T, s *site) *site {
	t.Helper()
	keytab, err := s.kdc.Service("pop/"+rig.Host, encryptions[0])
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(keytab)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(s.space.Dir, "pop.keytab")
	if err := errors.Join(os.WriteFile(own, keys, 0o600), rig.Own(own)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	real := &site{space: s.space, kdc: s.kdc, kpop: l.Addr().(*net.TCPAddr).Port}
	l.Close()
	p, err := s.space.Postwain(program, fmt.Sprintf("[kerberos]\nkeytab = %q\nrealm = %q\ndomain = %q\n[[listen]]\nproto = \"kpop\"\naddr = \"127.0.0.1:%d\"\n",
		own, rig.Realm, rig.Domain, real.kpop))
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, p.Daemon)
	real.pop3 = p.POP3
	return real
}

// TestKerberosServe has the program itself serve KPOP and GSSAPI, to fetchmail,
// mpop and itself.
func TestKerberosServe(t *testing.T) {
	s := newSite(t)
	bob := rig.Account("bob")
	if err := s.space.AddAccounts(bob, rig.Account("alice")); err != nil {
		t.Fatal(err)
	}
	maildir := s.space.Maildir("bob")
	err := errors.Join(rig.MakeMaildir(maildir), os.WriteFile(filepath.Join(maildir, "new", "1"), []byte(kerberosLetter), 0o644), rig.Own(s.space.Mail))
	if err != nil {
		t.Fatal(err)
	}
	server := serveKerberos(t, s)
	for _, c := range []kerberosClient{
		{"fetchmail KPOP", false, fetchmailKPOP}, {"fetchmail GSSAPI", false, fetchmailGSSAPI}, {"mpop GSSAPI", true, mpopGSSAPI},
		{"postwain fetch KPOP", false, fetchKPOP}, {"postwain fetch GSSAPI", false, fetchGSSAPI}, {"postwain fetch GSSAPI in clear", false, fetchInClear},
	} {
		t.Run(c.name, func(t *testing.T) {
			mail, err := c.fetch(t, server, s.login(t, "bob"), bob)
			if err != nil || len(mail) != 1 || !bytes.Contains(mail[0], []byte("Subject: tickets")) {
				t.Errorf("%q, %v\n%s", mail, err, s.kdc.Log())
			}
			mail, err = c.fetch(t, server, s.login(t, "alice"), bob)
			if len(mail) > 0 || !c.nameless && err == nil {
				t.Errorf("alice: %q, %v", mail, err)
			}
		})
	}
}

// TestKerberosDovecot has our client sign in to Dovecot, which leaves GSSAPI to
// the MIT library.
func TestKerberosDovecot(t *testing.T) {
	s := newSite(t)
	maildir := s.space.Maildir("bob")
	if err := rig.MakeMaildir(maildir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(maildir, "new", "1"), []byte(kerberosLetter), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := rig.Own(s.space.Mail); err != nil {
		t.Fatal(err)
	}
	for _, encryption := range encryptions {
		t.Run(encryption, func(t *testing.T) {
			keytab, err := s.kdc.Service("pop/"+rig.Host, encryption)
			if err != nil {
				t.Fatal(err)
			}
			server, err := s.kdc.Dovecot(s.space, keytab)
			if err != nil {
				t.Fatal(err)
			}
			stopAtEnd(t, server.Daemon)
			for _, identity := range []string{"bob", ""} {
				ticket, err := s.ticket(t.Context(), s.login(t, "bob"))
				if err != nil {
					t.Fatal(err)
				}
				mail, err := signIn(t, s, server.POP3, kerberos.Client(ticket, identity))
				if err != nil || len(mail) != 1 || !bytes.Contains(mail[0], []byte("Subject: tickets")) {
					t.Errorf("as %q: %q, %v", identity, mail, err)
				}
			}
			ticket, err := s.ticket(t.Context(), s.login(t, "alice"))
			if err != nil {
				t.Fatal(err)
			}
			if mail, err := signIn(t, s, server.POP3, kerberos.Client(ticket, "bob")); err == nil {
				t.Errorf("alice gets %q", mail)
			}
		})
	}
}

// TestKerberosCredentials gets tickets from the KDC by a password and by a
// keytab, and none by a wrong password, for a service that does not exist, or
// from a cache that is too old.
func TestKerberosCredentials(t *testing.T) {
	s := newSite(t)
	config, err := krb.LoadConfig(s.kdc.Config())
	if err != nil {
		t.Fatal(err)
	}
	keytab := filepath.Join(t.TempDir(), "bob.keytab")
	cmd := exec.Command("ktutil")
	cmd.Stdin = strings.NewReader("addent -password -p bob@" + rig.Realm + " -k 1 -e aes256-cts-hmac-sha1-96\n" + rig.Password + "\nwkt " + keytab + "\nq\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ktutil: %v\n%s", err, out)
	}
	for name, open := range map[string]func() (*krb.Credentials, error){
		"password": func() (*krb.Credentials, error) { return krb.FromPassword("bob", rig.Password, config) },
		"keytab":   func() (*krb.Credentials, error) { return krb.FromKeytab(keytab, "bob@"+rig.Realm, config) },
		"cache":    func() (*krb.Credentials, error) { return krb.FromCache(s.login(t, "bob"), config) },
	} {
		c, err := open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ticket, err := c.Ticket(t.Context(), kpop.Service, rig.Host)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, s.kdc.Log())
			continue
		}
		req, err := ticket.Request(krb.RequestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		session, _, err := s.acceptor.Accept(req.Message, krb.Asked{})
		if err != nil || session.Client.String() != "bob@"+rig.Realm {
			t.Errorf("%s: %v, %v", name, session, err)
		}
		if _, err := c.Ticket(t.Context(), kpop.Service, "elsewhere"); !errors.Is(err, krb.ErrRefused) {
			t.Errorf("%s: ticket for a service that does not exist: %v", name, err)
		}
	}
	for i, encryption := range encryptions {
		user := fmt.Sprintf("user%d", i)
		if err := s.kdc.AddUser(user, encryption); err != nil {
			t.Fatal(err)
		}
		c, err := krb.FromPassword(user, rig.Password, config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ticket(t.Context(), kpop.Service, rig.Host); err != nil {
			t.Errorf("key of %s: %v\n%s", encryption, err, s.kdc.Log())
		}
	}
	wrong, err := krb.FromPassword("bob", "wrong", config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Ticket(t.Context(), kpop.Service, rig.Host); !errors.Is(err, krb.ErrRefused) {
		t.Errorf("wrong password: %v", err)
	}
}
