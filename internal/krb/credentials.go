package krb

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jcmturner/gokrb5/v8/crypto"
)

// Credentials are what a client proves itself with. They may be used by many
// goroutines, of which one at a time talks to the KDC.
type Credentials struct {
	client Principal
	config *Config
	secret func(kind int32, salt saltOf) (Key, error) // nil: there are only tickets

	mu      sync.Mutex
	tickets []*Ticket
}

// saltOf is what the KDC says about how a password becomes a key.
type saltOf struct {
	salt   string
	params string // in hexadecimal; empty: the encryption type's own
}

// FromCache takes the tickets of a credential cache in a file, as kinit makes
// it.
func FromCache(path string, c *Config) (*Credentials, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("krb: credential cache %s: %w; run kinit", path, bare(err))
	}
	all, err := parseCache(data)
	if err != nil {
		return nil, fmt.Errorf("krb: credential cache %s: %w", path, err)
	}
	return &Credentials{client: all.client, config: c, tickets: all.tickets}, nil
}

// FromKeytab takes the keys of a principal from a keytab, for programs that
// nobody runs kinit for. The realm may be missing if c has a default.
func FromKeytab(path, client string, c *Config) (*Credentials, error) {
	p, err := c.principal(client)
	if err != nil {
		return nil, err
	}
	keys, err := openKeytab(path, nil)
	if err != nil {
		return nil, err
	}
	secret := func(kind int32, _ saltOf) (Key, error) {
		key, _, ok := keys.key(p, 0, kind)
		if !ok {
			return Key{}, fmt.Errorf("krb: keytab %s has no key of %s with encryption type %d", path, p, kind)
		}
		return key, nil
	}
	return &Credentials{client: p, config: c, secret: secret}, nil
}

// FromPassword takes a principal's password. The realm may be missing if c has
// a default.
func FromPassword(client, password string, c *Config) (*Credentials, error) {
	p, err := c.principal(client)
	if err != nil {
		return nil, err
	}
	if password == "" {
		return nil, errors.New("krb: password is empty")
	}
	secret := func(kind int32, s saltOf) (Key, error) { return keyOf(password, kind, s) }
	return &Credentials{client: p, config: c, secret: secret}, nil
}

func (c *Config) principal(name string) (Principal, error) {
	p, err := ParsePrincipal(name)
	if err == nil && p.Realm == "" {
		if p.Realm = c.Realm(); p.Realm == "" {
			err = fmt.Errorf("krb: which realm is %s of? krb5.conf has no default_realm", quote(name))
		}
	}
	return p, err
}

// maxIterations bounds the work that a KDC can ask for (RFC 3962 §4: a client
// may refuse more than it likes). MIT's default is 4,096, RFC 8009's 32,768.
const maxIterations = 1 << 20

// keyOf makes a key of a password.
func keyOf(password string, kind int32, s saltOf) (key Key, err error) {
	e, ok := findEncryption(kind)
	if !ok {
		return key, errEncryption
	}
	key.kind = e
	t, err := crypto.GetEtype(kind)
	if err != nil {
		return key, errEncryption
	}
	if s.params == "" {
		s.params = t.GetDefaultStringToKeyParams()
	}
	err = guarded(func() error {
		key.value, err = t.StringToKey(password, s.salt, s.params)
		return err
	})
	if err != nil || len(key.value) != e.key {
		return Key{}, errors.New("krb: KDC says in a wrong way how a password becomes a key")
	}
	return key, nil
}

// Client is who the credentials are of.
func (c *Credentials) Client() Principal { return c.client }

// Ticket gives a ticket for a service on a host, from memory or from the KDC.
// An error wraps [ErrRefused] if the credentials are not good, or are too old,
// or the KDC does not know the service.
func (c *Credentials) Ticket(ctx context.Context, service, host string) (*Ticket, error) {
	want := Service(service, host, "")
	want.Realm = c.config.realmOf(want.Name[1], c.client.Realm)
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.find(want); t != nil {
		return t, nil
	}
	return c.walk(ctx, want)
}

// find gives a ticket that is there and can be used; mu is held. The one that
// came last is the first to be found.
func (c *Credentials) find(service Principal) *Ticket {
	for i := len(c.tickets) - 1; i >= 0; i-- {
		if t := c.tickets[i]; t.service.Equal(service) && t.valid() {
			return t
		}
	}
	return nil
}

// keep remembers a ticket, and forgets those that are over; mu is held.
func (c *Credentials) keep(t *Ticket) {
	live := c.tickets[:0]
	for _, old := range c.tickets {
		if old.valid() && !old.service.Equal(t.service) {
			live = append(live, old)
		}
	}
	c.tickets = append(live, t)
}

// walk gets a ticket, by way of the client's realm and, where the service is
// of another, of that: only realms that know each other directly.
func (c *Credentials) walk(ctx context.Context, want Principal) (*Ticket, error) {
	home := Principal{Name: []string{"krbtgt", c.client.Realm}, Realm: c.client.Realm}
	tgt := c.find(home)
	if tgt == nil {
		if c.secret == nil {
			return nil, fmt.Errorf("krb: %w: tickets of %s have expired: run kinit", ErrRefused, c.client)
		}
		var err error
		if tgt, err = c.login(ctx, home); err != nil {
			return nil, err
		}
		c.keep(tgt)
	}
	if want.Realm != c.client.Realm {
		there := Principal{Name: []string{"krbtgt", want.Realm}, Realm: c.client.Realm}
		foreign := c.find(there)
		if foreign == nil {
			var err error
			if foreign, err = c.exchange(ctx, tgt, c.client.Realm, there); err != nil {
				return nil, err
			}
			c.keep(foreign)
		}
		tgt = foreign
	}
	t, err := c.exchange(ctx, tgt, want.Realm, want)
	if err != nil {
		return nil, err
	}
	c.keep(t)
	return t, nil
}
