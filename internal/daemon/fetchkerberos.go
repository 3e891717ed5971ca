package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/kpop"
	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/sasl"
)

// ticketSource gets tickets for the server of a section.
type ticketSource struct {
	*config.Fetch
	realm *krb.Config
	cache string // of credentials; empty: the keytab has the keys
}

// ticketSource reads krb5.conf, and looks whether there is a keytab. A cache
// may come later: whoever runs kinit does it when it is time.
func (f *Fetch) ticketSource(s *config.Fetch) (*ticketSource, error) {
	realm, err := krb.LoadConfig(krb.ConfigPath(f.options.Getenv("KRB5_CONFIG")))
	if err != nil {
		return nil, fmt.Errorf("looking up the realm and its KDC: %w; KRB5_CONFIG names another file", err)
	}
	t := &ticketSource{Fetch: s, realm: realm}
	if s.Keytab == "" {
		t.cache, err = krb.CachePath(f.options.Getenv("KRB5CCNAME"), os.Getuid())
		return t, err
	}
	if err := secret.CheckMode(s.Keytab); err != nil {
		f.log.Warn("fetch", "warning", err.Error())
	}
	_, err = t.credentials()
	return t, err
}

// credentials are read for each session: the files change.
func (t *ticketSource) credentials() (*krb.Credentials, error) {
	if t.cache != "" {
		return krb.FromCache(t.cache, t.realm)
	}
	return krb.FromKeytab(t.Keytab, t.Client(), t.realm)
}

// ticket gets a ticket for the server.
func (t *ticketSource) ticket(ctx context.Context) (*krb.Ticket, error) {
	c, err := t.credentials()
	if err != nil {
		return nil, fmt.Errorf("getting a ticket: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	ticket, err := c.Ticket(ctx, kpop.Service, t.Source.Host)
	if err != nil {
		return nil, fmt.Errorf("getting a ticket for %s: %w", c.Client(), t.fromKDC(err))
	}
	return ticket, nil
}

// Codes of RFC 4120 §7.5.9 that people can do something about.
const (
	clientUnknown  = 6
	serviceUnknown = 7
	wrongKey       = 24
	badIntegrity   = 31
	ticketExpired  = 32
	notForUs       = 35
	modified       = 41
	badVersion     = 44
	noKey          = 45
)

// fromKDC says what to do about an error of getting a ticket.
func (t *ticketSource) fromKDC(err error) error {
	rejected, ok := errors.AsType[*krb.Rejection](err)
	if !ok {
		return err
	}
	switch rejected.Code {
	case clientUnknown:
		return fmt.Errorf("%w; name the principal that the keytab is of", err)
	case serviceUnknown:
		return fmt.Errorf("%w; write the host by the name that the realm knows it by, or have the service pop/%s made there", err, t.Source.Host)
	case wrongKey, badIntegrity:
		return fmt.Errorf("%w; the keytab is out of date: make it anew", err)
	case ticketExpired:
		return fmt.Errorf("%w; run kinit", err)
	}
	return err
}

// fromServer says what to do about an error of showing a ticket.
func fromServer(err error) error {
	if errors.Is(err, kpop.ErrProtocol) {
		return fmt.Errorf("%w; kpop:// is for port 1109; for POP3 there are pops:// and pop://, with auth GSSAPI", err)
	}
	rejected, ok := errors.AsType[*krb.Rejection](err)
	if !ok {
		return err
	}
	switch rejected.Code {
	case ticketExpired:
		return fmt.Errorf("%w; run kinit", err)
	case badIntegrity, notForUs, modified, badVersion, noKey:
		return fmt.Errorf("%w; the server has other keys than the ticket is for: run kinit, and if that does not help, those who run the server must renew its keytab", err)
	}
	return err
}

// owned says, of a refusal, whose the ticket is: a good one opens its owner's
// mailbox only.
func owned(s *config.Fetch, err error) error {
	refused, ok := errors.AsType[*pop3.Error](err)
	switch {
	case !ok || refused.Temporary():
		return err
	case s.Keytab != "":
		return fmt.Errorf("%w; the ticket is that of %s", err, s.Client())
	}
	return fmt.Errorf("%w; klist shows whose ticket it is", err)
}

// kpopDialer gives a function that gets a ticket and makes a dialer with it,
// behind which POP3 begins.
func (f *Fetch) kpopDialer(s *config.Fetch) (dialerFunc, error) {
	source, err := f.ticketSource(s)
	warn := sync.OnceFunc(func() {
		f.log.Warn("fetch", "account", s.Title(), "warning",
			"KPOP protects the sign-in only: everybody on the way can read the mail; pops:// with auth GSSAPI protects it too")
	})
	return func(ctx context.Context, line lineDialer) (pop3client.Dialer, error) {
		ticket, err := source.ticket(ctx)
		return &provingDialer{line, ticket, warn}, err
	}, err
}

// provingDialer shows a ticket on each connection that it makes.
type provingDialer struct {
	lineDialer
	ticket kpop.Initiator
	warn   func() // that it is in clear
}

func (d *provingDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.lineDialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := d.prove(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// prove shows the ticket.
func (d *provingDialer) prove(ctx context.Context, conn net.Conn) error {
	if err := kpop.Connect(ctx, conn, d.ticket); err != nil {
		return fromServer(err)
	}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		d.warn()
	}
	return nil
}

// kpopSignIn signs in behind KPOP: the name must be that of the ticket's owner,
// and the password, which means nothing, is the one that every client sends.
func kpopSignIn(s *config.Fetch) signInFunc {
	k := pop3client.Credentials{User: s.Source.User, Password: "krb_ticket", Mechanism: "USER", Plaintext: true}
	return func(ctx context.Context, c *pop3client.Client) error { return owned(s, c.SignIn(ctx, k)) }
}

// ticketSignIn gives a function that signs in by GSSAPI.
func (f *Fetch) ticketSignIn(s *config.Fetch) (signInFunc, error) {
	source, err := f.ticketSource(s)
	return func(ctx context.Context, c *pop3client.Client) error {
		ticket, err := source.ticket(ctx)
		if err != nil {
			return err
		}
		return source.gssapi(ctx, c, ticket)
	}, err
}

// gssapi signs in with a ticket. If it is this side that is not content, the
// server's answer to that is no refusal.
func (t *ticketSource) gssapi(ctx context.Context, c *pop3client.Client, ticket kerberos.Initiator) error {
	m := &attentive{Client: kerberos.Client(ticket, t.Source.User)}
	err := c.Auth(ctx, m, false)
	if m.err != nil && !errors.Is(m.err, sasl.ErrRefused) {
		return fmt.Errorf("AUTH GSSAPI: %w", fromServer(m.err))
	}
	return owned(t.Fetch, fromServer(err))
}

// attentive is a mechanism that remembers what it has had against the server.
type attentive struct {
	sasl.Client
	err error
}

func (a *attentive) Next(challenge []byte) (response []byte, err error) {
	response, a.err = a.Client.Next(challenge)
	return response, a.err
}
