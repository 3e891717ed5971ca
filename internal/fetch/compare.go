package fetch

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/postwain/postwain/pop3client"
)

// compare reads the messages whose UIDs do not tell which they are (quirks 37,
// 38, and servers without UIDL), and decides by what is in them. Those that are
// new are then fetched once more, for only now is it known under which key.
func (s *session) compare(ctx context.Context, p *planner) error {
	pipe := s.client.Pipeline(s.window())
	var list []*item
	for i := range s.items {
		if it := &s.items[i]; it.action == Compare {
			list = append(list, it)
		}
	}
	met := map[uid]struct{}{}
	next := 0
	for n, it := range list {
		for next < len(list) && next < n+ahead && !s.stopping() {
			pipe.Retr(list[next].number, list[next].size)
			next++
		}
		if n >= next { // there was a stop
			s.unsure = true
			it.action = Leave
			continue
		}
		pending := pipe.Pending()
		reply, err := pipe.Next(ctx)
		if err != nil {
			return s.lost(ctx, it, pending, err)
		}
		it.action = Leave
		if reply.Err != nil {
			s.unsure = true
			if err := s.setAside(it, reply.Err); err != nil {
				return err
			}
			continue
		}
		in := newIncoming(nil, reply.Body)
		if most := s.account.Policy.MaxSize; most > 0 {
			in.most = max(most, it.size)
		}
		_, err = io.Copy(io.Discard, in)
		switch {
		case errors.As(err, new(errTooLarge)):
			return cmp.Or(s.setAside(it, err), s.wrap("fetching", errAgain))
		case err != nil:
			return s.lost(ctx, it, pending, err)
		}
		it.size = in.octets
		it.read = true
		s.resolve(it, in.digest, p, met)
	}
	return nil
}

// resolve decides on a message of which the contents are known. met are the
// names so far.
func (s *session) resolve(it *item, d digest, p *planner, met map[uid]struct{}) {
	s.journal.change(func(t *table, note func(record)) {
		if it.uid != (uid{}) {
			switch e := t.entries[it.uid]; {
			case e.digest != d:
				it.action, it.fresh = Fetch, true
				// The message that had the number may have another now.
				p.renewed = p.renewed || e.state == stateStored
			case p.policy.deletes(int64(e.time), p.now):
				it.action = Delete
			}
			return
		}
		it.uid, it.content = uidOfContent(d), &d
		if _, twin := met[it.uid]; twin {
			it.reason = "another message is the same"
			return
		}
		met[it.uid] = struct{}{}
		if _, there := s.stored[d]; there && !t.entries[it.uid].state.safe() {
			note(record{kind: kindStored, uid: it.uid, digest: d, octets: it.size, time: p.now.Unix()})
		}
		p.decide(it)
	})
}

// window is how much may be under way.
func (s *session) window() (w pop3client.Window) {
	w.Commands = window
	s.journal.look(func(t *table) {
		if t.serial {
			w.Commands = 1
		}
	})
	return w
}

// lost is for an error of the connection at the answer to a command for it,
// while so many commands were under way. If the server may have lost count, the
// next session gives it one by one.
func (s *session) lost(ctx context.Context, it *item, pending int, err error) error {
	if pending > 1 && outOfStep(err) && s.window().Commands != 1 {
		s.journal.note(record{kind: kindSerial})
		s.serial = true
	}
	if s.serial || it.action == Delete {
		return s.wrap("fetching", err)
	}
	return s.blame(ctx, it, err)
}
