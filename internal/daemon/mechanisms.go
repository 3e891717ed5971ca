package daemon

import (
	"context"
	"net/netip"
	"slices"

	"github.com/postwain/postwain/internal/auth"
	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/obs"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// offering is what clients are offered to sign in by.
type offering struct {
	accounts *accounts
	tickets  *tickets // nil: there is no Kerberos
	hostname string
	offers   []sasl.Offer
	named    bool // by the operator
	cn       bool // see config.SASL.CommonName
	log      *obs.Log
}

// newOffering gives what the configuration names, in the order of strength.
func newOffering(c *config.Config, a *accounts, t *tickets, log *obs.Log) *offering {
	o := &offering{accounts: a, tickets: t, hostname: c.Hostname, named: len(c.SASL.Mechanisms) > 0, cn: c.SASL.CommonName, log: log}
	for _, offer := range sasl.Offers() {
		if wanted := slices.Contains(c.SASL.Mechanisms, config.Offered(offer.Name)); wanted || !o.named && offer.Default {
			o.offers = append(o.offers, offer)
		}
	}
	return o
}

// to gives the mechanisms for a client. It is asked at the beginning of each
// connection, and again inside TLS.
func (o *offering) to(p pop3server.Peer) []sasl.Mechanism {
	if p.Principal != "" {
		return []sasl.Mechanism{o.ticketHolder(p)}
	}
	m := maker{offering: o, peer: p}
	m.bind()
	list := make([]sasl.Mechanism, 0, len(o.offers))
	for _, offer := range o.offers {
		if !o.served(offer) {
			continue
		}
		if made := m.make(offer.Name); made != nil {
			list = append(list, o.guard(made, p.Remote.Addr()))
		}
	}
	return list
}

// ticketHolder is USER and PASS for a client that KPOP has proved: the name
// must be the account of its principal, and the password means nothing.
func (o *offering) ticketHolder(p pop3server.Peer) sasl.Mechanism {
	return o.guard(sasl.NewPlain(kerberos.NewProved(p.Principal, o.tickets.rule), sasl.Login{}), p.Remote.Addr())
}

// served says that the account sources have what the mechanism needs. Where the
// operator has not named it, everybody must have that: a client that prefers
// it would be locked out.
func (o *offering) served(offer sasl.Offer) bool {
	switch {
	case offer.Schemes == nil:
		return true
	case o.named:
		return o.accounts.serveSome(offer.Schemes)
	}
	return o.accounts.serveAll(offer.Schemes)
}

// guard makes guessing slow, and names in the log.
func (o *offering) guard(m sasl.Mechanism, from netip.Addr) sasl.Mechanism {
	return o.accounts.Guard(m, from, func(a auth.Attempt) {
		if a.Master != "" {
			o.log.Info("a master user signs in", "user", obs.User(a.User), "master", obs.User(a.Master), "rip", from.String())
		}
	})
}

// maker makes the mechanisms of one connection.
type maker struct {
	*offering
	peer    pop3server.Peer
	binding []byte
}

// bind finds the channel binding, if a form with it is offered: the others must
// know it as well.
func (m *maker) bind() {
	if m.peer.TLS == nil || !slices.ContainsFunc(m.offers, func(o sasl.Offer) bool {
		return (o.Name == "SCRAM-SHA-256-PLUS" || o.Name == "SCRAM-SHA-1-PLUS") && m.served(o)
	}) {
		return
	}
	if b, err := sasl.TLSExporter(*m.peer.TLS); err == nil { // else the connection has none
		m.binding = b
	}
}

// make gives a mechanism, or nil if the connection has no use for it.
func (m *maker) make(name string) sasl.Mechanism {
	a := m.accounts
	from := sasl.Login{Remote: m.peer.Remote.Addr(), TLS: m.peer.TLS != nil}
	switch {
	case name == "PLAIN" && a.Authenticator != nil:
		return sasl.NewPlain(a.Authenticator, from)
	case name == "LOGIN" && a.Authenticator != nil:
		return sasl.NewLogin(a.Authenticator, from)
	case name == "SCRAM-SHA-256":
		return m.scram(sasl.SCRAMSHA256, false)
	case name == "SCRAM-SHA-1":
		return m.scram(sasl.SCRAMSHA1, false)
	case name == "SCRAM-SHA-256-PLUS" && m.binding != nil:
		return m.scram(sasl.SCRAMSHA256, true)
	case name == "SCRAM-SHA-1-PLUS" && m.binding != nil:
		return m.scram(sasl.SCRAMSHA1, true)
	case name == "CRAM-MD5":
		return sasl.NewCRAMMD5(a.Secrets, m.hostname)
	case name == "APOP":
		return sasl.NewAPOP(a.Secrets, m.hostname)
	case name == "OAUTHBEARER" && a.Tokens != nil:
		return sasl.NewOAUTHBEARER(a.Tokens, a.bearer)
	case name == "XOAUTH2" && a.Tokens != nil:
		return sasl.NewXOAUTH2(a.Tokens, a.bearer)
	case name == "EXTERNAL":
		return m.external()
	case name == "GSSAPI" && m.tickets != nil:
		return m.tickets.mechanism(m.peer.Remote.Addr())
	}
	return nil
}

func (m *maker) scram(hash sasl.SCRAMHash, plus bool) sasl.Mechanism {
	return sasl.NewSCRAM(m.accounts.Secrets, sasl.SCRAMOptions{
		Hash: hash, Binding: m.binding, Plus: plus, Key: m.accounts.salt, Iterations: m.accounts.iterations(hash.String()),
	})
}

// external is for clients that have shown a certificate.
func (m *maker) external() sasl.Mechanism {
	if m.peer.TLS == nil || m.accounts.Looker == nil {
		return nil
	}
	names := sasl.CertificateNames(sasl.ClientCertificate(*m.peer.TLS), m.cn)
	if len(names) == 0 {
		return nil
	}
	account := sasl.CertificateAccount(m.accounts.Looker, names)
	return sasl.NewExternal(func(ctx context.Context, authzid string) (string, error) {
		name, err := account(ctx, authzid)
		if err == nil {
			err = m.accounts.Admit(ctx, name, m.peer.Remote.Addr())
		}
		return name, err
	})
}
