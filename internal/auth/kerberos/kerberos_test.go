package kerberos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/sasl"
)

const realm = "EXAMPLE.ORG"

var bob = krb.Principal{Name: []string{"bob"}, Realm: realm}

type site struct {
	acceptor *krb.Acceptor
	issuer   *krb.Issuer
}

func newSite(t testing.TB, encryption int32) site {
	t.Helper()
	issuer, err := krb.NewIssuer(krb.Service("pop", "mail.example.org", realm), encryption)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(path, issuer.Keytab(), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := krb.NewAcceptor(krb.Options{Keytab: path, Service: "pop"})
	if err != nil {
		t.Fatal(err)
	}
	return site{a, issuer}
}

func (s site) ticket(t testing.TB, client krb.Principal, valid time.Duration) *krb.Ticket {
	t.Helper()
	k, err := s.issuer.Ticket(client, valid)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// play runs an exchange to its end, as pop3server and pop3client do. alter may
// change what goes from one to the other, which are counted from 0 on.
func play(t testing.TB, m sasl.Mechanism, c sasl.Client, alter func(step int, octets []byte) []byte) (account string, serverErr, clientErr error) {
	t.Helper()
	x := m.Start()
	response, has, err := c.Start()
	if err != nil {
		return "", nil, err
	}
	if !has || len(response) == 0 {
		t.Fatal("client has no initial response")
	}
	for step := 0; step < 9; step += 2 {
		challenge, account, err := x.Next(t.Context(), alter(step, response))
		if err != nil || account != "" {
			if err == nil {
				clientErr = c.Done()
			}
			return account, err, clientErr
		}
		if response, err = c.Next(alter(step+1, challenge)); err != nil {
			return "", nil, err
		}
	}
	t.Fatal("exchange has no end")
	return "", nil, nil
}

func asIs(_ int, octets []byte) []byte { return octets }

func TestTogether(t *testing.T) {
	t.Parallel()
	for _, encryption := range []int32{17, 18, 19, 20} {
		s := newSite(t, encryption)
		for identity, account := range map[string]string{
			"": "bob", "bob": "bob", "BOB": "bob", "bob@EXAMPLE.ORG": "bob",
			"alice": "", "bob@example.com": "", "bob/admin": "", "\xff": "", "bob\n": "",
		} {
			m := NewGSSAPI(s.acceptor, Rule{Realm: realm}, netip.Addr{})
			got, serverErr, clientErr := play(t, m, Client(s.ticket(t, bob, time.Hour), identity), asIs)
			if got != account || clientErr != nil || (account == "") != errors.Is(serverErr, sasl.ErrRefused) {
				t.Errorf("encryption type %d, %q: %q, %v, %v", encryption, identity, got, serverErr, clientErr)
			}
		}
	}
	if _, _, err := Client(newSite(t, 0).ticket(t, bob, time.Hour), "bob\x00").Start(); err == nil {
		t.Error("NUL in the identity")
	}
}

func TestTicketsAreRefused(t *testing.T) {
	t.Parallel()
	s, stranger := newSite(t, 0), newSite(t, 0)
	m := NewGSSAPI(s.acceptor, Rule{Realm: realm}, netip.Addr{})
	for name, k := range map[string]*krb.Ticket{
		"expired":         s.ticket(t, bob, -time.Hour),
		"stranger's":      stranger.ticket(t, bob, time.Hour),
		"other realm's":   s.ticket(t, krb.Principal{Name: []string{"bob"}, Realm: "EXAMPLE.COM"}, time.Hour),
		"service's":       s.ticket(t, krb.Service("pop", "mail.example.org", realm), time.Hour),
		"administrator's": s.ticket(t, krb.Principal{Name: []string{"bob", "admin"}, Realm: realm}, time.Hour),
	} {
		account, serverErr, _ := play(t, m, Client(k, ""), asIs)
		if account != "" || !errors.Is(serverErr, sasl.ErrRefused) {
			t.Errorf("%s ticket: %q, %v", name, account, serverErr)
		}
	}
	recorded := [][]byte{}
	c := Client(s.ticket(t, bob, time.Hour), "")
	if account, serverErr, clientErr := play(t, m, c, func(_ int, b []byte) []byte {
		recorded = append(recorded, b)
		return b
	}); account != "bob" {
		t.Fatal(serverErr, clientErr)
	}
	if _, _, err := m.Start().Next(t.Context(), recorded[0]); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("replay: %v", err)
	}
}

// TestAltered alters every octet of every message on its way. Nobody gets in,
// but where the octet means nothing, as where ASN.1 has two ways to say it.
func TestAltered(t *testing.T) {
	t.Parallel()
	s := newSite(t, 18)
	m := NewGSSAPI(s.acceptor, Rule{Realm: realm}, netip.Addr{})
	k := s.ticket(t, bob, time.Hour)
	for _, step := range []int{1, 3, 4} {
		for i := range 400 {
			n := 0
			account, serverErr, clientErr := play(t, m, Client(k, "bob"), func(now int, b []byte) []byte {
				if now == step {
					n = len(b)
					b = bytes.Clone(b)
					if i < n {
						b[i] ^= 0x01
					} else {
						b = append(b, 0)
					}
				}
				return b
			})
			meaningless := step == 1 && i <= 60 || step != 1 && i == 6 // a rotation by 256 octets is none
			if account != "" && !meaningless || serverErr == nil && clientErr == nil && account == "" {
				t.Errorf("step %d, octet %d of %d: %q, %v, %v", step, i, n, account, serverErr, clientErr)
			}
			if i == n {
				break
			}
		}
	}
}

// TestServerHostile gives the server what no client should.
func TestServerHostile(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	k := s.ticket(t, bob, time.Hour)
	first := func(o krb.RequestOptions) []byte {
		r, err := k.Request(o)
		if err != nil {
			t.Fatal(err)
		}
		return frame(tokenRequest, r.Message)
	}
	spnego := append([]byte{0x60, 0x08, 0x06, 0x06, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x02}, 0)
	for name, token := range map[string][]byte{
		"empty":        {},
		"text":         []byte("bob"),
		"bare header":  frame(tokenRequest, nil),
		"garbage":      frame(tokenRequest, []byte("garbage")),
		"reply":        frame(tokenReply, []byte("garbage")),
		"SPNEGO":       spnego,
		"indefinite":   {0x60, 0x80, 0, 0},
		"long length":  {0x60, 0x84, 0, 0, 0, 0},
		"half":         first(krb.RequestOptions{})[:40],
		"KPOP's":       first(krb.RequestOptions{}),
		"short flags":  first(krb.RequestOptions{Checksum: krb.Checksum{Type: checksumType, Value: make([]byte, 23)}}),
		"wrong length": first(krb.RequestOptions{Checksum: krb.Checksum{Type: checksumType, Value: make([]byte, 24)}}),
		"other sum":    first(krb.RequestOptions{Checksum: krb.Checksum{Type: 7, Value: make([]byte, 24)}}),
	} {
		x := NewGSSAPI(s.acceptor, Rule{Realm: realm}, netip.Addr{}).Start()
		challenge, account, err := x.Next(t.Context(), token)
		if err == nil || account != "" || challenge != nil {
			t.Errorf("%s: %q, %q, %v", name, challenge, account, err)
		}
		if _, account, err := x.Next(t.Context(), []byte{}); err == nil || account != "" {
			t.Errorf("%s: goes on behind an error: %q", name, account)
		}
	}
}

// TestLastTokens gives the server every kind of last token, under the right
// key.
func TestLastTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	none := []byte{1, 0, 0, 0}
	for name, test := range map[string]struct {
		make func(*krb.Session) ([]byte, error)
		ok   bool
	}{
		"right":           {func(k *krb.Session) ([]byte, error) { return wrap(k, false, none) }, true},
		"rotated":         {func(k *krb.Session) ([]byte, error) { return rotated(k, none, 5) }, true},
		"rotated far":     {func(k *krb.Session) ([]byte, error) { return rotated(k, none, 5+16*100) }, true},
		"size":            {func(k *krb.Session) ([]byte, error) { return wrap(k, false, []byte{1, 0xFF, 0xFF, 0xFF}) }, true},
		"integrity":       {func(k *krb.Session) ([]byte, error) { return wrap(k, false, []byte{2, 0, 0, 0}) }, false},
		"confidentiality": {func(k *krb.Session) ([]byte, error) { return wrap(k, false, []byte{4, 0, 0, 0}) }, false},
		"two layers":      {func(k *krb.Session) ([]byte, error) { return wrap(k, false, []byte{3, 0, 0, 0}) }, false},
		"no layer":        {func(k *krb.Session) ([]byte, error) { return wrap(k, false, []byte{0, 0, 0, 0}) }, false},
		"short":           {func(k *krb.Session) ([]byte, error) { return wrap(k, false, none[:3]) }, false},
		"empty":           {func(k *krb.Session) ([]byte, error) { return wrap(k, false, nil) }, false},
		"NUL":             {func(k *krb.Session) ([]byte, error) { return wrap(k, false, append(none[:4:4], "bob\x00"...)) }, false},
		"our own":         {func(k *krb.Session) ([]byte, error) { return wrap(k, true, none) }, false},
		"next number": {func(k *krb.Session) ([]byte, error) {
			next := *k
			next.InitiatorSequence++
			return wrap(&next, false, none)
		}, false},
		"client's key": {func(k *krb.Session) ([]byte, error) {
			other := *k
			other.AcceptorKey = false
			return wrap(&other, false, none)
		}, false},
		"nothing": {func(*krb.Session) ([]byte, error) { return []byte{}, nil }, false},
		"header":  {func(k *krb.Session) ([]byte, error) { return wrapHeaderOf(k, false), nil }, false},
		"no end": {func(k *krb.Session) ([]byte, error) {
			token, err := wrap(k, false, none)
			binary.BigEndian.PutUint16(token[4:], 0xFFFF)
			return token, err
		}, false},
	} {
		c := Client(s.ticket(t, bob, time.Hour), "").(*client)
		x := NewGSSAPI(s.acceptor, Rule{Realm: realm}, netip.Addr{}).Start()
		initial, _, err := c.Start()
		if err != nil {
			t.Fatal(err)
		}
		proof, _, err := x.Next(t.Context(), initial)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(proof); err != nil {
			t.Fatal(err)
		}
		if _, _, err := x.Next(t.Context(), []byte{}); err != nil {
			t.Fatal(err)
		}
		token, err := test.make(c.session)
		if err != nil {
			t.Fatal(err)
		}
		_, account, err := x.Next(t.Context(), token)
		if (account == "bob") != test.ok || (err == nil) != test.ok {
			t.Errorf("%s: %q, %v", name, account, err)
		}
	}
}

// rotated is wrap as Windows does it.
func rotated(s *krb.Session, payload []byte, n int) ([]byte, error) {
	token, err := wrap(s, false, payload)
	if err != nil {
		return nil, err
	}
	body := token[wrapHeader:]
	k := len(body) - n%len(body)
	body = append(bytes.Clone(body[k:]), body[:k]...)
	token = append(token[:wrapHeader], body...)
	binary.BigEndian.PutUint16(token[6:], uint16(n))
	return token, nil
}

// TestClientHostile gives the client what no server should.
func TestClientHostile(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	for name, offer := range map[string][]byte{
		"integrity":       {2, 0, 16, 0},
		"no layer at all": {0, 0, 0, 0},
		"short":           {1, 0, 0},
		"long":            {1, 0, 0, 0, 0},
	} {
		c := Client(s.ticket(t, bob, time.Hour), "").(*client)
		session := begin(t, s, c)
		token, err := wrap(session, true, offer)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := c.Next(token); err == nil || c.Done() == nil {
			t.Errorf("%s: %q", name, response)
		}
	}
	c := Client(s.ticket(t, bob, time.Hour), "").(*client)
	session := begin(t, s, c)
	if c.Done() == nil {
		t.Error("done before the offer")
	}
	token, err := wrap(session, true, []byte{7, 0, 16, 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(token); err != nil || c.Done() != nil {
		t.Errorf("every layer: %v", err)
	}
	if _, err := c.Next(token); err == nil {
		t.Error("a challenge too many")
	}
	for _, token := range [][]byte{nil, {}, []byte("x"), frame(tokenReply, []byte("x")), frame(tokenError, []byte("x")), frame(0x0400, nil)} {
		c := Client(s.ticket(t, bob, time.Hour), "")
		c.Start()
		if _, err := c.Next(token); err == nil || c.Done() == nil {
			t.Errorf("%q for a proof", token)
		}
		if _, err := c.Next(token); err == nil {
			t.Errorf("%q for an offer", token)
		}
	}
	refusal := &krb.Refusal{Code: 34}
	c = Client(s.ticket(t, bob, time.Hour), "").(*client)
	c.Start()
	if _, err := c.Next(frame(tokenError, refusal.Message())); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("KRB-ERROR: %v", err)
	}
}

// begin brings a client to where it waits for the offer.
func begin(t *testing.T, s site, c *client) *krb.Session {
	t.Helper()
	initial, _, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	_, message, err := unframe(initial)
	if err != nil {
		t.Fatal(err)
	}
	session, reply, err := s.acceptor.Accept(message, krb.Asked{Subkey: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(frame(tokenReply, reply)); err != nil {
		t.Fatal(err)
	}
	return session
}

// oneSided is an acceptor whose clients do not ask it to prove itself.
type oneSided struct{ *krb.Acceptor }

func (o oneSided) Accept(message []byte, asked krb.Asked) (*krb.Session, []byte, error) {
	asked.Subkey = false
	s, _, err := o.Acceptor.Accept(message, asked)
	if err == nil {
		s.Mutual, s.AcceptorSequence = false, s.InitiatorSequence
	}
	return s, nil, err
}

// TestOneSided: the offer comes at once, and the rest is as ever.
func TestOneSided(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	r, err := s.ticket(t, bob, time.Hour).Request(krb.RequestOptions{
		Checksum: krb.Checksum{Type: checksumType, Value: append([]byte{16, 0, 0, 0}, make([]byte, 20)...)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var session *krb.Session
	x := NewGSSAPI(spy{oneSided{s.acceptor}, &session}, Rule{Realm: realm}, netip.Addr{}).Start()
	if challenge, _, err := x.Next(t.Context(), nil); err != nil || challenge == nil || len(challenge) > 0 {
		t.Fatalf("%q, %v", challenge, err)
	}
	offer, _, err := x.Next(t.Context(), frame(tokenRequest, r.Message))
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := unwrap(session, true, offer); err != nil || !bytes.Equal(payload, []byte{1, 0, 0, 0}) {
		t.Errorf("%v, %v", payload, err)
	}
	answer, err := wrap(session, false, []byte{1, 0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, account, err := x.Next(t.Context(), answer); account != "bob" || err != nil {
		t.Errorf("%q, %v", account, err)
	}
}

type spy struct {
	Acceptor
	session **krb.Session
}

func (a spy) Accept(message []byte, asked krb.Asked) (s *krb.Session, reply []byte, err error) {
	s, reply, err = a.Acceptor.Accept(message, asked)
	*a.session = s
	return s, reply, err
}

type outage struct{}

func (outage) Accept([]byte, krb.Asked) (*krb.Session, []byte, error) { return nil, nil, krb.ErrBusy }

func (outage) Lookup(context.Context, string) (string, error) { return "", errors.New("no disk") }

// TestOutage: an outage is no refusal.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	for _, m := range []sasl.Mechanism{
		NewGSSAPI(outage{}, Rule{Realm: realm}, netip.Addr{}),
		NewGSSAPI(s.acceptor, Rule{Realm: realm, Accounts: outage{}}, netip.Addr{}),
	} {
		_, err, _ := play(t, m, Client(s.ticket(t, bob, time.Hour), ""), asIs)
		if err == nil || errors.Is(err, sasl.ErrRefused) || errors.Is(err, sasl.ErrMalformed) {
			t.Errorf("%v", err)
		}
	}
}

// TestFrame takes the lengths at which DER changes its form.
func TestFrame(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 113, 114, 115, 128, 242, 243, 255, 256, 65535, 65536} {
		message := []byte(strings.Repeat("x", n))
		token := frame(tokenReply, message)
		kind, got, err := unframe(token)
		if err != nil || kind != tokenReply || !bytes.Equal(got, message) {
			t.Errorf("%d: %v", n, err)
		}
		if _, _, err := unframe(append(token, 0)); err == nil {
			t.Errorf("%d: octet too many", n)
		}
		if _, _, err := unframe(token[:len(token)-1]); err == nil {
			t.Errorf("%d: octet too few", n)
		}
	}
}

func FuzzServer(f *testing.F) {
	s := newSite(f, 0)
	c := Client(s.ticket(f, bob, time.Hour), "")
	initial, _, err := c.Start()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(initial, []byte{}, []byte{5, 4})
	f.Fuzz(func(t *testing.T, one, two, three []byte) {
		x := NewGSSAPI(s.acceptor, Rule{Realm: realm}, netip.Addr{}).Start()
		for _, response := range [][]byte{one, two, three} {
			if _, account, err := x.Next(t.Context(), response); err != nil {
				return
			} else if account != "" {
				t.Errorf("account %q", account)
			}
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	s := newSite(f, 0)
	r, err := s.ticket(f, bob, time.Hour).Request(krb.RequestOptions{})
	if err != nil {
		f.Fatal(err)
	}
	session, _, err := s.acceptor.Accept(r.Message, krb.Asked{Subkey: true})
	if err != nil {
		f.Fatal(err)
	}
	other := *session
	other.InitiatorSequence++
	token, err := wrap(&other, false, []byte{1, 0, 0, 0})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Fuzz(func(t *testing.T, b []byte) {
		if payload, err := unwrap(session, false, b); err == nil {
			t.Errorf("%q", payload)
		}
		unframe(b)
	})
}
