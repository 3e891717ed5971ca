// Package krb is Kerberos 5 (RFC 4120) as far as a mail program needs it, for
// both sides: the one wrapper of the Kerberos library. It knows nothing of
// POP3.
//
// A server makes an [Acceptor] of its keytab, and shows it what clients send.
// A client makes [Credentials] of a credential cache, a keytab or a password,
// gets a [Ticket] for the service, and makes a [Request] of it. What both have
// then is a [Session].
//
// Of the encryption types there are the four of AES (RFC 3962, RFC 8009). DES,
// 3DES and RC4 are refused: they are deprecated (RFC 6649, RFC 8429), and a
// site that still has them only has worse problems.
package krb

import (
	"errors"
	"fmt"
)

// MaxMessage is how many octets a message of the other side may have. A ticket
// of Active Directory with very many groups comes near it.
const MaxMessage = 64 << 10

// Errors that callers branch on; test with [errors.Is].
var (
	// ErrRefused says that a ticket, a password or a peer is not accepted.
	// Every other error is an outage.
	ErrRefused = errors.New("kerberos: refused")
	// ErrBusy says that more clients come than can be remembered, which
	// finding replays needs. Trying again later helps.
	ErrBusy = errors.New("kerberos: too many logins in a short time")
)

// protocolVersion is the pvno of every message (RFC 4120 §5.4.1).
const protocolVersion = 5

var errLibrary = errors.New("malformed message")

// guarded runs f, which hands octets from outside to the library. That panics
// on some of them, although they are measured before.
func guarded(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errLibrary
		}
	}()
	return f()
}

// quote makes text from outside fit for an error: ASCII only, and not long.
func quote(s string) string { return fmt.Sprintf("%+.128q", s) }
