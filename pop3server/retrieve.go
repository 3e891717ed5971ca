package pop3server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
)

func (t *transacting) retrCommand(ctx context.Context, arg []byte) reply {
	i, ok := t.message(arg)
	if !ok {
		return refuse("", textNoMessage)
	}
	return t.send(ctx, i, -1)
}

func (t *transacting) topCommand(ctx context.Context, arg []byte) reply {
	number, count, _ := bytes.Cut(arg, []byte{' '})
	lines, err := pop3.ParseNumber(count)
	if err != nil {
		return refuse("", textArgument)
	}
	i, ok := t.message(number)
	if !ok {
		return refuse("", textNoMessage)
	}
	return t.send(ctx, i, lines)
}

// send answers RETR, if lines is negative, or TOP. Up to the first 64 KiB are
// read before +OK, so that most trouble can still be told. After +OK an error
// cuts the connection, and the client sees that the message has no end.
func (t *transacting) send(ctx context.Context, i, lines int) reply {
	if t.opt.StrictUTF8 && !t.utf8 {
		ascii, err := asciiHeader(ctx, t.box, i)
		if err != nil {
			return t.unreadable(err)
		}
		if !ascii {
			return refuse(pop3.CodeUTF8, textNeedUTF8)
		}
	}
	r, err := t.box.Get(ctx, i, lines)
	if err != nil {
		return t.unreadable(err)
	}
	defer r.Close()
	s := source{rest: r, buf: sourceBuffers.Get().(*[sourceBuffer]byte)}
	defer sourceBuffers.Put(s.buf)
	if err := s.fill(); err != nil {
		return t.unreadable(err)
	}
	t.gone = 0
	if lines < 0 {
		t.out.OK().Int(t.messages[i].Size).Text(t.say(textOctets)).End()
	} else {
		t.out.OK().Text(t.say(textTop)).End()
	}
	sent, err := t.out.Message(&s, lines)
	switch {
	case s.err != nil && s.err != io.EOF:
		t.fault(s.err)
		t.note(ReasonStorage, s.err)
		return reply{then: ended}
	case err != nil:
		t.stop(err)
		return reply{then: ended}
	}
	t.sent(i, lines, sent)
	return reply{}
}

// sent counts a message that went out whole.
func (t *transacting) sent(i, lines int, octets int64) {
	if lines >= 0 {
		t.sum.Tops++
		return
	}
	t.sum.Retrieved++
	t.highest = max(t.highest, i+1)
	if e := t.policy.Expire; e > 0 && e < day {
		t.retrieved.set(i, len(t.messages))
	}
	m := &t.messages[i]
	if f := t.opt.Trace.SizeMismatch; f != nil && octets != m.Size {
		f(t.sum.Account, m.UID, m.Size, octets)
	}
}

// unreadable answers for a message that cannot be read. A client that asks over
// and over for what others have removed is in a loop: that counts as bad.
func (t *transacting) unreadable(err error) reply {
	r := t.refusal(err)
	if errors.Is(err, maildrop.ErrGone) {
		t.gone++
		r.bad = t.gone > len(t.messages)
	}
	return r
}

const sourceBuffer = 64 << 10

var sourceBuffers = sync.Pool{New: func() any { return new([sourceBuffer]byte) }}

// source gives a message of which the first part has been read ahead, and
// remembers its own error, which is then not the client's.
type source struct {
	rest  io.Reader
	buf   *[sourceBuffer]byte
	at, n int // buf[at:n] is to be given
	err   error
}

// fill reads ahead as much as there is room for. It returns an error unless
// that is io.EOF.
func (s *source) fill() error {
	for empty := 0; s.n < len(s.buf) && s.err == nil; {
		n, err := s.rest.Read(s.buf[s.n:])
		s.n, s.err = s.n+n, err
		if empty++; n > 0 {
			empty = 0
		}
		if err == nil && empty == 100 {
			s.err = io.ErrNoProgress
		}
	}
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// Read is for TOP, which stops where it has enough.
func (s *source) Read(p []byte) (int, error) {
	if s.at < s.n {
		n := copy(p, s.buf[s.at:s.n])
		s.at += n
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.rest.Read(p)
	s.err = err
	return n, err
}

// WriteTo is for RETR: it needs no second buffer.
func (s *source) WriteTo(w io.Writer) (total int64, err error) {
	for {
		n, err := w.Write(s.buf[s.at:s.n])
		total += int64(n)
		if err != nil {
			return total, err
		}
		s.at, s.n = 0, 0
		if s.err == io.EOF {
			return total, nil
		}
		if s.err != nil {
			return total, s.err
		}
		s.fill()
	}
}

// asciiHeader reports whether the header of message i is ASCII.
func asciiHeader(ctx context.Context, box maildrop.Box, i int) (bool, error) {
	r, err := box.Get(ctx, i, 0)
	if err != nil {
		return false, err
	}
	defer r.Close()
	buf := sourceBuffers.Get().(*[sourceBuffer]byte)
	defer sourceBuffers.Put(buf)
	empty := true // the line so far, a CR not counted
	for {
		n, err := r.Read(buf[:])
		for _, c := range buf[:n] {
			switch {
			case c >= 0x80:
				return false, nil
			case c == '\n' && empty:
				return true, nil
			case c == '\n':
				empty = true
			case c != '\r':
				empty = false
			}
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}
