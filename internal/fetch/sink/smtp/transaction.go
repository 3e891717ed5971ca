package smtp

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/dot"
	"github.com/postwain/postwain/internal/fetch/sink"
)

// lateTime is how long a server may take to say why it has hung up.
const lateTime = 5 * time.Second

// begin takes the session to where the message may be sent. The envelope goes
// out at once where the server knows how to take it (RFC 2920).
func (s *conn) begin(m sink.Message) error {
	mail, err := s.mail(m)
	if err != nil {
		return err
	}
	var steps []string
	if s.midMail {
		steps = append(steps, "RSET")
	}
	steps = append(steps, mail, "RCPT TO:<"+s.o.To+">")
	_, together := s.offer("PIPELINING")
	if together {
		s.out.WriteString(strings.Join(steps, "\r\n") + "\r\n")
		if err := s.out.Flush(); err != nil {
			return step("MAIL FROM", err)
		}
	}
	s.midMail = true
	var first error
	for _, line := range steps {
		var r reply
		if together {
			r, err = s.reply(s.o.Timeout)
		} else {
			r, err = s.exchange(line)
		}
		name, _, _ := strings.Cut(line, ":")
		if err != nil {
			return step(name, err)
		}
		if r.class() != 2 && first == nil {
			first = refused(name, r)
		}
		if first != nil && !together || r.code == 421 {
			break
		}
	}
	if first != nil {
		return first
	}
	r, err := s.exchange("DATA")
	if err != nil {
		return step("DATA", err)
	}
	if r.code != 354 {
		return refused("DATA", r)
	}
	return nil
}

// mail is the line that begins a message.
func (s *conn) mail(m sink.Message) (string, error) {
	line := "MAIL FROM:<" + s.o.From + ">"
	if _, ok := s.offer("SIZE"); ok && m.Size > 0 {
		line += " SIZE=" + strconv.FormatInt(m.Size, 10)
	}
	if _, ok := s.offer("8BITMIME"); ok {
		line += " BODY=8BITMIME"
	}
	if !isASCII(s.o.From) || !isASCII(s.o.To) {
		if _, ok := s.offer("SMTPUTF8"); !ok {
			return "", errors.New("server does not take addresses outside ASCII (SMTPUTF8)")
		}
		line += " SMTPUTF8"
	}
	return line, nil
}

// data sends the message and reads the answer.
func (s *conn) data(r io.Reader) error {
	s.midData = true
	w := dot.NewWriter(s.out)
	from := &source{r: r}
	if _, err := w.ReadFrom(from); from.err != nil || err == io.ErrNoProgress {
		// Without its end dot the message is nothing.
		return fmt.Errorf("message broke off: %w", err)
	} else if err != nil {
		return s.late(err)
	}
	err := w.Close()
	if err == nil {
		err = s.out.Flush()
	}
	var answer reply
	if err == nil {
		answer, err = s.reply(2 * s.o.Timeout)
	}
	if err != nil {
		return fmt.Errorf("end of the message: %w: %w", sink.ErrUnknownOutcome, err)
	}
	s.midData = false
	if answer.class() != 2 {
		return refused("end of the message", answer)
	}
	s.midMail = false
	return nil
}

// late gives the reply of a server that took no more of a message, if there is
// one.
func (s *conn) late(err error) error {
	if r, e := s.reply(lateTime); e == nil && r.class() > 3 {
		return refused("message", r)
	}
	return step("message", err)
}

// refused is the error of a reply. Only if it is about the message and
// permanent it is sink.ErrRefused; that it is about a full mailbox, an
// address or the server, its enhanced code tells (RFC 3463 §3).
func refused(name string, r reply) error {
	err := error(&refusal{step: name, reply: r})
	if r.class() != 5 {
		return err
	}
	status, _ := r.status()
	subject, _, _ := strings.Cut(status, ".")
	switch {
	case status == "2.3", status == "3.4": // too big
	case name == "MAIL FROM":
		if r.code != 552 || status != "" {
			return err
		}
	case name != "end of the message" && name != "message":
		return err
	case subject == "1", subject == "2", subject == "3", subject == "4":
		return err
	}
	return fmt.Errorf("%w: %w", sink.ErrRefused, err)
}
