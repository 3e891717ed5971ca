package pop3server

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/sasl"
)

// Peer is what is known of the other end of a connection.
type Peer struct {
	Remote, Local netip.AddrPort       // after a PROXY header
	TLS           *tls.ConnectionState // nil in clear
	Principal     string               // a Kerberos principal that KPOP has proved
	Secure        bool                 // passwords in clear text are allowed
}

// Backend gives sessions to connections.
type Backend interface {
	// NewSession is called when a connection begins and again after STLS, so
	// that nothing learned in clear is known inside TLS.
	NewSession(ctx context.Context, p Peer) (Session, error)
}

// Session is what one connection may do. It is used by one goroutine.
type Session interface {
	// Mechanisms are the SASL mechanisms offered to this peer, strongest
	// first. USER and PASS are offered if PLAIN is among them, and run it. A
	// mechanism that has the method Challenge() string is APOP: its challenge
	// goes into the greeting, and its Exchange is given the argument of the
	// APOP command, the name and the digest.
	Mechanisms() []sasl.Mechanism
	// Policy is what CAPA announces before login.
	Policy() Policy
	// Open gives the maildrop of a proved account and the policy that holds
	// for it. A *pop3.Error is shown to the client as it is, the sentinels of
	// maildrop by their response codes, and anything else as [SYS/TEMP]. ctx
	// ends when Open has returned, or when the time for the login is over.
	Open(ctx context.Context, account string) (maildrop.Box, Policy, error)
	// Close ends the session. The Box is closed by then.
	Close() error
}

// Policy is what a site asks of its users (RFC 2449 §6.5 and §6.7). The zero
// value asks nothing.
type Policy struct {
	// LoginDelay is the least time between two logins. Zero: not announced.
	LoginDelay time.Duration
	// LoginDelayPerUser says, before login, that accounts may differ.
	LoginDelayPerUser bool
	// Expire is how long mail is kept. Zero: for ever (EXPIRE NEVER). Less
	// than a day, as DeleteRetrieved: what was retrieved is removed at QUIT.
	Expire time.Duration
	// ExpirePerUser says, before login, that accounts may differ.
	ExpirePerUser bool
}

// DeleteRetrieved as Policy.Expire announces EXPIRE 0: each message that a
// session has retrieved is removed by its QUIT.
const DeleteRetrieved = time.Nanosecond
