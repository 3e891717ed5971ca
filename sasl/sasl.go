// Package sasl holds the SASL mechanisms that mail programs use (RFC 4422),
// for both sides of a connection, and the interfaces by which a server asks
// an account source whether somebody is who they say.
package sasl

import (
	"context"
	"errors"
	"net/netip"
)

// Errors that callers branch on; test with [errors.Is].
var (
	// ErrRefused says that the credentials are wrong, or that the account may
	// not sign in. Every other error of an account source is an outage and
	// must never be shown as a wrong password.
	ErrRefused = errors.New("credentials refused")
	// ErrMalformed says that a response breaks the syntax of its mechanism.
	ErrMalformed = errors.New("malformed response")
	// ErrBusy says that the account source has more work than it may queue.
	// Trying again later helps.
	ErrBusy = errors.New("too many logins at once")
	// ErrNoUser is what Lookup returns for a name that has no account.
	ErrNoUser = errors.New("no such account")
)

// Login is one attempt to sign in by name and password.
type Login struct {
	User, Password string
	Remote         netip.Addr // the client's address, after a PROXY header
	TLS            bool       // the password came over TLS
}

// Authenticator proves a name and password.
type Authenticator interface {
	// Authenticate returns the account that l proves, in its canonical
	// spelling. The error wraps ErrRefused, or it is an outage. It takes the
	// same time and gives the same error whether or not the name exists.
	Authenticate(ctx context.Context, l Login) (account string, err error)
}

// Looker is an account source that can tell which names exist, for programs
// that are allowed to know (LMTP's RCPT).
type Looker interface {
	// Lookup returns the canonical account of name. The error wraps ErrNoUser,
	// or it is an outage.
	Lookup(ctx context.Context, name string) (account string, err error)
}

// SecretSource is an account source that can give what a challenge-response
// mechanism needs.
type SecretSource interface {
	// Secret returns the stored form of name's password under scheme: "PLAIN"
	// for the password itself, "CRAM-MD5" for the octets of CRAMMD5Keys,
	// "SCRAM-SHA-1" and "SCRAM-SHA-256" for what SCRAMKeys.Encode gives. The
	// error wraps ErrRefused if there is none, or it is an outage.
	Secret(ctx context.Context, name, scheme string) (account string, secret []byte, err error)
}

// TokenVerifier is an account source that can verify bearer tokens.
type TokenVerifier interface {
	// VerifyToken returns the account that token proves. user is who the
	// client says it is, and a token of anybody else is refused; if it is
	// empty, the token tells. The error wraps ErrRefused, or it is an outage.
	VerifyToken(ctx context.Context, user, token string) (account string, err error)
}

// Mechanism is the server's side of a SASL mechanism. What an exchange needs
// beside the client's responses, such as the account source or the channel
// binding, its constructor was given.
type Mechanism interface {
	// Name is the registered name, in capitals.
	Name() string
	Start() Exchange
}

// Exchange is one run of a mechanism on the server's side.
type Exchange interface {
	// Next takes the client's response and gives the next step.
	//
	// response is nil if none was given (a first call without an initial
	// response) and empty if an empty one was given. challenge is nil if there
	// is nothing to send. account is non-empty exactly once, when the client
	// has proved it; if a challenge stands beside it, the caller sends that,
	// requires an empty response, and then succeeds. An error is final. The
	// caller handles the client's "*". An Exchange that tells a refusal by a
	// challenge (RFC 7628 §3.2.3) has the method Refused() error, for a caller
	// whose client does not answer that.
	Next(ctx context.Context, response []byte) (challenge []byte, account string, err error)
}

// Client is the client's side of one run of a mechanism.
type Client interface {
	// Name is the registered name, in capitals.
	Name() string
	// Start gives the initial response; has is false if the mechanism has
	// none and waits for the server.
	Start() (initial []byte, has bool, err error)
	// Next answers a challenge.
	Next(challenge []byte) (response []byte, err error)
	// Done is called when the server reports success. It fails if the server
	// has not proved itself where the mechanism says it must.
	Done() error
}

// What a side looks at of what the other says, in octets. A bearer token can
// be long.
const (
	maxChallenge = 4 << 10
	maxResponse  = 4 << 10
	maxBearer    = 16 << 10
)
