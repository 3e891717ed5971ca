package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postwain/postwain/internal/testkit"
)

// Passwords that must never be seen where they do not belong.
const (
	servicePassword = "canary-service-secret"
	userPassword    = "canary-user-secret"
	wrongPassword   = "canary-wrong-secret"
)

const serviceDN = "cn=service,dc=example,dc=org"

// entry is an entry of a fake directory.
type entry struct {
	dn, password string
	attributes   map[string][]string
	filters      []string // that find it
}

// directory is a server that is scripted.
type directory struct {
	entries []entry
	tls     *tls.Config // for StartTLS
	// answer, if it is not nil, gives the octets to send instead of what would
	// be said; nil: as usual.
	answer func(op *ber.Packet) []byte
	// code, if it is not zero, is the result of binds other than the service's,
	// and searchCode that of searches.
	code, searchCode uint16

	mu    sync.Mutex
	down  bool
	said  []string // what clients asked
	conns []net.Conn
	dials int
}

var errDown = errors.New("connection refused")

// dial is the network of the tests: the address's host is not looked at.
func (d *directory) dial(context.Context, string, string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dials++
	if d.down {
		return nil, errDown
	}
	client, server := testkit.Pipe()
	d.conns = append(d.conns, server)
	go d.serve(server)
	return client, nil
}

// stop ends the server, or starts it again.
func (d *directory) stop(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
}

func (d *directory) note(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, text)
}

// asked gives what clients have asked since the last call.
func (d *directory) asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := d.said
	d.said = nil
	return said
}

func (d *directory) serve(c net.Conn) {
	defer func() { c.Close() }()
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, op := p.Children[0].Value.(int64), p.Children[1]
		d.mu.Lock()
		answer := d.answer
		d.mu.Unlock()
		if answer != nil {
			if raw := answer(op); raw != nil {
				if len(raw) == 0 {
					return
				}
				if _, err := c.Write(raw); err != nil {
					return
				}
				continue
			}
		}
		for _, r := range d.reply(op) {
			if _, err := c.Write(message(id, r)); err != nil {
				return
			}
		}
		if op.Tag == ldap.ApplicationExtendedRequest {
			if d.tls == nil {
				continue
			}
			c = tls.Server(c, d.tls)
		}
	}
}

func (d *directory) reply(op *ber.Packet) []*ber.Packet {
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		dn, password := text(op.Children[1]), op.Children[2].Data.String()
		d.note("bind " + dn)
		return []*ber.Packet{outcome(ldap.ApplicationBindResponse, d.bind(dn, password))}
	case ldap.ApplicationSearchRequest:
		filter, _ := ldap.DecompileFilter(op.Children[6])
		d.note("search " + filter)
		return d.search(text(op.Children[0]), filter)
	case ldap.ApplicationExtendedRequest:
		d.note("starttls")
		code := uint16(0)
		if d.tls == nil {
			code = ldap.LDAPResultUnwillingToPerform
		}
		return []*ber.Packet{outcome(ldap.ApplicationExtendedResponse, code)}
	}
	return nil
}

func (d *directory) bind(dn, password string) uint16 {
	if dn == serviceDN && password == servicePassword {
		return 0
	}
	if d.code != 0 && dn != serviceDN {
		return d.code
	}
	for _, e := range d.entries {
		if e.dn == dn && e.password == password {
			return 0
		}
	}
	return ldap.LDAPResultInvalidCredentials
}

func (d *directory) search(base, filter string) (list []*ber.Packet) {
	code := uint16(ldap.LDAPResultSuccess)
	if filter == "(objectClass=*)" {
		code = ldap.LDAPResultNoSuchObject
	}
	if d.searchCode != 0 {
		return []*ber.Packet{outcome(ldap.ApplicationSearchResultDone, d.searchCode)}
	}
	for _, e := range d.entries {
		if slices.Contains(e.filters, filter) || filter == "(objectClass=*)" && e.dn == base {
			list, code = append(list, found(e.dn, e.attributes)), 0
		}
	}
	if len(list) > 2 {
		list, code = list[:2], ldap.LDAPResultSizeLimitExceeded
	}
	return append(list, outcome(ldap.ApplicationSearchResultDone, code))
}

func text(p *ber.Packet) string {
	s, _ := p.Value.(string)
	return s
}

// message is an LDAPMessage.
func message(id int64, op *ber.Packet) []byte {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	return p.Bytes()
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// outcome is an LDAPResult. What it says repeats every password, as a server
// might.
func outcome(tag ber.Tag, code uint16) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	p.AppendChild(octets(""))
	p.AppendChild(octets(servicePassword + userPassword + wrongPassword))
	return p
}

func found(dn string, attributes map[string][]string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(octets(dn))
	all := ber.NewSequence("")
	for name, values := range attributes {
		a, set := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range values {
			set.AppendChild(octets(v))
		}
		a.AppendChild(octets(name))
		a.AppendChild(set)
		all.AppendChild(a)
	}
	p.AppendChild(all)
	return p
}

// people are the entries that most tests have.
func people() []entry {
	return []entry{
		{dn: "uid=alice,ou=people,dc=example,dc=org", password: userPassword,
			filters: []string{"(uid=alice)", "(uid=alice@example.org)", "(mail=alice@example.org)"},
			attributes: map[string][]string{
				"MAIL": {"Alice@Example.org"}, "mailNets": {"192.0.2.0/24", "local"}, "loginDelay": {"60"}},
		},
		{dn: "uid=twin,ou=people,dc=example,dc=org", password: userPassword, filters: []string{"(uid=twin)"}},
		{dn: "uid=twin,ou=robots,dc=example,dc=org", password: userPassword, filters: []string{"(uid=twin)"}},
		{dn: "", password: userPassword, filters: []string{"(uid=nameless)"}},
		{dn: "uid=addresses,ou=people,dc=example,dc=org", password: userPassword, filters: []string{"(uid=addresses)"},
			attributes: map[string][]string{"mail": {"a@example.org", "b@example.org"}}},
		{dn: "uid=odd,ou=people,dc=example,dc=org", password: userPassword, filters: []string{"(uid=odd)", "(mail=odd)"},
			attributes: map[string][]string{"mail": {"not a name"}, "mailNets": {"a\x00b"}}},
	}
}

func searching() Options {
	return Options{
		URLs: []string{"ldapi:///run/slapd"}, Base: "dc=example,dc=org", Filter: "(uid=%u)",
		BindDN: serviceDN, Password: func() (string, error) { return servicePassword, nil },
		Decoy: "cn=nobody",
	}
}

func open(t testing.TB, d *directory, o Options) *Source {
	t.Helper()
	s, err := newSource(o, d.dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		d.stop(true)
	})
	return s
}

// quiet fails the test if err has a secret.
func quiet(t testing.TB, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("a secret is in the error: %v", err)
	}
}
