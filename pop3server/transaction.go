package pop3server

import (
	"context"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
)

// transacting is the TRANSACTION state (RFC 1939 §5). Its marks are its own: no
// store knows of them before QUIT.
type transacting struct {
	*conn
	box       maildrop.Box
	messages  []maildrop.Message
	deleted   marks
	retrieved marks // kept only where EXPIRE is 0
	count     int   // of messages not marked
	octets    int64 // of them
	highest   int   // number that RETR has had, for LAST
	gone      int   // answers in a row that a message was removed by others
}

// marks has a bit for each message.
type marks []uint64

func (m marks) has(i int) bool { return len(m) > 0 && m[i/64]&(1<<(i%64)) != 0 }

func (m *marks) set(i, total int) {
	if *m == nil {
		*m = make(marks, (total+63)/64)
	}
	(*m)[i/64] |= 1 << (i % 64)
}

// transactionHandler is the table of the state; nil: the command has no place in it.
func transactionHandler(v pop3.Verb) func(*transacting, context.Context, []byte) reply {
	switch v {
	case pop3.Stat:
		return (*transacting).statCommand
	case pop3.List:
		return (*transacting).listCommand
	case pop3.Uidl:
		return (*transacting).uidlCommand
	case pop3.Retr:
		return (*transacting).retrCommand
	case pop3.Top:
		return (*transacting).topCommand
	case pop3.Dele:
		return (*transacting).deleCommand
	case pop3.Rset:
		return (*transacting).rsetCommand
	case pop3.Noop:
		return (*transacting).noopCommand
	case pop3.Last:
		return (*transacting).lastCommand
	case pop3.Capa:
		return (*transacting).capaCommand
	case pop3.Lang:
		return (*transacting).langCommand
	case pop3.Utf8:
		return (*transacting).utf8Command
	case pop3.Quit:
		return (*transacting).quitCommand
	}
	return nil
}

// transaction runs the state on box. Only QUIT makes ok true, and deleted is
// what it is to remove.
func (c *conn) transaction(ctx context.Context, box maildrop.Box) (deleted []int, ok bool) {
	t := &transacting{conn: c, box: box, messages: box.Messages()}
	t.unmark()
	c.sum.Left = t.count
	if c.commands(ctx, maxBadAfter, t.handle) != quit {
		return nil, false
	}
	if t.retrieved != nil { // do not remove what a dead client cannot have had
		if err := c.out.Flush(); err != nil {
			c.stop(err)
			return nil, false
		}
	}
	return t.toDelete(), true
}

func (t *transacting) handle(ctx context.Context, cmd pop3.Command) reply {
	if h := transactionHandler(cmd.Verb); h != nil {
		r := h(t, ctx, cmd.Arg)
		if r.then == quit {
			r.kind = written // UPDATE answers
		}
		return r
	}
	if cmd.Verb == pop3.Unknown {
		return blame(textUnknown)
	}
	return blame(textState)
}

// message turns an argument into the index of a message that is there and not
// marked: the only place that does.
func (t *transacting) message(arg []byte) (i int, ok bool) {
	n, err := pop3.ParseNumber(arg)
	if err != nil || n < 1 || n > len(t.messages) || t.deleted.has(n-1) {
		return 0, false
	}
	return n - 1, true
}

// unmark takes all marks back, also those of EXPIRE 0: a client that resets
// wants to find everything again.
func (t *transacting) unmark() {
	t.deleted, t.retrieved = nil, nil
	t.count, t.octets = len(t.messages), 0
	for i := range t.messages {
		t.octets += t.messages[i].Size
	}
}

// toDelete are the marked messages and those whose time is over (RFC 2449 §6.7).
func (t *transacting) toDelete() (deleted []int) {
	keep := t.policy.Expire
	if keep < day {
		keep = 0
	}
	now := time.Now()
	for i := range t.messages {
		at := t.messages[i].Time
		if t.deleted.has(i) || t.retrieved.has(i) || keep > 0 && !at.IsZero() && now.Sub(at) > keep {
			deleted = append(deleted, i)
		}
	}
	return deleted
}

func (t *transacting) statCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	return reply{kind: accepted, numbers: [2]int64{int64(t.count), t.octets}, count: 2}
}

func (t *transacting) listCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		i, ok := t.message(arg)
		if !ok {
			return refuse("", textNoMessage)
		}
		return reply{kind: accepted, numbers: [2]int64{int64(i + 1), t.messages[i].Size}, count: 2}
	}
	t.out.OK().Int(int64(t.count)).Text(t.say(textMessages)).End()
	for i := range t.messages {
		if !t.deleted.has(i) {
			t.out.IntLine(i + 1).Int(t.messages[i].Size).End()
		}
	}
	t.out.Dot()
	return reply{}
}

func (t *transacting) uidlCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		i, ok := t.message(arg)
		if !ok {
			return refuse("", textNoMessage)
		}
		return reply{kind: accepted, numbers: [2]int64{int64(i + 1)}, count: 1, note: t.messages[i].UID}
	}
	t.out.OK().Int(int64(t.count)).Text(t.say(textMessages)).End()
	for i := range t.messages {
		if !t.deleted.has(i) {
			t.out.IntLine(i + 1).Text(t.messages[i].UID).End()
		}
	}
	t.out.Dot()
	return reply{}
}

func (t *transacting) deleCommand(_ context.Context, arg []byte) reply {
	i, ok := t.message(arg)
	if !ok {
		return refuse("", textNoMessage)
	}
	t.deleted.set(i, len(t.messages))
	t.count--
	t.octets -= t.messages[i].Size
	return accept(textMarked)
}

func (t *transacting) rsetCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	t.unmark()
	t.highest = 0
	return accept(textUnmarked)
}

func (t *transacting) noopCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	return accept(textNoop)
}

// lastCommand is of RFC 1460 and gone since RFC 1725; old clients ask it.
func (t *transacting) lastCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	return reply{kind: accepted, numbers: [2]int64{int64(t.highest)}, count: 1}
}
