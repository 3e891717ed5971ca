package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/kpop"
	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

const testRealm = "EXAMPLE.ORG"

// ticketServer is a server's acceptor, and what makes tickets for it.
type ticketServer struct {
	acceptor *krb.Acceptor
	issuer   *krb.Issuer
}

func newTicketServer(t *testing.T) ticketServer {
	t.Helper()
	issuer, err := krb.NewIssuer(krb.Service("pop", "mail.example.org", testRealm), 0)
	if err != nil {
		t.Fatal(err)
	}
	keytab := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(keytab, issuer.Keytab(), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := krb.NewAcceptor(krb.Options{Keytab: keytab, Service: "pop"})
	if err != nil {
		t.Fatal(err)
	}
	return ticketServer{a, issuer}
}

func (s ticketServer) ticket(t *testing.T, name string, valid time.Duration) *krb.Ticket {
	t.Helper()
	k, err := s.issuer.Ticket(krb.Principal{Name: []string{name}, Realm: testRealm}, valid)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// NewSession offers GSSAPI, or behind KPOP the proved name.
func (s ticketServer) NewSession(_ context.Context, p pop3server.Peer) (pop3server.Session, error) {
	rule := kerberos.Rule{Realm: testRealm}
	if p.Principal != "" {
		return ticketSession{sasl.NewPlain(kerberos.NewProved(p.Principal, rule), sasl.Login{})}, nil
	}
	return ticketSession{kerberos.NewGSSAPI(s.acceptor, rule, p.Remote.Addr())}, nil
}

type ticketSession struct{ mechanism sasl.Mechanism }

func (s ticketSession) Mechanisms() []sasl.Mechanism { return []sasl.Mechanism{s.mechanism} }
func (ticketSession) Policy() pop3server.Policy      { return pop3server.Policy{} }
func (ticketSession) Close() error                   { return nil }

func (ticketSession) Open(context.Context, string) (maildrop.Box, pop3server.Policy, error) {
	return emptyBox{}, pop3server.Policy{}, nil
}

type emptyBox struct{}

func (emptyBox) Messages() []maildrop.Message                         { return nil }
func (emptyBox) Get(context.Context, int, int) (io.ReadCloser, error) { return nil, maildrop.ErrGone }
func (emptyBox) Commit(context.Context, []int) error                  { return nil }
func (emptyBox) Close() error                                         { return nil }

// serve serves POP3 on conn, behind KPOP if the source wants that.
func (s ticketServer) serve(conn net.Conn, kpopFirst bool) {
	defer conn.Close()
	p := pop3server.Peer{Remote: netip.MustParseAddrPort("192.0.2.1:40000"), Secure: true}
	if kpopFirst {
		principal, err := kpop.Accept(context.Background(), conn, s.acceptor, p.Remote.Addr())
		if err != nil {
			return
		}
		p.Principal = principal.String()
	}
	server := pop3server.NewServer(pop3server.Options{Backend: s})
	defer server.Close()
	server.ServeConn(context.Background(), conn, p)
}

// ticketed signs in at serve with a ticket, in the way that the source wants.
// warned says that there was a warning of mail in clear.
func ticketed(t *testing.T, source string, ticket *krb.Ticket, serve func(net.Conn)) (warned int, err error) {
	t.Helper()
	section := fetchSection(t, source, "mbox:x")
	from := &ticketSource{Fetch: &section, cache: "x"}
	conn, server := testkit.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); serve(server) }()
	defer func() { conn.Close(); <-done }()
	if section.Source.KPOP {
		d := &provingDialer{lineDialer{func() {}}, ticket, func() { warned++ }}
		if err := d.prove(t.Context(), conn); err != nil {
			return warned, err
		}
	}
	c, err := pop3client.New(t.Context(), conn, pop3client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if section.Source.KPOP {
		err = kpopSignIn(&section)(t.Context(), c)
	} else {
		err = from.gssapi(t.Context(), c, ticket)
	}
	if err == nil {
		err = c.Quit(t.Context())
	}
	return warned, err
}

// A good ticket opens its owner's mailbox, and no other. Of mail in clear over
// a network there is a warning.
func TestTicketSignIn(t *testing.T) {
	t.Parallel()
	s := newTicketServer(t)
	for _, c := range []struct {
		source string
		ticket *krb.Ticket
		warned int
		want   string // in the error; empty: none
	}{
		{"kpop://bob@mail.example.org", s.ticket(t, "bob", time.Hour), 1, ""},
		{"kpop://bob@mail.example.org", s.ticket(t, "alice", time.Hour), 1, "klist shows whose ticket it is"},
		{"kpop://bob@mail.example.org", s.ticket(t, "bob", -time.Hour), 0, "run kinit"},
		{"kpop://bob@mail.example.org", newTicketServer(t).ticket(t, "bob", time.Hour), 0, "the server has other keys"},
		{"pop://bob@mail.example.org", s.ticket(t, "bob", time.Hour), 0, ""},
		{"pop://bob@mail.example.org", s.ticket(t, "alice", time.Hour), 0, "klist shows whose ticket it is"},
		{"pop://bob@mail.example.org", s.ticket(t, "bob", -time.Hour), 0, "klist"},
	} {
		warned, err := ticketed(t, c.source, c.ticket, func(conn net.Conn) { s.serve(conn, strings.HasPrefix(c.source, "kpop")) })
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || warned != c.warned {
			t.Errorf("%s, %+v: %d warnings, %v", c.source, c.want, warned, err)
		}
		if refused, ok := errors.AsType[*pop3.Error](err); strings.Contains(c.want, "klist") && (!ok || refused.Code != pop3.CodeAuth) {
			t.Errorf("%s, %q: %v is no refusal", c.source, c.want, err)
		}
	}
}

// What the server says when this side is not content with it is no refusal of
// the credentials: they are not given up because of a clock, or of an impostor.
func TestUnprovedServer(t *testing.T) {
	t.Parallel()
	s := newTicketServer(t)
	for name, token := range map[string][]byte{"garbage": []byte("canary"), "nothing": nil} {
		_, err := ticketed(t, "pop://bob@mail.example.org", s.ticket(t, "bob", time.Hour), func(conn net.Conn) {
			defer conn.Close()
			io.WriteString(conn, "+OK\r\n")
			in := bufio.NewScanner(conn)
			for _, answer := range []string{"+ ", "+ " + base64.StdEncoding.EncodeToString(token), "-ERR [AUTH] no"} {
				if !in.Scan() {
					return
				}
				fmt.Fprintf(conn, "%s\r\n", answer)
			}
			in.Scan()
		})
		if _, ok := errors.AsType[*pop3.Error](err); err == nil || ok || strings.Contains(err.Error(), "klist") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ticketed(t, "kpop://bob@mail.example.org", s.ticket(t, "bob", time.Hour), func(conn net.Conn) {
		defer conn.Close()
		io.WriteString(conn, "+OK POP3\r\n")
		bufio.NewReader(conn).ReadByte()
	})
	if err == nil || !strings.Contains(err.Error(), "kpop:// is for port 1109") {
		t.Errorf("POP3 at once: %v", err)
	}
}

// On the machine itself there is nobody on the way to be warned of.
func TestKPOPOnLoopback(t *testing.T) {
	t.Parallel()
	s := newTicketServer(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			s.serve(conn, true)
		}
	}()
	defer func() { l.Close(); <-done }()
	released := false
	d := &provingDialer{lineDialer{func() { released = true }}, s.ticket(t, "bob", time.Hour), func() { t.Error("there is a warning") }}
	c, err := pop3client.Dial(t.Context(), l.Addr().String(), pop3client.Plaintext, pop3client.Options{Dialer: d})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if !released {
		t.Error("the line is not free again")
	}
}

// emptyCache is a credential cache of version 4 whose tickets are gone.
func emptyCache() []byte {
	long := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	b := []byte{5, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1} // version, no header, type of the name, parts
	return long(long(b, testRealm), "bob")
}

// What stands in the way of a ticket is told in words that say what to do, and
// what kinit can mend is no reason not to begin.
func TestWithoutTicket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	realm := write("krb5.conf", []byte("[libdefaults]\ndefault_realm = "+testRealm+"\ndns_lookup_kdc = false\n"))
	empty, keytab := write("empty", emptyCache()), write("keytab", newTicketServer(t).issuer.Keytab())
	for _, c := range []struct {
		name            string
		conf, cache     string
		keytab          string
		opening, asking string
	}{
		{"no krb5.conf", dir, empty, "", "KRB5_CONFIG names another file", ""},
		{"no cache", realm, filepath.Join(dir, "absent"), "", "", "run kinit"},
		{"expired", realm, "FILE:" + empty, "", "", "tickets of bob@EXAMPLE.ORG have expired: run kinit"},
		{"in the kernel", realm, "KEYRING:persistent:0", "", "run kinit -c FILE:/path, and set KRB5CCNAME to that", ""},
		{"no keytab", realm, empty, filepath.Join(dir, "absent"), "keytab " + filepath.Join(dir, "absent") + ": no such file", ""},
		{"no KDC", realm, empty, keytab, "", "write it into krb5.conf"},
	} {
		for _, source := range []string{"kpop://bob@mail.example.org", "pops://bob;AUTH=GSSAPI@mail.example.org"} {
			section := fetchSection(t, source, "mbox:"+filepath.Join(dir, "mbox"))
			section.Keytab = c.keytab
			o := fetchOptions(t, section)
			env := map[string]string{"KRB5_CONFIG": c.conf, "KRB5CCNAME": c.cache, "HOME": dir}
			o.Getenv = func(key string) string { return env[key] }
			f, err := OpenFetch(t.Context(), o)
			if c.opening != "" {
				if err == nil || !strings.Contains(err.Error(), c.opening) || strings.Contains(err.Error(), "password") {
					t.Errorf("%s, %s: %v", c.name, source, err)
				}
				if err == nil {
					f.Close()
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, source, err)
				continue
			}
			tickets, err := f.ticketSource(&section)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tickets.ticket(t.Context()); err == nil || !strings.Contains(err.Error(), c.asking) {
				t.Errorf("%s, %s: %v", c.name, source, err)
			}
			if section.Source.KPOP { // nothing is dialled without a ticket
				if _, err := f.boxes[0].Dial(t.Context()); err == nil || !strings.Contains(err.Error(), c.asking) {
					t.Errorf("%s: dialling: %v", c.name, err)
				}
				if _, err := f.boxes[0].Dial(t.Context()); err == nil { // nor does it block the next one
					t.Errorf("%s: dialled", c.name)
				}
			}
			f.Close()
		}
	}
}

// A keytab that everybody can read is used, and the log says so.
func TestExposedKeytab(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keytab, realm := filepath.Join(dir, "keytab"), filepath.Join(dir, "krb5.conf")
	err := errors.Join(os.WriteFile(keytab, newTicketServer(t).issuer.Keytab(), 0o644), os.Chmod(keytab, 0o644),
		os.WriteFile(realm, []byte("[libdefaults]\ndefault_realm = "+testRealm+"\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	section := fetchSection(t, "kpop://bob@mail.example.org", "mbox:x")
	section.Keytab = keytab
	o := fetchOptions(t, section)
	var log bytes.Buffer
	o.Stderr, o.Getenv = &log, func(key string) string { return map[string]string{"KRB5_CONFIG": realm, "HOME": dir}[key] }
	f, err := OpenFetch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if strings.Count(log.String(), "chmod 600") != 1 {
		t.Errorf("the log says %q", log.String())
	}
}

// Each code that people can do something about has its advice.
func TestKerberosAdvice(t *testing.T) {
	t.Parallel()
	source := &ticketSource{Fetch: &config.Fetch{}, cache: "x"}
	source.Source.Host = "mail.example.org"
	const otherKeys = "must renew its keytab"
	for _, c := range []struct {
		code        int32
		kdc, server string
	}{
		{clientUnknown, "name the principal", ""}, {serviceUnknown, "pop/mail.example.org", ""}, {wrongKey, "make it anew", ""},
		{badIntegrity, "make it anew", otherKeys}, {ticketExpired, "run kinit", "run kinit"}, {notForUs, "", otherKeys},
		{modified, "", otherKeys}, {badVersion, "", otherKeys}, {noKey, "", otherKeys}, {37, "set the clock", "set the clock"},
	} {
		rejected := &krb.Rejection{Code: c.code, By: "other side"}
		if err := source.fromKDC(rejected); !errors.Is(err, error(rejected)) || !strings.Contains(err.Error(), c.kdc) {
			t.Errorf("KDC, %d: %v", c.code, err)
		}
		if err := fromServer(rejected); !errors.Is(err, error(rejected)) || !strings.Contains(err.Error(), c.server) {
			t.Errorf("server, %d: %v", c.code, err)
		}
	}
	if err := errors.Join(source.fromKDC(nil), fromServer(nil)); err != nil {
		t.Errorf("nothing is wrong, but %v", err)
	}
}
