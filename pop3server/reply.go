package pop3server

import "github.com/postwain/postwain/pop3"

// What a reply is. The zero reply is one that the handler has written itself,
// because it has many lines.
const (
	written uint8 = iota
	accepted
	refused
)

// step says what comes after a reply.
type step uint8

const (
	stay     step = iota // the next command
	startTLS             // a handshake, then AUTHORIZATION afresh
	loggedIn             // TRANSACTION
	quit                 // the end of the state, by QUIT
	ended                // the end of the connection; the reason is noted
)

// reply is what a handler leaves for the loop to write.
type reply struct {
	kind    uint8
	code    pop3.Code
	numbers [2]int64
	count   uint8  // of numbers
	note    string // given by a Backend, or a tag of ours; before the text
	text    text
	bad     bool // the client broke the protocol
	then    step
}

func accept(t text) reply { return reply{kind: accepted, text: t} }

func refuse(code pop3.Code, t text) reply { return reply{kind: refused, code: code, text: t} }

// blame is a refusal that counts as a bad command.
func blame(t text) reply { return reply{kind: refused, text: t, bad: true} }

func (c *conn) write(r reply) {
	switch r.kind {
	case written:
		return
	case accepted:
		c.out.OK()
	case refused:
		c.out.Err(r.code)
	}
	for _, n := range r.numbers[:r.count] {
		c.out.Int(n)
	}
	c.out.Text(r.note).Text(c.say(r.text)).End()
}
