package pop3client

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/postwain/postwain/pop3"
)

// Errors that callers branch on; test with [errors.Is]. A refusal of the
// server is a [*pop3.Error]; test with [errors.As]. Every error names the step
// that failed. None has a password or a token in it, and none has anything of
// the server's that a terminal would obey.
var (
	ErrNoTLS         = errors.New("server offers no TLS")                 // nothing was sent in clear
	ErrPlaintext     = errors.New("password would go in clear text")      // nothing was sent
	ErrDataBeforeTLS = errors.New("server sent data before TLS began")    // an injection
	ErrRevoked       = errors.New("certificate of the server is revoked") // nothing was sent
	ErrProtocol      = errors.New("server breaks the protocol")           // the connection is closed
	ErrLimit         = errors.New("server exceeds a limit")               // the connection is closed
	ErrBroken        = errors.New("connection cannot be used any more")   // after a cancel, an error, or Close
	ErrMechanism     = errors.New("no mechanism that both sides have")    // by the policy of Credentials
	ErrArgument      = errors.New("argument cannot be part of a command") // CR, LF, NUL, or too long; nothing was sent
	ErrNotAnnounced  = errors.New("server does not announce it")          // nothing was sent
	ErrBusy          = errors.New("a pipeline is in use")                 // nothing was sent
)

// step is what is being done: a command with its numbers, or another word. It
// names itself in errors and is the command on the wire.
type step struct {
	verb    string
	numbers int // how many
	n, m    int
}

// Steps that are no commands, or whose arguments are no numbers.
var (
	stepConnect   = step{verb: "connecting"}
	stepHandshake = step{verb: "TLS handshake"}
	stepGreeting  = step{verb: "greeting"}
	stepClose     = step{verb: "closing"}
)

func command(v pop3.Verb) step          { return step{verb: v.String()} }
func numbered(v pop3.Verb, n int) step  { return step{verb: v.String(), numbers: 1, n: n} }
func paired(v pop3.Verb, n, m int) step { return step{verb: v.String(), numbers: 2, n: n, m: m} }
func (s step) String() string           { return string(s.append(nil)) }
func (s step) wrap(err error) error     { return fmt.Errorf("pop3client: %v: %w", s, err) }
func broken(why error) error            { return fmt.Errorf("%w: %v", ErrBroken, why) }
func garbage(how, line string) error    { return fmt.Errorf("%w %s %s", ErrProtocol, how, line) }

func (s step) append(p []byte) []byte {
	p = append(p, s.verb...)
	if s.numbers > 0 {
		p = strconv.AppendInt(append(p, ' '), int64(s.n), 10)
	}
	if s.numbers > 1 {
		p = strconv.AppendInt(append(p, ' '), int64(s.m), 10)
	}
	return p
}
