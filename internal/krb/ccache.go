package krb

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

// CachePath gives the file that a credential cache is in. name is the value of
// KRB5CCNAME; if it is empty, the cache is where kinit puts it for the user
// with that number. Only caches in files can be read.
func CachePath(name string, uid int) (string, error) {
	if name == "" {
		return fmt.Sprintf("/tmp/krb5cc_%d", uid), nil
	}
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	kind, path, found := strings.Cut(name, ":")
	if !found {
		return name, nil
	}
	if kind != "FILE" {
		return "", fmt.Errorf("krb: credential cache of kind %s cannot be read: run kinit -c FILE:/path, and set KRB5CCNAME to that", quote(kind))
	}
	return path, nil
}

// cache is a credential cache.
type cache struct {
	client  Principal
	tickets []*Ticket
}

// parseCache reads versions 3 and 4 of the format. Tickets of other encryption
// types, and what libraries note there about the realm, are passed over.
func parseCache(data []byte) (*cache, error) {
	c := &cursor{rest: data}
	magic, version := c.u8(), c.u8()
	if c.err != nil || magic != 5 || version != 3 && version != 4 {
		return nil, errors.New("not a credential cache")
	}
	if version == 4 {
		c.short() // header
	}
	all := &cache{client: c.principal()}
	if c.err == nil && !wellFormed(all.client.Name, all.client.Realm) {
		return nil, errTruncated
	}
	for c.err == nil && len(c.rest) > 0 {
		if t := c.credential(version); c.err == nil && t != nil && t.client.Equal(all.client) {
			all.tickets = append(all.tickets, t)
		}
	}
	return all, c.err
}

func (c *cursor) principal() (p Principal) {
	c.u32() // type of the name
	parts := c.u32()
	p.Realm = string(c.long())
	for range parts {
		if c.err != nil {
			break
		}
		p.Name = append(p.Name, string(c.long()))
	}
	return p
}

// credential gives nil if the credential is none that can be used.
func (c *cursor) credential(version uint8) *Ticket {
	t := &Ticket{client: c.principal(), service: c.principal()}
	kind := c.u16()
	if version == 3 {
		kind = c.u16() // it stands there twice
	}
	var err error
	t.key, err = newKey(types.EncryptionKey{KeyType: int32(kind), KeyValue: c.long()})
	c.u32() // of the first login
	t.start = time.Unix(int64(c.u32()), 0)
	t.end = time.Unix(int64(c.u32()), 0)
	c.u32() // how long it can be renewed
	userToUser := c.u8()
	c.u32()       // flags
	for range 2 { // addresses, and authorization data
		for range c.u32() {
			if c.err != nil {
				return nil
			}
			c.u16()
			c.long()
		}
	}
	ticket := c.long()
	c.long() // of the other user
	if c.err != nil || err != nil || userToUser != 0 || !wellFormed(t.service.Name, t.service.Realm) {
		return nil
	}
	if err := guarded(func() error { return t.wire.Unmarshal(ticket) }); err != nil {
		return nil
	}
	return t
}
