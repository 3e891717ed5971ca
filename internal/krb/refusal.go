package krb

import (
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Refusal is why an Acceptor does not accept a client. It wraps [ErrRefused].
type Refusal struct {
	Code   int32  // of RFC 4120 §7.5.9
	Reason string // for the operator
	Client string // the principal that was proved, or empty

	service Principal
}

// Error gives the reason. It is for the log, not for the client.
func (r *Refusal) Error() string {
	if r.Client != "" {
		return fmt.Sprintf("krb: %s: %s", r.Client, r.Reason)
	}
	return "krb: " + r.Reason
}

// Unwrap gives [ErrRefused].
func (r *Refusal) Unwrap() error { return ErrRefused }

// Message is the KRB-ERROR for the client (RFC 4120 §5.9.1).
func (r *Refusal) Message() []byte { return errorMessage(r.Code, r.service) }

// OutageMessage is the KRB-ERROR for a client that would be accepted at
// another time.
func OutageMessage() []byte { return errorMessage(errorcode.KRB_ERR_GENERIC, Principal{}) }

// errorMessage tells the time, so that a client knows by how much its clock is
// wrong, and no more than the code. Realm and service are required, and empty
// where they are not known.
func errorMessage(code int32, service Principal) []byte {
	now := time.Now().UTC()
	e := messages.KRBError{
		PVNO: protocolVersion, MsgType: msgError,
		STime: now, Susec: now.Nanosecond() / 1000,
		ErrorCode: code, Realm: service.Realm, SName: service.wire(),
	}
	b, err := e.Marshal()
	if err != nil {
		return nil // cannot be: every field is of our own making
	}
	return b
}

// Rejection is a KRB-ERROR that a KDC or a server has sent. Where it is about
// the client's credentials, it wraps [ErrRefused].
type Rejection struct {
	Code int32  // of RFC 4120 §7.5.9
	By   string // who says so
}

// Error names the code.
func (r *Rejection) Error() string {
	text := errorcode.Lookup(r.Code)
	if r.Code == errorcode.KRB_AP_ERR_SKEW {
		text += ": set the clock"
	}
	return fmt.Sprintf("krb: %s says %s", r.By, text)
}

// Unwrap gives [ErrRefused], or nil if trying again may help.
func (r *Rejection) Unwrap() error {
	switch r.Code {
	case errorcode.KRB_ERR_GENERIC, errorcode.KDC_ERR_SVC_UNAVAILABLE, errorcode.KRB_ERR_RESPONSE_TOO_BIG,
		errorcode.KRB_AP_ERR_SKEW:
		return nil
	}
	return ErrRefused
}

// parseError reads a KRB-ERROR.
func parseError(b []byte) (e messages.KRBError, err error) {
	if len(b) > MaxMessage {
		return e, errLibrary
	}
	err = guarded(func() error { return e.Unmarshal(b) })
	return e, err
}

// ReadError makes an error of the KRB-ERROR that by has sent. If it is none,
// it says so.
func ReadError(b []byte, by string) error {
	e, err := parseError(b)
	if err != nil {
		return errors.New("krb: " + by + " sends a malformed error message")
	}
	return &Rejection{Code: e.ErrorCode, By: by}
}

// principal takes a name that the library has read.
func principal(name types.PrincipalName, realm string) Principal {
	return Principal{Name: name.NameString, Realm: realm}
}
