package pop3server

import "time"

// Trace is told what happens in a Server, in the goroutine of the connection,
// which waits for it. Each func may be nil. None is ever given a password or a
// token.
type Trace struct {
	// SessionStart is called when a connection is there and its peer known.
	SessionStart func(Peer)
	// Login is called after each attempt that an account source has judged.
	Login func(Peer, Login)
	// SessionEnd is called last.
	SessionEnd func(Summary)
	// SizeMismatch is called when RETR sent another number of octets than was
	// announced. The message itself was whole.
	SizeMismatch func(account, uid string, announced, sent int64)
	// Fault is called for each error of a Backend that the client saw as
	// [SYS/TEMP] or [SYS/PERM], or that ended the session.
	Fault func(p Peer, account string, err error)
	// Panic is called with what a connection panicked with, and its stack. The
	// other connections go on.
	Panic func(p Peer, value any, stack []byte)
}

// Login is one attempt to sign in.
type Login struct {
	User      string // as the client gave it; empty if the mechanism hides it
	Account   string // proved; empty if it was not
	Mechanism string // of SASL, or USER or APOP
	TLS       bool
	// Err is nil when the session is in TRANSACTION. It wraps
	// sasl.ErrRefused, maildrop.ErrInUse, ErrLoginDelay and the like, or is an
	// outage.
	Err error
	// Holder is the session that has the maildrop, if Err is ErrInUse and it
	// is one of this process; else it is zero.
	Holder Peer
}

// Reason says why a session ended. The set is small, for counting.
type Reason string

// The reasons.
const (
	ReasonQuit         Reason = "quit"
	ReasonCommit       Reason = "commit failed"
	ReasonDisconnected Reason = "disconnected"
	ReasonIdle         Reason = "idle"
	ReasonLoginTimeout Reason = "login timeout"
	ReasonStalled      Reason = "client does not read"
	ReasonBadCommands  Reason = "too many bad commands"
	ReasonRefused      Reason = "too many refused logins"
	ReasonLineTooLong  Reason = "line too long"
	ReasonNotPOP3      Reason = "not POP3"
	ReasonHandshake    Reason = "TLS handshake failed"
	ReasonPreface      Reason = "not admitted"
	ReasonInjection    Reason = "input behind STLS"
	ReasonTakenOver    Reason = "taken over"
	ReasonShutdown     Reason = "shutdown"
	ReasonStorage      Reason = "storage error"
	ReasonPanic        Reason = "panic"
)

// Summary is the whole of a session.
type Summary struct {
	Peer      Peer
	Account   string // empty: never logged in
	Mechanism string

	Retrieved, Tops     int   // messages sent by RETR and by TOP
	Deleted             int   // messages that QUIT has removed
	Left                int   // messages that remain, if Account is not empty
	OctetsIn, OctetsOut int64 // inside TLS

	Duration time.Duration
	Reason   Reason
	Err      error // behind Reason; may be nil
}
