// Package pop3 is the vocabulary of the Post Office Protocol (RFC 1939 and its
// extensions) and its codec: commands, replies, response codes, capabilities
// and pop:// URLs. It knows no network and no mail store; a server and a client
// are built on it.
//
// A [Reader] gives commands whose length is bounded and whose keywords are
// matched by ASCII alone; a [Writer] sends replies that no content can split.
// [ParseReply] is the client's side of a status line.
package pop3

// Code is a response code: the word in brackets behind -ERR that tells a
// program what happened (RFC 2449 §8). The empty Code is none.
type Code string

// The registered response codes.
const (
	CodeInUse      Code = "IN-USE"      // another session has the maildrop (RFC 2449 §8.1.2)
	CodeLoginDelay Code = "LOGIN-DELAY" // too soon after the last login (RFC 2449 §8.1.1)
	CodeSysTemp    Code = "SYS/TEMP"    // trying again later may help (RFC 3206 §4)
	CodeSysPerm    Code = "SYS/PERM"    // only people can help (RFC 3206 §4)
	CodeAuth       Code = "AUTH"        // the credentials are the problem (RFC 3206 §5)
	CodeUTF8       Code = "UTF8"        // the message needs the UTF8 command (RFC 6856 §5)
)

// Error is a reply of -ERR. A backend that returns one decides what the client
// reads; a client gets one from each refused command.
type Error struct {
	Code Code   // empty: none
	Text string // one line for people; what cannot be in a line is replaced
}

// Error returns the reply without its -ERR.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Text
	}
	return "[" + string(e.Code) + "] " + e.Text
}
