package krb

import (
	"crypto/rand"
	"encoding/binary"
)

// Session is what client and server know of each other after AP-REQ and AP-REP.
type Session struct {
	Client, Service Principal

	// Key protects what is said from now on: the server's own, else the
	// client's, else that of the ticket (RFC 4121 §2).
	Key Key
	// AcceptorKey says that Key is the server's own.
	AcceptorKey bool
	// InitiatorSequence and AcceptorSequence number what client and server say
	// first.
	InitiatorSequence, AcceptorSequence uint32
	// Mutual says that the server has proved itself, or is about to.
	Mutual bool
	// Checksum is what the client bound to its request. GSSAPI puts its flags
	// there (RFC 4121 §4.1.1).
	Checksum Checksum
}

// Checksum is a checksum with its type. The zero value: none.
type Checksum struct {
	Type  int32
	Value []byte
}

// randomSequence gives a first sequence number far from overflow, which some
// peers do not expect (RFC 4120 §5.5.1).
func randomSequence() uint32 {
	var b [4]byte
	rand.Read(b[:])                                // never fails
	return binary.BigEndian.Uint32(b[:])>>2 | 1<<4 // not zero: that would not be sent
}
