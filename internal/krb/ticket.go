package krb

import (
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Ticket is a ticket with the key that proves whose it is.
type Ticket struct {
	client, service Principal
	wire            messages.Ticket
	key             Key
	start, end      time.Time
}

// Service is what the ticket is for.
func (t *Ticket) Service() Principal { return t.service }

// valid reports whether t can be used now, and a while longer.
func (t *Ticket) valid() bool {
	now := time.Now()
	return now.Add(time.Minute).Before(t.end) && !t.start.After(now.Add(time.Minute))
}

// RequestOptions are what the protocol around a request puts into it.
type RequestOptions struct {
	Checksum Checksum
	Subkey   bool // a key of the client's own for the session
}

// Request is an AP-REQ that asks the server to prove itself too.
type Request struct {
	// Message is what to send.
	Message []byte

	ticket   *Ticket
	when     time.Time
	cusec    int
	subkey   *Key
	sequence uint32
	checksum Checksum
}

// Request makes a request that can be sent once.
func (t *Ticket) Request(o RequestOptions) (*Request, error) {
	now := time.Now().UTC()
	r := &Request{ticket: t, when: now.Truncate(time.Second), cusec: now.Nanosecond() / 1000,
		sequence: randomSequence(), checksum: o.Checksum}
	auth := types.Authenticator{
		AVNO: protocolVersion, CRealm: t.client.Realm, CName: t.client.wire(),
		Cksum: types.Checksum{CksumType: o.Checksum.Type, Checksum: o.Checksum.Value},
		Cusec: r.cusec, CTime: r.when, SeqNumber: int64(r.sequence),
	}
	if o.Subkey {
		key := t.key.random()
		r.subkey, auth.SubKey = &key, key.wire()
	}
	plain, err := auth.Marshal()
	if err != nil {
		return nil, fmt.Errorf("krb: making a request: %w", err)
	}
	sealed, err := t.key.encrypt(usageAuthenticator, plain, 0)
	if err != nil {
		return nil, fmt.Errorf("krb: making a request: %w", err)
	}
	options := asn1.BitString{Bytes: []byte{0x80 >> optionMutual, 0, 0, 0}, BitLength: 32}
	req := messages.APReq{PVNO: protocolVersion, MsgType: msgRequest, APOptions: options,
		Ticket: t.wire, EncryptedAuthenticator: sealed}
	if r.Message, err = req.Marshal(); err != nil {
		return nil, fmt.Errorf("krb: making a request: %w", err)
	}
	return r, nil
}

// Verify takes the server's AP-REP. It fails unless the server has proved that
// it has the key of the service (RFC 4120 §3.2.5).
func (r *Request) Verify(reply []byte) (*Session, error) {
	if e, err := parseError(reply); err == nil {
		return nil, &Rejection{Code: e.ErrorCode, By: "server"}
	}
	part, err := openReply(r.ticket.key, reply)
	if err != nil {
		return nil, fmt.Errorf("krb: server does not prove that it is %s: %w", r.ticket.service, err)
	}
	if part.Cusec != r.cusec || !part.CTime.Equal(r.when) {
		return nil, fmt.Errorf("krb: server does not prove that it is %s: reply is to another request", r.ticket.service)
	}
	s := &Session{
		Client: r.ticket.client, Service: r.ticket.service, Key: r.ticket.key,
		InitiatorSequence: r.sequence, AcceptorSequence: uint32(part.SequenceNumber),
		Mutual: true, Checksum: r.checksum,
	}
	if r.subkey != nil {
		s.Key = *r.subkey
	}
	if part.Subkey.KeyType != 0 || len(part.Subkey.KeyValue) > 0 {
		if s.Key, err = newKey(part.Subkey); err != nil {
			return nil, errors.New("krb: key of the server has an encryption type that is not one of AES")
		}
		s.AcceptorKey = true
	}
	return s, nil
}
