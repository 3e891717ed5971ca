package ldap

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// startRequest is an LDAPMessage with number 1: the extended operation StartTLS
// (RFC 4511 §4.14.1).
const startRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + "1.3.6.1.4.1.1466.20037"

// Tags of what the answer is made of (RFC 4511 §4.1.1, §4.12).
const (
	tagInteger    = 0x02
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagExtended   = 0x78 // ExtendedResponse
)

// startTLS asks for TLS and reads the answer, and not an octet of what comes
// behind it: what was sent in clear text belongs to nobody inside TLS. Whoever
// calls it closes c when time is over.
func startTLS(c net.Conn) error {
	if _, err := io.WriteString(c, startRequest); err != nil {
		return err
	}
	message, err := readMessage(c)
	if err != nil {
		return err
	}
	code, err := startResult(message)
	if err == nil && code != 0 {
		err = result(code)
	}
	return err
}

// readMessage reads one LDAPMessage without its header.
func readMessage(r io.Reader) ([]byte, error) {
	const most = 4 << 10
	var b [6]byte
	head := b[:2]
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if more := head[1]; more&0x80 != 0 {
		if more == 0x80 || more > 0x84 {
			return nil, errors.New("answer without a definite length")
		}
		head = b[:2+more&0x7f]
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, err
		}
	}
	n, _, ok := length(head[1:])
	if head[0] != tagSequence || !ok || n > most {
		return nil, errors.New("answer is no LDAP message, or too long")
	}
	message := make([]byte, n)
	_, err := io.ReadFull(r, message)
	return message, err
}

// startResult reads the result of an answer to message 1.
func startResult(message []byte) (code byte, err error) {
	number, rest, ok := element(message, tagInteger)
	response, _, ok2 := element(rest, tagExtended)
	if !ok || !ok2 || string(number) != "\x01" {
		return 0, errors.New("answer is to something else")
	}
	value, _, ok := element(response, tagEnumerated)
	if !ok || len(value) != 1 {
		return 0, fmt.Errorf("answer has no result")
	}
	return value[0], nil
}

// element cuts an element with the tag from b.
func element(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b, ok := length(b[1:])
	if !ok || n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// length cuts a definite length of at most four octets from b, as long as it
// may be written (RFC 4511 §5.1 does not ask for the shortest form).
func length(b []byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	first, b := b[0], b[1:]
	if first < 0x80 {
		return int(first), b, true
	}
	size := int(first & 0x7f)
	if size == 0 || size > 4 || size > len(b) {
		return 0, nil, false
	}
	var long uint64
	for _, c := range b[:size] {
		long = long<<8 | uint64(c)
	}
	if long > 1<<30 {
		return 0, nil, false
	}
	return int(long), b[size:], true
}
