package pop3server

import (
	"context"

	"github.com/postwain/postwain/pop3"
)

const tlsRecord = 0x16 // begins each TLS handshake

// commands runs commands one after another and writes their replies, until one
// leads out of the state. limit bounds the bad commands: in all before login,
// in a row after it.
func (c *conn) commands(ctx context.Context, limit int, handle func(context.Context, pop3.Command) reply) step {
	for bad := 0; ; {
		cmd, err := c.in.Command()
		if !c.awake() {
			c.stop(err)
			return ended
		}
		var r reply
		switch {
		case err == pop3.ErrSyntax:
			r = blame(textControl)
		case err == pop3.ErrBareLF:
			r = blame(textLineEnd)
		case err != nil:
			c.stop(err)
			return ended
		default:
			r = handle(ctx, cmd)
		}
		if r.bad {
			bad++
		} else if c.seat != nil {
			bad = 0
		}
		c.write(r)
		if r.then == stay && bad >= limit {
			c.bye(refuse("", textTooMany), ReasonBadCommands)
			return ended
		}
		if r.then != stay {
			return r.then
		}
	}
}

// foreign reports whether a connection that begins so is one of TLS, of SMTP, or
// of what a browser can be made to speak. It is closed without a word, so that
// nobody can have us speak to somebody else.
func foreign(line []byte) bool {
	for _, method := range []string{"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH ", "TRACE ", "PRI * ", "EHLO ", "HELO "} {
		if len(line) >= len(method) && pop3.EqualASCII(line[:len(method)], method) {
			return true
		}
	}
	return len(line) > 0 && line[0] == tlsRecord
}
