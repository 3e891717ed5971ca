package daemon

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/internal/lmtp"
	"github.com/postwain/postwain/pop3server"
)

// door is a listener and the server behind it. One of pop and lmtp is set.
type door struct {
	config   config.Listen
	listener *listen.Listener
	pop      *pop3server.Server
	lmtp     *lmtp.Server
	closing  atomic.Bool
}

// String names the door by what is spoken and where.
func (d *door) String() string {
	a := d.listener.Addr()
	if a.Network() == "unix" {
		return string(d.config.Proto) + " unix:" + a.String()
	}
	return string(d.config.Proto) + " " + a.String()
}

// same reports whether l is to be served by this door.
func (d *door) same(l config.Listen) bool {
	return d.config.Proto == l.Proto && d.config.Addr == l.Addr && d.config.Mode == l.Mode && d.config.Group == l.Group
}

// newDoor makes a server for an open socket.
func (d *Daemon) newDoor(l config.Listen, socket net.Listener) *door {
	n := &door{config: l, listener: listen.New(socket, d.listenOptions(l))}
	if l.Proto == config.LMTP {
		n.lmtp = lmtp.NewServer(d.lmtpOptions())
	} else {
		n.pop = pop3server.NewServer(d.popOptions(l))
	}
	return n
}

// configure gives a door the present configuration.
func (d *Daemon) configure(n *door, l config.Listen) {
	n.config = l
	n.listener.Configure(d.listenOptions(l))
	if n.lmtp != nil {
		n.lmtp.Reconfigure(d.lmtpOptions())
	} else {
		n.pop.Reconfigure(d.popOptions(l))
	}
}

// serve lets connections in.
func (d *Daemon) serve(n *door) {
	d.serving.Go(func() {
		var err error
		if n.lmtp != nil {
			err = n.lmtp.Serve(n.listener)
		} else {
			err = n.pop.Serve(n.listener)
		}
		if n.closing.Load() || errors.Is(err, pop3server.ErrServerClosed) || errors.Is(err, lmtp.ErrServerClosed) {
			return
		}
		select {
		case d.failed <- err:
		default: // one is enough
		}
	})
}

// close lets nobody in any more. Who is in stays.
func (n *door) close() {
	n.closing.Store(true)
	_ = n.listener.Close()
}

// shutdown ends the server when its commands have ended, or with ctx.
func (n *door) shutdown(ctx context.Context) {
	n.closing.Store(true)
	if n.pop != nil {
		_ = n.pop.Shutdown(ctx) // closes the rest itself
		return
	}
	if n.lmtp.Shutdown(ctx) != nil {
		_ = n.lmtp.Close()
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		_ = n.lmtp.Shutdown(rest)
	}
}

func (d *Daemon) popOptions(l config.Listen) pop3server.Options {
	c := d.config
	o := pop3server.Options{
		Backend: &backend{d.accounts, newOffering(c, d.accounts, d.tickets, d.log), d.store, d.room, rules{
			pop3server.Policy{LoginDelay: c.Limits.LoginDelay, Expire: time.Duration(c.Limits.Expire)}, c.Mail.Lock,
		}},
		Implicit:       l.Proto == config.POP3S,
		InsecureAuth:   l.InsecureAuth,
		Hostname:       c.Hostname,
		Implementation: "Postwain",
		StrictUTF8:     c.Mail.UTF8 == config.Strict,
		LoginTimeout:   c.Limits.LoginTimeout,
		IdleTimeout:    c.Limits.IdleTimeout,
		WriteTimeout:   c.Limits.WriteTimeout,
		Sessions:       d.sessions,
		Trace:          popTrace(d.log, d.limiter),
	}
	switch {
	case l.Proto == config.KPOP:
		o.Preface = d.preface(d.tickets)
	case d.certificates != nil:
		o.TLS, o.LegacyTLS = d.certificates.ConfigFor(listen.Policy{Clients: d.clients, Legacy: l.Legacy}), l.Legacy
	}
	return o
}

func (d *Daemon) lmtpOptions() lmtp.Options {
	return lmtp.Options{
		Hostname:       d.config.Hostname,
		Deliverer:      d.store,
		Resolver:       &resolver{d.accounts, d.config.Hostname},
		MaxMessage:     int64(d.config.Limits.MessageSize),
		MaxConnections: d.config.Limits.LMTPConnections,
		Spool:          lmtp.SpoolIn(d.config.StateDir),
		Trace:          lmtpTrace(d.log),
	}
}

func (d *Daemon) listenOptions(l config.Listen) listen.Options {
	o := listen.Options{ProxyFrom: prefixes(l.ProxyFrom), Allow: prefixes(l.Allow), Refused: d.refusals.tell}
	switch {
	case l.Proto != config.LMTP:
		o.Limiter = d.limiter
	case l.Addr.Network == "tcp" && o.Allow == nil:
		o.Allow = thisMachine() // LMTP asks for no password
	}
	return o
}

// thisMachine are the networks that nobody else is in.
func thisMachine() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func prefixes(all []config.Network) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range all {
		out = append(out, n.Prefix)
	}
	return out
}

func (d *Daemon) limits() listen.Limits {
	l := d.config.Limits
	return listen.Limits{Total: min(l.Connections, mostConnections(openFiles())), PerAddress: l.ConnectionsPerAddress, Evict: true}
}

// socket is how config's listener is opened.
func socket(l config.Listen) listen.Socket {
	mode := l.Mode
	if mode == 0 {
		mode = 0o660
	}
	return listen.Socket{Network: l.Addr.Network, Address: l.Addr.Address, Mode: fs.FileMode(mode), Group: l.Group}
}
