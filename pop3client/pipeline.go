package pop3client

import (
	"context"
	"io"

	"github.com/postwain/postwain/pop3"
)

// What the zero Window means, and how many octets of commands may be without an
// answer: so few that the sockets hold them although the server does not read,
// because it is itself waiting for this client to read.
const (
	windowCommands = 256
	windowOctets   = 16 << 20
	commandOctets  = 16 << 10
)

// Window is how much may be under way. Zero fields have defaults.
type Window struct {
	Commands int   // without an answer; 0: 256. It is 1 where the server has not announced PIPELINING in this state
	Octets   int64 // of messages, by their size hints; 0: 16 MiB
}

// Pipeline sends commands before earlier ones are answered (RFC 2449 §6.6), by
// one goroutine: Retr and Dele queue, Next sends and receives. A server that
// does not announce PIPELINING, or has not been asked by Capabilities after the
// login, gets one command at a time.
//
// While replies are to come, other methods of the Client return ErrBusy. If a
// reply does not fit, as of a server that loses count, the error of Next is
// ErrProtocol; Options.Serial is the way around in the next session.
type Pipeline struct {
	c      *Client
	window Window
	queue  []queued // not sent from next on, not answered from first on
	first  int
	next   int
	octets int64 // of the messages that are asked for
	out    int   // octets of the commands that are not answered
	err    error
}

// queued is a command.
type queued struct {
	verb   pop3.Verb
	number int
	size   int64 // hint
	line   int   // octets
}

func (q queued) step() step { return numbered(q.verb, q.number) }

// Reply answers a command of a Pipeline.
type Reply struct {
	Verb   pop3.Verb // Retr or Dele
	Number int
	Err    error // a *pop3.Error if the server refuses, or ErrArgument
	Body   *Body // of Retr, if Err is nil
}

// Pipeline returns a Pipeline on the connection.
func (c *Client) Pipeline(w Window) *Pipeline {
	if w.Commands <= 0 {
		w.Commands = windowCommands
	}
	if w.Octets <= 0 {
		w.Octets = windowOctets
	}
	if c.opt.Serial || !c.announced(pop3.CapPipelining) {
		w.Commands = 1
	}
	return &Pipeline{c: c, window: w}
}

// Retr queues RETR of message n. size is a hint; 0: unknown.
func (p *Pipeline) Retr(n int, size int64) { p.add(pop3.Retr, n, max(size, 0)) }

// Dele queues DELE of message n.
func (p *Pipeline) Dele(n int) { p.add(pop3.Dele, n, 0) }

func (p *Pipeline) add(v pop3.Verb, n int, size int64) {
	if p.first == len(p.queue) || len(p.queue) == cap(p.queue) && p.first > len(p.queue)/2 {
		p.queue = p.queue[:copy(p.queue, p.queue[p.first:])]
		p.next -= p.first
		p.first = 0
	}
	p.queue = append(p.queue, queued{verb: v, number: n, size: min(size, p.window.Octets)})
}

// Pending is how many commands are queued or not yet answered.
func (p *Pipeline) Pending() int { return len(p.queue) - p.first }

// Next sends what the window lets go and gives the next reply, in the order of
// the commands. It swallows what is left of the Body before. It returns io.EOF
// if nothing is pending; more may be queued then. Any other error is the
// connection's, and final, unless ctx had ended before.
func (p *Pipeline) Next(ctx context.Context) (Reply, error) {
	if p.err != nil {
		return Reply{}, p.err
	}
	if p.Pending() == 0 && p.c.body == nil {
		return Reply{}, io.EOF
	}
	if err := p.begin(ctx); err != nil {
		return Reply{}, p.fail(err)
	}
	defer p.c.end()
	if p.Pending() == 0 {
		return Reply{}, io.EOF
	}
	if err := p.fill(); err != nil {
		return Reply{}, p.fail(err)
	}
	q := p.queue[p.first]
	r := Reply{Verb: q.verb, Number: q.number}
	if q.line > 0 {
		p.c.wire.begin()
		_, err := p.c.status(q.step())
		if p.c.err != nil {
			return Reply{}, p.fail(err)
		}
		r.Err = err
		p.c.marked = p.c.marked || q.verb == pop3.Dele && err == nil
	} else {
		r.Err = q.step().wrap(ErrArgument)
	}
	p.answered(q)
	if q.verb == pop3.Retr && r.Err == nil {
		r.Body = p.c.open(q.step())
	}
	return r, nil
}

// begin makes the connection ready for the next reply.
func (p *Pipeline) begin(ctx context.Context) error {
	c, s := p.c, step{verb: "pipeline"}
	if p.Pending() > 0 {
		s = p.queue[p.first].step()
	}
	if c.pipe != p { // nothing is under way
		return c.begin(ctx, s)
	}
	if err := c.wire.watch(ctx); err != nil {
		return s.wrap(err)
	}
	if c.body != nil {
		return c.body.Close()
	}
	return nil
}

// fill sends commands when it is worth it: half of the window is free, or the
// client would wait.
func (p *Pipeline) fill() error {
	c := p.c
	if under := p.next - p.first; under > 0 && c.in.Buffered() > 0 && under > p.window.Commands/2 {
		return nil
	}
	c.out = c.out[:0]
	for p.next < len(p.queue) && p.next-p.first < p.window.Commands {
		q := &p.queue[p.next]
		if q.number > 0 {
			before := len(c.out)
			c.out = append(q.step().append(c.out), "\r\n"...)
			q.line = len(c.out) - before
			alone := p.next == p.first
			if !alone && (p.out+q.line > commandOctets || p.octets+q.size > p.window.Octets) {
				c.out, q.line = c.out[:before], 0
				break
			}
		}
		p.out += q.line
		p.octets += q.size
		p.next++
	}
	if len(c.out) == 0 {
		return nil
	}
	c.pipe = p
	return c.flush(p.queue[p.first].step(), "")
}

// answered takes the first command from the queue.
func (p *Pipeline) answered(q queued) {
	p.first++
	p.out -= q.line
	p.octets -= q.size
	if p.next == p.first {
		p.c.pipe = nil
	}
}

// fail keeps the final error.
func (p *Pipeline) fail(err error) error {
	if p.c.err != nil {
		p.err = err
	}
	return err
}

// leave forgets what is queued and swallows the replies that are under way. If
// it cannot, the connection ends.
func (p *Pipeline) leave(ctx context.Context) {
	p.queue = p.queue[:p.next]
	for {
		_, err := p.Next(ctx)
		if err == io.EOF {
			return
		}
		if err != nil {
			p.c.fail(step{verb: "pipeline"}, err)
			return
		}
	}
}
