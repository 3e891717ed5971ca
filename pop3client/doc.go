// Package pop3client fetches mail from POP3 servers (RFC 1939 and its
// extensions).
//
// [Dial] connects, [Client.SignIn] signs in by the best mechanism that both
// sides have, and then there is one method for each command. [Client.Messages]
// and [Client.Pipeline] send commands before earlier ones are answered, which is
// what makes the difference on a long way. [Open] gives the mailbox as a
// maildrop.Box. A message is a stream and is never held in memory.
//
// # What can be relied on
//
// The end of a message is its end dot: a Body gives io.EOF then and only then.
// Deleted is what Dele has marked once Quit returns nil; if it returns anything
// but a *pop3.Error, nobody knows.
//
// TLS never falls back, and a password never goes out in clear text unless
// Credentials say that it may. Passwords and tokens are in no error and in no
// trace, not even if the server says them back.
//
// Every wait ends: each method has a context, each step a timeout, and a
// message must come at a least rate. What a server may send is bounded by
// Limits. After an error of the connection the Client is done with, and says so
// by ErrBroken; after a refusal, a *pop3.Error, it goes on.
//
// # What is the server's word
//
// Sizes are hints: the dot ends a message, nothing else. UIDs are whatever the
// server says, and some servers give one twice, or none, or octets that a
// terminal would obey. Texts in errors, Greeting and the capabilities are escaped
// already.
//
// Package pop3test runs a server for the tests of programs that use this
// package.
package pop3client
