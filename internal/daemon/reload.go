package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/listen"
)

// retiring is how long account sources that others have taken the place of live on.
const retiring = 10 * time.Minute

// reload takes up the configuration as it is now. After an error nothing has
// changed. Sessions go on as they began; sockets that stay are never closed.
func (d *Daemon) reload(ctx context.Context) error {
	c, err := d.load()
	if err != nil {
		return err
	}
	if err := errors.Join(fixed(d.config, c), checkLegacy(c)); err != nil {
		return err
	}
	added, err := d.added(c)
	if err != nil {
		return err
	}
	users, err := d.reopenAccounts(ctx, c)
	if err != nil {
		return err
	}
	drop := func(err error) error {
		if users != d.accounts {
			err = errors.Join(err, users.close())
		}
		return err
	}
	tickets, err := d.openTickets(c, users, d.tickets)
	if err != nil {
		return drop(err)
	}
	sockets, err := d.openAdded(ctx, added)
	if err != nil {
		return drop(err)
	}
	if err := d.exchangeTLS(ctx, c); err != nil {
		for _, s := range sockets {
			_ = s.Close()
		}
		return drop(err)
	}
	if old := d.accounts; old != users {
		// Who is signing in, or delivering, still asks the old ones.
		time.AfterFunc(retiring, func() { d.tell("accounts", old.close()) })
	}
	d.config, d.accounts, d.tickets = c, users, tickets
	d.limiter.Configure(d.limits())
	d.exchangeDoors(c, added, sockets)
	return nil
}

// fixed finds what cannot change while the server runs.
func fixed(old, c *config.Config) error {
	var wrong []error
	for _, k := range []struct{ key, old, now string }{
		{"state_dir", old.StateDir, c.StateDir},
		{"mail.store", string(old.Mail.Store), string(c.Mail.Store)},
		{"mail.path", old.Mail.Path, c.Mail.Path},
		{"bucket", fmt.Sprintf("%+v", old.Bucket), fmt.Sprintf("%+v", c.Bucket)},
		{"mail.uidl_format", old.Mail.UIDLFormat, c.Mail.UIDLFormat},
		{"limits.sessions_per_account", strconv.Itoa(old.Limits.SessionsPerAccount), strconv.Itoa(c.Limits.SessionsPerAccount)},
		{"tls.client_ca", old.TLS.ClientCA, c.TLS.ClientCA},
		{"tls.acme", fmt.Sprintf("%+v", old.TLS.ACME.WithoutHosts()), fmt.Sprintf("%+v", c.TLS.ACME.WithoutHosts())},
		{"log.format", string(old.Log.Format), string(c.Log.Format)},
	} {
		if k.old != k.now {
			wrong = append(wrong, fmt.Errorf("%s: %s has changed from %q to %q, which needs a restart", c.File, k.key, k.old, k.now))
		}
	}
	return errors.Join(wrong...)
}

// added gives the listeners that have no door yet.
func (d *Daemon) added(c *config.Config) ([]config.Listen, error) {
	var added []config.Listen
	for _, l := range c.Listen {
		if d.door(l) != nil {
			continue
		}
		for _, n := range d.doors {
			if n.config.Addr == l.Addr {
				return nil, fmt.Errorf("%s: proto, mode or group of the listener at %s has changed, which needs a restart", c.File, l.Addr)
			}
		}
		added = append(added, l)
	}
	return added, nil
}

// door gives the open door of a listener, or nil.
func (d *Daemon) door(l config.Listen) *door {
	for _, n := range d.doors {
		if n.same(l) {
			return n
		}
	}
	return nil
}

// openAdded opens all sockets or none.
func (d *Daemon) openAdded(ctx context.Context, added []config.Listen) ([]net.Listener, error) {
	var sockets []net.Listener
	var wrong []error
	for _, l := range added {
		s, err := listen.Open(ctx, socket(l))
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		sockets = append(sockets, s)
	}
	if len(wrong) == 0 {
		return sockets, nil
	}
	for _, s := range sockets {
		_ = s.Close()
	}
	return nil, errors.Join(wrong...)
}

// exchangeDoors keeps, closes and opens doors, so that they are those of c.
func (d *Daemon) exchangeDoors(c *config.Config, added []config.Listen, sockets []net.Listener) {
	var keep []*door
	for _, l := range c.Listen {
		if n := d.door(l); n != nil {
			d.configure(n, l)
			keep = append(keep, n)
		}
	}
	for _, n := range d.doors {
		if !slices.Contains(keep, n) {
			n.close()
			d.closed = append(d.closed, n)
		}
	}
	for i, l := range added {
		n := d.newDoor(l, sockets[i])
		d.serve(n)
		keep = append(keep, n)
	}
	d.doors = keep
}

// tell logs an error that is nobody else's to know.
func (d *Daemon) tell(what string, err error) {
	if err != nil {
		d.log.Error(what, "error", err)
	}
}
