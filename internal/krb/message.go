package krb

import (
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Types of messages (RFC 4120 §7.5.7).
const (
	msgRequest = msgtype.KRB_AP_REQ
	msgReply   = msgtype.KRB_AP_REP
	msgError   = msgtype.KRB_ERROR
)

// Bits of AP-REQ's options (RFC 4120 §5.5.1) and of a ticket's flags (§5.3).
const (
	optionUserToUser = 1
	optionMutual     = 2

	flagInvalid          = 7
	flagTransitedChecked = 12
)

// isSet reads a bit. The library's own function trusts that there are enough.
func isSet(b asn1.BitString, bit int) bool {
	return bit < len(b.Bytes)*8 && b.Bytes[bit/8]&(0x80>>(bit%8)) != 0
}

// parseRequest reads an AP-REQ, and nothing behind it.
func parseRequest(b []byte) (req messages.APReq, err error) {
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(b, &whole)
	if err != nil || len(rest) > 0 {
		return req, errLibrary
	}
	err = guarded(func() error { return req.Unmarshal(b) })
	return req, err
}

// understood reports whether nothing in a ticket or an authenticator restricts
// its use in a way that is not looked at: a server that does not know an element
// fails unless it stands in AD-IF-RELEVANT or is for the KDC (RFC 4120 §5.2.6).
func understood(data types.AuthorizationData) bool {
	for _, element := range data {
		if element.ADType != adtype.ADIfRelevant && element.ADType != adtype.ADMandatoryForKDC {
			return false
		}
	}
	return true
}

// makeReply makes an AP-REP (RFC 4120 §5.5.2), which the library cannot: it
// repeats the client's time, encrypted under the key of the ticket. subkey may
// be nil.
func makeReply(key Key, when time.Time, cusec int, subkey *Key, sequence uint32) ([]byte, error) {
	part := messages.EncAPRepPart{CTime: when.UTC(), Cusec: cusec, SequenceNumber: int64(sequence)}
	if subkey != nil {
		part.Subkey = subkey.wire()
	}
	plain, err := asn1.Marshal(part)
	if err != nil {
		return nil, err
	}
	plain = asn1tools.AddASNAppTag(plain, asnAppTag.EncAPRepPart)
	sealed, err := key.encrypt(usageAPReply, plain, 0)
	if err != nil {
		return nil, err
	}
	b, err := asn1.Marshal(messages.APRep{PVNO: protocolVersion, MsgType: msgReply, EncPart: sealed})
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(b, asnAppTag.APREP), nil
}

// openReply undoes makeReply.
func openReply(key Key, b []byte) (part messages.EncAPRepPart, err error) {
	if len(b) > MaxMessage {
		return part, errLibrary
	}
	var reply messages.APRep
	if err := guarded(func() error { return reply.Unmarshal(b) }); err != nil || reply.PVNO != protocolVersion {
		return part, errLibrary
	}
	plain, err := key.decrypt(usageAPReply, reply.EncPart)
	if err != nil {
		return part, err
	}
	err = guarded(func() error { return part.Unmarshal(plain) })
	return part, err
}
