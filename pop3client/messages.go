package pop3client

import (
	"context"
	"io"
	"iter"
)

// messageOctets is how far Messages asks ahead: a loop that is left early waits
// for as much.
const messageOctets = 4 << 20

// Message is a message of Messages. It can be read until the loop goes on.
type Message struct {
	Listed
	*Body // nil beside an error
}

// Messages asks for the messages of list in order, with the commands
// pipelined where the server allows it, and gives each with its Body. Other
// methods of the Client may return ErrBusy inside the loop.
//
// A message that the server refuses comes with a *pop3.Error, and the loop goes
// on. Every other error is the connection's and the last; its Message names the
// one that was waited for, if any. Leaving the loop early
// waits for the messages that were asked for already, at most about 4 MiB by
// their size hints, and swallows them; after that the connection can be used,
// unless ctx has ended or something broke.
func (c *Client) Messages(ctx context.Context, list iter.Seq[Listed]) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if _, err := c.Capabilities(ctx); err != nil {
			yield(&Message{}, err)
			return
		}
		p := c.Pipeline(Window{Octets: messageOctets})
		next, stop := iter.Pull(list)
		defer stop()
		var ahead []Listed // asked for, from p.first on
		for {
			for p.Pending() <= p.window.Commands {
				l, ok := next()
				if !ok {
					break
				}
				p.Retr(l.Number, l.Size)
				ahead = append(ahead, l)
			}
			r, err := p.Next(ctx)
			if err == io.EOF {
				return
			}
			m := &Message{Body: r.Body}
			if len(ahead) > 0 { // else what is left of the last message fails
				m.Listed, ahead = ahead[0], ahead[1:]
			}
			if err == nil && yield(m, r.Err) {
				continue
			}
			if err != nil {
				yield(m, err)
			}
			p.leave(ctx)
			return
		}
	}
}
