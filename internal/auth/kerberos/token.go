package kerberos

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/postwain/postwain/internal/krb"
)

// Kinds of tokens that establish a context (RFC 4121 §4.1).
const (
	tokenRequest = 0x0100
	tokenReply   = 0x0200
	tokenError   = 0x0300
)

// Usages of the keys of Wrap tokens (RFC 4121 §2).
const (
	usageAcceptorSeal  = 22
	usageInitiatorSeal = 24
)

// Flags of Wrap tokens (RFC 4121 §4.2.2).
const (
	sentByAcceptor = 0x01
	sealed         = 0x02
	acceptorSubkey = 0x04
)

const wrapHeader = 16

var errToken = errors.New("malformed token")

// mechanism is the DER form of 1.2.840.113554.1.2.2, Kerberos 5, tag and length
// included (RFC 1964 §1).
func mechanism() []byte {
	return []byte{0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02}
}

// frame puts the header that every mechanism of GSSAPI has in front of its
// first tokens, and a kind, before a message (RFC 2743 §3.1).
func frame(kind uint16, message []byte) []byte {
	inner := binary.BigEndian.AppendUint16(mechanism(), kind)
	inner = append(inner, message...)
	return append(appendLength([]byte{0x60}, len(inner)), inner...)
}

// appendLength appends a length in DER.
func appendLength(b []byte, n int) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	var octets []byte
	for ; n > 0; n >>= 8 {
		octets = append(octets, byte(n))
	}
	slices.Reverse(octets)
	return append(append(b, 0x80|byte(len(octets))), octets...)
}

// unframe undoes frame.
func unframe(token []byte) (kind uint16, message []byte, err error) {
	if len(token) < 2 || token[0] != 0x60 {
		return 0, nil, errToken
	}
	n, rest, ok := takeLength(token[1:])
	if !ok || n != len(rest) {
		return 0, nil, errToken
	}
	oid := mechanism()
	if len(rest) < len(oid)+2 || !slices.Equal(rest[:len(oid)], oid) {
		return 0, nil, errToken
	}
	rest = rest[len(oid):]
	return binary.BigEndian.Uint16(rest), rest[2:], nil
}

// takeLength takes a length in DER off b. Four octets are more than any token.
func takeLength(b []byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	first, b := b[0], b[1:]
	if first < 0x80 {
		return int(first), b, true
	}
	size := int(first & 0x7F)
	if size == 0 || size > 3 || len(b) < size {
		return 0, nil, false
	}
	for _, octet := range b[:size] {
		n = n<<8 | int(octet)
	}
	return n, b[size:], true
}

// wrap protects the first message of one side against being altered, but not
// against being read (RFC 4121 §4.2.4 and §4.2.6.2).
func wrap(s *krb.Session, acceptor bool, payload []byte) ([]byte, error) {
	header := wrapHeaderOf(s, acceptor)
	sum, err := s.Key.Checksum(usageOf(acceptor), append(slices.Clone(payload), header...))
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(header[4:], uint16(len(sum))) // the checksum has zero there
	return append(append(header, payload...), sum...), nil
}

// wrapHeaderOf gives the header of the first message of one side, without the
// length of the checksum.
func wrapHeaderOf(s *krb.Session, acceptor bool) []byte {
	flags, sequence := byte(0), s.InitiatorSequence
	if acceptor {
		flags, sequence = sentByAcceptor, s.AcceptorSequence
	}
	if s.AcceptorKey {
		flags |= acceptorSubkey
	}
	header := []byte{0x05, 0x04, flags, 0xFF, 0, 0, 0, 0}
	return binary.BigEndian.AppendUint64(header, uint64(sequence))
}

func usageOf(acceptor bool) uint32 {
	if acceptor {
		return usageAcceptorSeal
	}
	return usageInitiatorSeal
}

// unwrap undoes wrap. It takes nothing but the first message of the side that
// is to speak, unsealed: that is what RFC 4752 §3.1 asks for.
func unwrap(s *krb.Session, acceptor bool, token []byte) (payload []byte, err error) {
	size := s.Key.ChecksumSize()
	if len(token) < wrapHeader+size {
		return nil, errToken
	}
	header := wrapHeaderOf(s, acceptor)
	if !slices.Equal(token[:4], header[:4]) || !slices.Equal(token[8:wrapHeader], header[8:]) ||
		int(binary.BigEndian.Uint16(token[4:])) != size {
		return nil, errToken
	}
	body := rotate(token[wrapHeader:], int(binary.BigEndian.Uint16(token[6:])))
	payload, sum := body[:len(body)-size], body[len(body)-size:]
	if !s.Key.Verify(usageOf(acceptor), append(slices.Clone(payload), header...), sum) {
		return nil, errToken
	}
	return payload, nil
}

// rotate undoes a rotation to the right by n octets (RFC 4121 §4.2.5). b is not
// empty.
func rotate(b []byte, n int) []byte {
	n %= len(b)
	return append(slices.Clone(b[n:]), b[:n]...)
}
