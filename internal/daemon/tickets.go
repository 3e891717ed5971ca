package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/kpop"
	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// tickets judges Kerberos tickets.
type tickets struct {
	acceptor *krb.Acceptor
	rule     kerberos.Rule
}

// openTickets reads the keytab; nil: the configuration has none. The accounts
// are those of now, so it is opened again when they change. What a keytab has
// accepted is remembered as long as its acceptor lives.
func (d *Daemon) openTickets(c *config.Config, a *accounts, old *tickets) (*tickets, error) {
	k := c.Kerberos
	if k.Keytab == "" {
		return nil, nil
	}
	t := &tickets{rule: kerberos.Rule{
		Realm: k.Realm, Domain: k.Domain, FoldCase: k.FoldCase, Principals: k.Accounts(), Accounts: a.Looker,
	}}
	if old != nil && d.config.Kerberos.Keytab == k.Keytab {
		t.acceptor = old.acceptor
		return t, nil
	}
	var err error
	t.acceptor, err = krb.NewAcceptor(krb.Options{
		Keytab: k.Keytab, Service: "pop", Report: func(err error) { d.log.Error("kerberos", "error", err) },
	})
	if err != nil {
		return nil, fmt.Errorf("kerberos.keytab: %w", err)
	}
	return t, nil
}

func (t *tickets) mechanism(from netip.Addr) sasl.Mechanism {
	return kerberos.NewGSSAPI(t.acceptor, t.rule, from)
}

// preface is what comes before the greeting of Kerberized POP.
func (d *Daemon) preface(t *tickets) func(ctx context.Context, c net.Conn, p pop3server.Peer) (pop3server.Peer, error) {
	return func(ctx context.Context, c net.Conn, p pop3server.Peer) (pop3server.Peer, error) {
		principal, err := kpop.Accept(ctx, c, t.acceptor, p.Remote.Addr())
		switch {
		case errors.Is(err, krb.ErrRefused):
			d.log.AuthFailed(client(p), "", "KPOP")
		case err == nil:
			p.Principal, p.Secure = principal.String(), true // no password goes over it
		}
		return p, err
	}
}
