package lmtp

// reply is one whole answer with its CRLF. Every word that the server says is
// here, save the host name, the size limit and a message's own id.
type reply string

// Replies of a session (RFC 5321 §4.2.3, enhanced codes by RFC 3463 and 2034).
const (
	replyOK      reply = "250 2.0.0 OK\r\n"
	replyBye     reply = "221 2.0.0 Bye\r\n"
	replyHelp    reply = "214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n"
	replyVerify  reply = "252 2.5.0 Send mail and see\r\n"
	replySender  reply = "250 2.1.0 Sender ok\r\n"
	replyRcpt    reply = "250 2.1.5 Recipient ok\r\n"
	replyGo      reply = "354 End data with <CRLF>.<CRLF>\r\n"
	replyChunk   reply = "250 2.0.0 Chunk received\r\n"
	replyIdle    reply = "421 4.4.2 Timeout, closing connection\r\n"
	replyDrain   reply = "421 4.3.2 Shutting down, try again\r\n"
	replyCrowded reply = "421 4.3.2 Too many connections, try again\r\n"
	replyErrors  reply = "421 4.7.0 Too many errors, closing connection\r\n"

	replyUnknown    reply = "500 5.5.1 Unknown command\r\n"
	replyNotLMTP    reply = "500 5.5.1 This is LMTP, say LHLO\r\n"
	replyLong       reply = "500 5.5.2 Line too long\r\n"
	replyBareLine   reply = "500 5.5.2 Lines end in CR LF\r\n"
	replyControl    reply = "500 5.5.2 Control characters are not allowed\r\n"
	replySyntax     reply = "501 5.5.4 Syntax error in arguments\r\n"
	replyNotHere    reply = "502 5.5.1 Command not implemented\r\n"
	replySequence   reply = "503 5.5.1 Bad sequence of commands\r\n"
	replyNoRcpt     reply = "503 5.5.1 No valid recipients\r\n"
	replyParameter  reply = "555 5.5.4 Parameter not recognized\r\n"
	replyBadSender  reply = "553 5.1.7 Sender address is not valid\r\n"
	replyBadRcpt    reply = "553 5.1.3 Recipient address is not valid\r\n"
	replyNeedUTF8   reply = "553 5.6.7 Address needs SMTPUTF8\r\n"
	replyTooMany    reply = "452 4.5.3 Too many recipients\r\n"
	replyNoSuchUser reply = "550 5.1.1 No such user here\r\n"
	replyOutage     reply = "451 4.3.0 Temporary failure, try again\r\n"
	replyMailFull   reply = "452 4.2.2 Mailbox is full\r\n"
	replySpoolFull  reply = "452 4.3.1 Not enough room, try again\r\n"
	replyTooBig     reply = "552 5.3.4 Message is too big\r\n"
	replyBare       reply = "554 5.6.0 Message has a bare CR or LF\r\n"
)

// code is the number in front of a reply.
func (r reply) code() int {
	return int(r[0]-'0')*100 + int(r[1]-'0')*10 + int(r[2]-'0')
}
