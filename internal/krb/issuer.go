package krb

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/messages"
)

// Issuer has a service's key and makes tickets as a KDC does. It is for tests,
// which have none.
type Issuer struct {
	service Principal
	key     Key
	kvno    uint32
}

// NewIssuer makes a key for a service. encryption is the number of an
// encryption type (17 to 20); zero: 18, aes256-cts-hmac-sha1-96.
func NewIssuer(service Principal, encryption int32) (*Issuer, error) {
	if encryption == 0 {
		encryption = encryptions()[0].id
	}
	e, ok := findEncryption(encryption)
	if !ok {
		return nil, errEncryption
	}
	return &Issuer{service: service, key: Key{kind: e}.random(), kvno: 2}, nil
}

// Keytab gives the key as a keytab file.
func (i *Issuer) Keytab() []byte {
	short := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	e := binary.BigEndian.AppendUint16(nil, uint16(len(i.service.Name)))
	e = short(e, i.service.Realm)
	for _, part := range i.service.Name {
		e = short(e, part)
	}
	e = binary.BigEndian.AppendUint32(e, 1) // type of the name
	e = binary.BigEndian.AppendUint32(e, uint32(time.Now().Unix()))
	e = append(e, byte(i.kvno))
	e = binary.BigEndian.AppendUint16(e, uint16(i.key.kind.id))
	e = short(e, string(i.key.value))
	e = binary.BigEndian.AppendUint32(e, i.kvno)
	return append(binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(len(e))), e...)
}

// Ticket makes a ticket for a client that is valid for a while, which may be
// less than nothing.
func (i *Issuer) Ticket(client Principal, valid time.Duration) (*Ticket, error) {
	return i.make(client, valid, func(*messages.EncTicketPart) {})
}

func (i *Issuer) make(client Principal, valid time.Duration, alter func(*messages.EncTicketPart)) (*Ticket, error) {
	t := &Ticket{client: client, service: i.service, key: i.key.random()}
	t.start = time.Now().UTC().Truncate(time.Second)
	t.end = t.start.Add(valid)
	part := messages.EncTicketPart{
		Flags: asn1.BitString{Bytes: make([]byte, 4), BitLength: 32}, Key: t.key.wire(),
		CRealm: client.Realm, CName: client.wire(), AuthTime: t.start, StartTime: t.start, EndTime: t.end,
	}
	alter(&part)
	plain, err := asn1.Marshal(part)
	if err != nil {
		return nil, fmt.Errorf("krb: making a ticket: %w", err)
	}
	sealed, err := i.key.encrypt(usageTicket, asn1tools.AddASNAppTag(plain, asnAppTag.EncTicketPart), int(i.kvno))
	if err != nil {
		return nil, fmt.Errorf("krb: making a ticket: %w", err)
	}
	t.wire = messages.Ticket{TktVNO: protocolVersion, Realm: i.service.Realm, SName: i.service.wire(), EncPart: sealed}
	return t, nil
}
