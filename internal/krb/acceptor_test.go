package krb

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

var (
	bob  = Principal{Name: []string{"bob"}, Realm: "EXAMPLE.ORG"}
	mail = Principal{Name: []string{"pop", "mail.example.org"}, Realm: "EXAMPLE.ORG"}
)

// realm is a service with its keytab.
type realm struct {
	issuer   *Issuer
	acceptor *Acceptor
	path     string
}

func newRealm(t testing.TB, encryption int32, o Options) *realm {
	t.Helper()
	issuer, err := NewIssuer(mail, encryption)
	if err != nil {
		t.Fatal(err)
	}
	r := &realm{issuer: issuer, path: filepath.Join(t.TempDir(), "keytab")}
	if err := os.WriteFile(r.path, issuer.Keytab(), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Keytab, o.Service = r.path, "pop"
	if r.acceptor, err = NewAcceptor(o); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *realm) ticket(t testing.TB, alter func(*messages.EncTicketPart)) *Ticket {
	t.Helper()
	ticket, err := r.issuer.make(bob, time.Hour, alter)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func unaltered(*messages.EncTicketPart) {}

func request(t testing.TB, ticket *Ticket, o RequestOptions) *Request {
	t.Helper()
	r, err := ticket.Request(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// remake makes the AP-REQ of a ticket with an altered authenticator, under key,
// and altered itself.
func remake(t testing.TB, ticket *Ticket, key Key, auth func(*types.Authenticator), req func(*messages.APReq)) []byte {
	t.Helper()
	now := time.Now().UTC()
	a := types.Authenticator{AVNO: 5, CRealm: ticket.client.Realm, CName: ticket.client.wire(), CTime: now, Cusec: now.Nanosecond() / 1000, SeqNumber: 7}
	auth(&a)
	plain, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.encrypt(usageAuthenticator, plain, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := messages.APReq{PVNO: 5, MsgType: msgRequest, APOptions: types.NewKrbFlags(), Ticket: ticket.wire, EncryptedAuthenticator: sealed}
	req(&r)
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, e := range encryptions() {
		for _, server := range []bool{false, true} {
			for _, client := range []bool{false, true} {
				t.Run(fmt.Sprint(e.id, server, client), func(t *testing.T) {
					t.Parallel()
					r := newRealm(t, e.id, Options{})
					sum := Checksum{0x8003, []byte("flags")}
					req := request(t, r.ticket(t, unaltered), RequestOptions{Checksum: sum, Subkey: client})
					theirs, reply, err := r.acceptor.Accept(req.Message, Asked{Subkey: server})
					if err != nil {
						t.Fatal(err)
					}
					ours, err := req.Verify(reply)
					if err != nil {
						t.Fatal(err)
					}
					if !theirs.Client.Equal(bob) || !theirs.Service.Equal(mail) || !theirs.Mutual ||
						theirs.Checksum.Type != sum.Type || !bytes.Equal(theirs.Checksum.Value, sum.Value) {
						t.Errorf("server knows %+v", theirs)
					}
					if !bytes.Equal(ours.Key.value, theirs.Key.value) || ours.AcceptorKey != server || theirs.AcceptorKey != server ||
						ours.InitiatorSequence != theirs.InitiatorSequence || ours.AcceptorSequence != theirs.AcceptorSequence {
						t.Errorf("client knows %+v, server %+v", ours, theirs)
					}
					if same := bytes.Equal(ours.Key.value, req.ticket.key.value); same != (!server && !client) {
						t.Errorf("key is the ticket's: %v", same)
					}
				})
			}
		}
	}
}

// TestRefusals alters one thing in what is otherwise good.
func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newRealm(t, 0, Options{})
	stranger, err := NewIssuer(mail, 0)
	if err != nil {
		t.Fatal(err)
	}
	asIs := func(*types.Authenticator) {}
	whole := func(*messages.APReq) {}
	ticket := func(alter func(*messages.EncTicketPart)) func(testing.TB) []byte {
		return func(t testing.TB) []byte { return request(t, r.ticket(t, alter), RequestOptions{}).Message }
	}
	auth := func(alter func(*types.Authenticator)) func(testing.TB) []byte {
		return func(t testing.TB) []byte {
			k := r.ticket(t, unaltered)
			return remake(t, k, k.key, alter, whole)
		}
	}
	req := func(alter func(*messages.APReq)) func(testing.TB) []byte {
		return func(t testing.TB) []byte {
			k := r.ticket(t, unaltered)
			return remake(t, k, k.key, asIs, alter)
		}
	}
	restricted := types.AuthorizationData{{ADType: 99, ADData: []byte("no mail")}}
	for name, test := range map[string]struct {
		code int32 // zero: accepted
		make func(testing.TB) []byte
	}{
		"nothing":             {0, ticket(unaltered)},
		"nothing remade":      {0, auth(asIs)},
		"sequence has a sign": {0, auth(func(a *types.Authenticator) { a.SeqNumber = -5 })},
		"no sequence":         {0, auth(func(a *types.Authenticator) { a.SeqNumber = 0 })},
		"clock 4 min behind":  {errorcode.KRB_AP_ERR_SKEW, auth(func(a *types.Authenticator) { a.CTime = a.CTime.Add(-4 * time.Minute) })},
		"clock 4 min ahead":   {0, auth(func(a *types.Authenticator) { a.CTime = a.CTime.Add(4 * time.Minute) })},
		"clock 6 min ahead":   {errorcode.KRB_AP_ERR_SKEW, auth(func(a *types.Authenticator) { a.CTime = a.CTime.Add(6 * time.Minute) })},
		"clock 6 min behind":  {errorcode.KRB_AP_ERR_SKEW, auth(func(a *types.Authenticator) { a.CTime = a.CTime.Add(-6 * time.Minute) })},
		"microseconds":        {errorcode.KRB_AP_ERR_SKEW, auth(func(a *types.Authenticator) { a.Cusec = 1_000_000 })},
		"old authenticator":   {errorcode.KRB_AP_ERR_BADVERSION, auth(func(a *types.Authenticator) { a.AVNO = 4 })},
		"other client":        {errorcode.KRB_AP_ERR_BADMATCH, auth(func(a *types.Authenticator) { a.CName.NameString = []string{"root"} })},
		"client's realm":      {errorcode.KRB_AP_ERR_BADMATCH, auth(func(a *types.Authenticator) { a.CRealm = "EXAMPLE.COM" })},
		"RC4 subkey":          {errorcode.KDC_ERR_ETYPE_NOSUPP, auth(func(a *types.Authenticator) { a.SubKey = types.EncryptionKey{KeyType: 23, KeyValue: make([]byte, 16)} })},
		"short subkey":        {errorcode.KDC_ERR_ETYPE_NOSUPP, auth(func(a *types.Authenticator) { a.SubKey = types.EncryptionKey{KeyType: 18, KeyValue: make([]byte, 16)} })},
		"restricted request":  {errorcode.KDC_ERR_POLICY, auth(func(a *types.Authenticator) { a.AuthorizationData = restricted })},
		"hint in request": {0, auth(func(a *types.Authenticator) {
			a.AuthorizationData = types.AuthorizationData{{ADType: adtype.ADIfRelevant, ADData: []byte{0x30, 0}}}
		})},
		"expired":           {errorcode.KRB_AP_ERR_TKT_EXPIRED, ticket(func(p *messages.EncTicketPart) { p.EndTime = time.Now().UTC().Add(-6 * time.Minute) })},
		"expired just now":  {0, ticket(func(p *messages.EncTicketPart) { p.EndTime = time.Now().UTC().Add(-4 * time.Minute) })},
		"from tomorrow on":  {errorcode.KRB_AP_ERR_TKT_NYV, ticket(func(p *messages.EncTicketPart) { p.StartTime = time.Now().UTC().Add(24 * time.Hour) })},
		"no start":          {0, ticket(func(p *messages.EncTicketPart) { p.StartTime = time.Time{} })},
		"marked invalid":    {errorcode.KRB_AP_ERR_TKT_NYV, ticket(func(p *messages.EncTicketPart) { types.SetFlag(&p.Flags, flagInvalid) })},
		"no flags":          {0, ticket(func(p *messages.EncTicketPart) { p.Flags.Bytes, p.Flags.BitLength = nil, 0 })},
		"restricted ticket": {errorcode.KDC_ERR_POLICY, ticket(func(p *messages.EncTicketPart) { p.AuthorizationData = restricted })},
		"RC4 in ticket":     {errorcode.KDC_ERR_ETYPE_NOSUPP, ticket(func(p *messages.EncTicketPart) { p.Key.KeyType = 23 })},
		"nameless client":   {errorcode.KRB_AP_ERR_BADMATCH, ticket(func(p *messages.EncTicketPart) { p.CName.NameString = nil })},
		"elsewhere":         {errorcode.KRB_AP_ERR_BADADDR, ticket(func(p *messages.EncTicketPart) { p.CAddr = hostAddresses(192, 0, 2, 2) })},
		"here":              {0, ticket(func(p *messages.EncTicketPart) { p.CAddr = hostAddresses(192, 0, 2, 1) })},
		"other realm":       {errorcode.KDC_ERR_PATH_NOT_ACCEPTED, foreign(r, false)},
		"other realm, good": {0, foreign(r, true)},
		"other host":        {errorcode.KRB_AP_ERR_NOKEY, req(func(q *messages.APReq) { q.Ticket.SName.NameString = []string{"pop", "www.example.org"} })},
		"other service":     {errorcode.KRB_AP_ERR_NOT_US, req(func(q *messages.APReq) { q.Ticket.SName.NameString = []string{"imap", "mail.example.org"} })},
		"service's realm":   {errorcode.KRB_AP_ERR_NOT_US, req(func(q *messages.APReq) { q.Ticket.Realm = "EXAMPLE.COM" })},
		"no service":        {errorcode.KRB_AP_ERR_NOT_US, req(func(q *messages.APReq) { q.Ticket.SName.NameString = []string{} })},
		"service for KDC":   {errorcode.KRB_AP_ERR_NOT_US, req(func(q *messages.APReq) { q.Ticket.SName.NameString = []string{"krbtgt", "EXAMPLE.ORG"} })},
		"user to user":      {errorcode.KRB_AP_ERR_NOKEY, req(func(q *messages.APReq) { types.SetFlag(&q.APOptions, optionUserToUser) })},
		"no options":        {0, req(func(q *messages.APReq) { q.APOptions.Bytes, q.APOptions.BitLength = nil, 0 })},
		"Kerberos 4":        {errorcode.KRB_AP_ERR_BADVERSION, req(func(q *messages.APReq) { q.PVNO = 4 })},
		"ticket version 4":  {errorcode.KRB_AP_ERR_BADVERSION, req(func(q *messages.APReq) { q.Ticket.TktVNO = 4 })},
		"AP-REP":            {errorcode.KRB_AP_ERR_MSG_TYPE, req(func(q *messages.APReq) { q.MsgType = msgReply })},
		"RC4":               {errorcode.KDC_ERR_ETYPE_NOSUPP, req(func(q *messages.APReq) { q.Ticket.EncPart.EType = 23 })},
		"other AES":         {errorcode.KRB_AP_ERR_BADKEYVER, req(func(q *messages.APReq) { q.Ticket.EncPart.EType = 17 })},
		"next key":          {errorcode.KRB_AP_ERR_BADKEYVER, req(func(q *messages.APReq) { q.Ticket.EncPart.KVNO = 3 })},
		"negative key":      {errorcode.KRB_AP_ERR_BADKEYVER, req(func(q *messages.APReq) { q.Ticket.EncPart.KVNO = -2 })},
		"any key":           {0, req(func(q *messages.APReq) { q.Ticket.EncPart.KVNO = 0 })},
		"empty ticket":      {errorcode.KRB_AP_ERR_BAD_INTEGRITY, req(func(q *messages.APReq) { q.Ticket.EncPart.Cipher = nil })},
		"short ticket":      {errorcode.KRB_AP_ERR_BAD_INTEGRITY, req(func(q *messages.APReq) { q.Ticket.EncPart.Cipher = make([]byte, 28) })},
		"shorter ticket":    {errorcode.KRB_AP_ERR_BAD_INTEGRITY, req(func(q *messages.APReq) { q.Ticket.EncPart.Cipher = make([]byte, 27) })},
		"short request":     {errorcode.KRB_AP_ERR_BAD_INTEGRITY, req(func(q *messages.APReq) { q.EncryptedAuthenticator.Cipher = make([]byte, 5) })},
		"other encryption":  {errorcode.KRB_AP_ERR_BAD_INTEGRITY, req(func(q *messages.APReq) { q.EncryptedAuthenticator.EType = 17 })},
		"stranger's ticket": {errorcode.KRB_AP_ERR_BAD_INTEGRITY, func(t testing.TB) []byte {
			k, err := stranger.Ticket(bob, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			return request(t, k, RequestOptions{}).Message
		}},
		"stolen ticket": {errorcode.KRB_AP_ERR_BAD_INTEGRITY, func(t testing.TB) []byte {
			k := r.ticket(t, unaltered)
			return remake(t, k, k.key.random(), asIs, whole)
		}},
		"octet too many": {errorcode.KRB_AP_ERR_MSG_TYPE, func(t testing.TB) []byte { return append(ticket(unaltered)(t), 0) }},
		"nothing at all": {errorcode.KRB_AP_ERR_MSG_TYPE, func(testing.TB) []byte { return nil }},
		"POP3":           {errorcode.KRB_AP_ERR_MSG_TYPE, func(testing.TB) []byte { return []byte("USER bob\r\n") }},
		"too long":       {errorcode.KRB_ERR_FIELD_TOOLONG, func(testing.TB) []byte { return make([]byte, MaxMessage+1) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, reply, err := r.acceptor.Accept(test.make(t), Asked{Remote: netip.MustParseAddr("::ffff:192.0.2.1")})
			if test.code == 0 {
				if err != nil || s.Client.Name[0] != "bob" {
					t.Errorf("%+v, %v", s, err)
				}
				return
			}
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Code != test.code || !errors.Is(err, ErrRefused) || s != nil || reply != nil {
				t.Fatalf("%+v, %v, want %d", s, err, test.code)
			}
			checkMessage(t, refusal)
		})
	}
}

// checkMessage compares a KRB-ERROR with its refusal.
func checkMessage(t *testing.T, r *Refusal) {
	t.Helper()
	e, err := parseError(r.Message())
	if err != nil || e.PVNO != 5 || e.ErrorCode != r.Code || e.EText != "" || time.Since(e.STime).Abs() > time.Minute {
		t.Errorf("KRB-ERROR: %+v, %v", e, err)
	}
	if err := ReadError(r.Message(), "server"); errors.Is(err, ErrRefused) != (r.Code != errorcode.KRB_AP_ERR_SKEW) {
		t.Errorf("client reads %v", err)
	}
}

func hostAddresses(octets ...byte) types.HostAddresses {
	return types.HostAddresses{{AddrType: addrtype.NetBios, Address: []byte("BOB")}, {AddrType: addrtype.IPv4, Address: octets}}
}

// foreign makes the request of a client of another realm.
func foreign(r *realm, checked bool) func(testing.TB) []byte {
	return func(t testing.TB) []byte {
		client := Principal{Name: bob.Name, Realm: "EXAMPLE.COM"}
		k, err := r.issuer.make(client, time.Hour, func(p *messages.EncTicketPart) {
			if checked {
				types.SetFlag(&p.Flags, flagTransitedChecked)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return request(t, k, RequestOptions{}).Message
	}
}

// TestReplay: nothing counts twice, neither at the border of the skew nor to
// the next process.
func TestReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRealm(t, 0, Options{})
		k := r.ticket(t, unaltered)
		ahead := remake(t, k, k.key, func(a *types.Authenticator) { a.CTime = a.CTime.Add(defaultSkew) }, func(*messages.APReq) {})
		if _, _, err := r.acceptor.Accept(ahead, Asked{}); err != nil {
			t.Fatal(err)
		}
		for range 21 {
			_, _, err := r.acceptor.Accept(ahead, Asked{})
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Code != errorcode.KRB_AP_ERR_REPEAT && refusal.Code != errorcode.KRB_AP_ERR_SKEW {
				t.Fatalf("again: %v", err)
			}
			time.Sleep(30 * time.Second)
		}
		if n := len(r.acceptor.replays.seen); n != 1 {
			t.Errorf("%d authenticators", n)
		}
		time.Sleep(time.Minute)
		if _, _, err := r.acceptor.Accept(request(t, k, RequestOptions{}).Message, Asked{}); err != nil {
			t.Error(err)
		}
		if n := len(r.acceptor.replays.seen); n != 1 {
			t.Errorf("%d authenticators are remembered, not the last one alone", n)
		}
		before := request(t, k, RequestOptions{}).Message
		time.Sleep(time.Millisecond)
		next, err := NewAcceptor(Options{Keytab: r.path, Service: "pop"})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := next.Accept(before, Asked{}); !errors.Is(err, ErrRefused) {
			t.Errorf("request from before the start: %v", err)
		}
	})
}

func TestReplaysAreBounded(t *testing.T) {
	t.Parallel()
	r := newReplays(defaultSkew)
	add := func(i int, client string) error {
		fresh, err := r.add(fmt.Append(nil, i), client)
		if err == nil && !fresh {
			err = errors.New("not fresh")
		}
		return err
	}
	n := 0
	for ; n < maxReplaysPerClient; n++ {
		if err := add(n, "bob"); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(n, "bob"); !errors.Is(err, ErrBusy) {
		t.Errorf("bob's share: %v", err)
	}
	for ; n < maxReplays; n++ {
		if err := add(n, fmt.Sprint("client", n%100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(n, "alice"); !errors.Is(err, ErrBusy) {
		t.Errorf("table: %v", err)
	}
}

// TestReplyProves alters the server's reply everywhere.
func TestReplyProves(t *testing.T) {
	t.Parallel()
	r := newRealm(t, 0, Options{})
	k := r.ticket(t, unaltered)
	req := request(t, k, RequestOptions{})
	theirs, reply, err := r.acceptor.Accept(req.Message, Asked{Subkey: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range reply {
		altered := bytes.Clone(reply)
		altered[i] ^= 1 // some tags of ASN.1 mean the same then
		if s, err := req.Verify(altered); err == nil && (i > 30 || !bytes.Equal(s.Key.value, theirs.Key.value)) {
			t.Errorf("octet %d altered: %+v", i, s)
		}
		if _, err := req.Verify(reply[:i]); err == nil {
			t.Errorf("cut at %d", i)
		}
	}
	if _, err := request(t, k, RequestOptions{}).Verify(reply); err == nil {
		t.Error("reply to another request proves the server")
	}
	if _, err := req.Verify(errorMessage(errorcode.KRB_AP_ERR_REPEAT, mail)); !errors.Is(err, ErrRefused) {
		t.Errorf("KRB-ERROR: %v", err)
	}
	if reply[0] != 0x60|15 {
		t.Errorf("application tag is %#x", reply[0])
	}
}

func FuzzAccept(f *testing.F) {
	r := newRealm(f, 0, Options{})
	f.Add(request(f, r.ticket(f, unaltered), RequestOptions{Subkey: true}).Message)
	f.Add([]byte{0x6E, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, _, err := r.acceptor.Accept(b, Asked{}); err == nil && !s.Client.Equal(bob) {
			t.Errorf("%+v", s)
		}
	})
}

// FuzzSealed puts octets where the library expects what it has decrypted.
func FuzzSealed(f *testing.F) {
	r := newRealm(f, 0, Options{})
	k := r.ticket(f, unaltered)
	f.Add([]byte{0x62, 2, 0x30, 0}, byte(0))
	f.Fuzz(func(t *testing.T, plain []byte, where byte) {
		wire, key, usage := *k, k.key, uint32(usageAuthenticator)
		if where%3 == 0 {
			key, usage = r.issuer.key, usageTicket
		} else if where%3 == 1 {
			usage = usageAPReply
		}
		sealed, err := key.encrypt(usage, plain, 2)
		if err != nil {
			t.Skip()
		}
		switch where % 3 {
		case 0:
			wire.wire.EncPart = sealed
			r.acceptor.Accept(request(t, &wire, RequestOptions{}).Message, Asked{})
		case 1:
			b, err := asn1.Marshal(messages.APRep{PVNO: protocolVersion, MsgType: msgReply, EncPart: sealed})
			if err != nil {
				t.Fatal(err)
			}
			if s, err := request(t, k, RequestOptions{}).Verify(asn1tools.AddASNAppTag(b, asnAppTag.APREP)); err == nil {
				t.Errorf("%+v", s)
			}
		default:
			b := remake(t, k, k.key, func(*types.Authenticator) {}, func(q *messages.APReq) { q.EncryptedAuthenticator = sealed })
			if s, _, err := r.acceptor.Accept(b, Asked{}); err == nil && !s.Client.Equal(bob) {
				t.Errorf("%+v", s)
			}
		}
	})
}
