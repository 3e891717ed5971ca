package lmtp

import (
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// transaction is one message from MAIL to its end (RFC 5321 §3.3).
type transaction struct {
	open  bool
	id    string
	from  string // empty for <>
	utf8  bool   // SMTPUTF8 was given
	rcpts []recipient
	// targets are the accounts. One that several recipients name gets the
	// message once, and each of them its outcome.
	targets []target

	spool *spool // from the first BDAT on
	ends  lineEnds
	until time.Time // for all chunks
}

type recipient struct {
	address string
	target  int
}

type target struct {
	account string
	address string // the first that led here
	err     error  // of the delivery
}

// reset forgets the message that was begun, if any.
func (c *session) reset() {
	if c.tx.spool != nil {
		c.tx.spool.free()
	}
	clear(c.tx.rcpts)
	clear(c.tx.targets)
	c.tx = transaction{rcpts: c.tx.rcpts[:0], targets: c.tx.targets[:0]}
}

// lhlo begins the session (RFC 2033 §4.1). Like EHLO it also does what RSET
// does.
func (c *session) lhlo(arg string) reply {
	if !isHostname(arg) {
		return replySyntax
	}
	c.reset()
	c.client = arg
	c.opt = c.srv.opt.Load()
	out := c.wire.out
	out.WriteString("250-")
	out.WriteString(c.opt.Hostname)
	out.WriteString("\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250 SIZE ")
	out.WriteString(strconv.FormatInt(c.opt.MaxMessage, 10))
	out.WriteString("\r\n")
	return ""
}

func (c *session) mail(arg string) reply {
	if c.client == "" || c.tx.open {
		return replySequence
	}
	if len(arg) < 5 || !equalASCII(arg[:5], "FROM:") {
		return replySyntax
	}
	path, rest, ok := parsePath(arg[5:])
	if !ok || path.text != "" && !path.domain {
		return replyBadSender
	}
	c.opt = c.srv.opt.Load()
	utf8, bad := c.mailParams(rest)
	if bad != "" {
		return bad
	}
	if path.utf8 && !utf8 { // RFC 6531 §3.5
		return replyNeedUTF8
	}
	c.tx.open = true
	c.tx.id = rand.Text()
	c.tx.from = path.text
	c.tx.utf8 = utf8
	return replySender
}

// mailParams reads SIZE (RFC 1870), BODY (RFC 6152) and SMTPUTF8 (RFC 6531).
func (c *session) mailParams(rest string) (utf8 bool, bad reply) {
	var size, body bool
	for {
		name, value, has, next, ok := nextParam(rest)
		if !ok {
			return false, replySyntax
		}
		rest = next
		switch {
		case name == "":
			return utf8, ""
		case equalASCII(name, "SIZE"):
			n, ok := parseSize(value)
			if !ok || size {
				return false, replySyntax
			}
			if n > c.opt.MaxMessage {
				return false, replyTooBig
			}
			size = true
		case equalASCII(name, "BODY"):
			if body || !equalASCII(value, "7BIT") && !equalASCII(value, "8BITMIME") {
				return false, replySyntax
			}
			body = true
		case equalASCII(name, "SMTPUTF8"):
			if utf8 || has {
				return false, replySyntax
			}
			utf8 = true
		default:
			return false, replyParameter
		}
	}
}

// rcpt takes a recipient. A mailbox without a domain is one of this host. No
// parameter is known: DSN (RFC 3461) is not announced.
func (c *session) rcpt(arg string) reply {
	if !c.tx.open || c.tx.spool != nil {
		return replySequence
	}
	if len(arg) < 3 || !equalASCII(arg[:3], "TO:") {
		return replySyntax
	}
	path, rest, ok := parsePath(arg[3:])
	if !ok || path.text == "" {
		return replyBadRcpt
	}
	switch name, _, _, _, ok := nextParam(rest); {
	case !ok:
		return replySyntax
	case name != "":
		return replyParameter
	}
	if path.utf8 && !c.tx.utf8 {
		return replyNeedUTF8
	}
	if len(c.tx.rcpts) >= c.opt.MaxRecipients {
		return replyTooMany
	}
	ctx, cancel := c.backend()
	account, err := c.opt.Resolver.Resolve(ctx, path.text)
	cancel()
	if err != nil {
		r := replyOutage
		if errors.Is(err, maildrop.ErrNoDrop) {
			r = replyNoSuchUser
		}
		c.report(path.text, "", 0, r, err)
		return r
	}
	c.tx.rcpts = append(c.tx.rcpts, recipient{path.text, c.target(account, path.text)})
	return replyRcpt
}

// target gives the place of account among the targets.
func (c *session) target(account, address string) int {
	for i := range c.tx.targets {
		if c.tx.targets[i].account == account {
			return i
		}
	}
	c.tx.targets = append(c.tx.targets, target{account: account, address: address})
	return len(c.tx.targets) - 1
}

// report tells the trace of one recipient.
func (c *session) report(address, account string, size int64, r reply, err error) {
	f := c.opt.Trace.Recipient
	if f == nil {
		return
	}
	f(Result{
		Peer: c.wire.conn.RemoteAddr(), ID: c.tx.id, From: c.tx.from, To: address, Account: account,
		Size: size, Code: r.code(), Err: err,
	})
}
