package differential

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

const (
	user     = "carol"
	password = "correct horse"
)

// mail is a store of ours with a way in.
type mail interface {
	maildrop.Store
	maildrop.Deliverer
}

type carolOnly struct{}

func (carolOnly) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	if l.User != user || l.Password != password {
		return "", fmt.Errorf("differential: %w", sasl.ErrRefused)
	}
	return user, nil
}

// serve has our server answer what is said on c.
func serve(s maildrop.Store, c *script) error {
	return answerOn(c, pop3server.Options{Backend: pop3server.New(carolOnly{}, s)})
}

func answerOn(c net.Conn, o pop3server.Options) error {
	peer := pop3server.Peer{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 4), Secure: true}
	return pop3server.NewServer(o).ServeConn(context.Background(), c, peer)
}

// ourBounds are those of docs/PROTOCOL.md.
func ourBounds() bounds { return bounds{badBefore: 3, badAfter: 20, refused: 6, line: 2048} }

// ourAnnouncement is what CAPA says on such a server.
func ourAnnouncement() []string {
	return []string{"TOP\r\n", "UIDL\r\n", "RESP-CODES\r\n", "AUTH-RESP-CODE\r\n", "PIPELINING\r\n", "USER\r\n", "SASL PLAIN LOGIN\r\n", "EXPIRE NEVER\r\n", "UTF8 USER\r\n", "LANG\r\n"}
}

// script is a connection whose other end says one part after another, each when
// it is listened for.
type script struct {
	parts  []string
	before func(part int) // nil: nothing happens meanwhile
	part   int
	out    bytes.Buffer
}

func (c *script) Read(p []byte) (int, error) {
	if len(c.parts) == 0 {
		return 0, io.EOF
	}
	if c.before != nil {
		c.before(c.part)
	}
	n := copy(p, c.parts[0])
	if c.parts[0] = c.parts[0][n:]; c.parts[0] == "" {
		c.parts = c.parts[1:]
		c.part++
	}
	return n, nil
}

func (c *script) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *script) Close() error                     { return nil }
func (c *script) LocalAddr() net.Addr              { return loopback() }
func (c *script) RemoteAddr() net.Addr             { return loopback() }
func (c *script) SetDeadline(time.Time) error      { return nil }
func (c *script) SetReadDeadline(time.Time) error  { return nil }
func (c *script) SetWriteDeadline(time.Time) error { return nil }

func loopback() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 110} }

// lines are the steps as they go over the wire one by one.
func lines(steps []step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.line)
	}
	return all
}

// pieces are the steps cut anywhere.
func pieces(r *rand.Rand, steps []step) []string {
	text := strings.Join(lines(steps), "")
	var all []string
	for text != "" {
		n := min(len(text), 1+r.IntN([]int{2, 30, 3000}[r.IntN(3)]))
		all, text = append(all, text[:n]), text[n:]
	}
	return all
}

// visit is what came of a client's session.
type visit struct {
	said     []byte // by the server
	intruder string // what the server said to another client; empty: nobody came
}

// event is mail that comes in before a step, and another client with it.
type event struct {
	at   int // the step; negative: nothing comes
	late letter
}

// compare holds a visit to a server of ours against the model. It gives the
// number of commands and what is wrong, if anything.
func compare(s *session, steps []step, e event, v visit) (n int64, wrong string) {
	r := bufio.NewReader(bytes.NewReader(v.said))
	if greeting, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "+OK ") {
		return 0, fmt.Sprintf("the greeting %q", greeting)
	}
	for i, step := range steps {
		where := s.state
		if i == e.at {
			if strings.Contains(v.intruder, "[IN-USE]") != (s.state == transaction) {
				return n, fmt.Sprintf("step %d: in %v another client was told %q", i, s.state, v.intruder)
			}
			s.arrive(e.late)
		}
		want := s.say(step.line)
		n++
		got, err := read(r, want)
		if err != nil {
			return n, fmt.Sprintf("step %d, %.100q in %v: want %v, got %v, %v", i, step.line, where, want, got, err)
		}
		if want.closed { // what was said then is a last reply, or two: -ERR, and why it hangs up
			rest, _ := io.ReadAll(r) // of memory
			got.closed = len(rest) == 0 || !want.ok && bytes.HasPrefix(rest, []byte("-ERR")) && bytes.Count(rest, []byte("\n")) == 1
		}
		if d := want.differs(got); d != "" {
			return n, fmt.Sprintf("step %d, %.100q in %v: %s: want %v, got %v", i, step.line, where, d, want, got)
		}
		if want.closed {
			return n, ""
		}
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		return n, fmt.Sprintf("%.100q behind the last answer", rest)
	}
	return n, ""
}
