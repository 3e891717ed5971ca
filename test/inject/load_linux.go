package inject

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/test/rig"
)

// load is the clients of one account, who write down what they are told.
type load struct {
	books  *books
	server *rig.Server
	round  int
	sent   atomic.Int64
}

// deliver sends messages by LMTP until the server or ctx ends.
func (l *load) deliver(ctx context.Context, who int, random *rand.Rand) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address(l.server.LMTP))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	c := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	if err := answer(c, "220"); err != nil {
		return err
	}
	if err := ask(c, "LHLO client.example.net\r\n", "250"); err != nil {
		return err
	}
	for ctx.Err() == nil {
		token := fmt.Sprintf("%d-%d-%d", l.round, who, l.sent.Add(1))
		if err := ask(c, "MAIL FROM:<ann@example.net>\r\n", "250"); err != nil {
			return err
		}
		if err := ask(c, "RCPT TO:<"+l.books.account+">\r\n", "250"); err != nil {
			return err
		}
		if err := ask(c, "DATA\r\n", "354"); err != nil {
			return err
		}
		text := tokenHeader + token + "\n\n" + strings.Repeat(".a line of "+token+"\n", 1+random.IntN(200))
		l.books.offer(token, text)
		stuffed := strings.NewReplacer("\n.", "\r\n..", "\n", "\r\n").Replace(text)
		if err := ask(c, stuffed+".\r\n", "250"); err != nil {
			return err
		}
		l.books.accept(token)
	}
	return nil
}

// ask writes, and wants an answer that begins so.
func ask(c *bufio.ReadWriter, text, want string) error {
	if _, err := c.WriteString(text); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	return answer(c, want)
}

func answer(c *bufio.ReadWriter, want string) error {
	for {
		line, err := c.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("inject: LMTP says %.80q, not %s", line, want)
		}
		if !strings.HasPrefix(line, want+"-") {
			return nil
		}
	}
}

// visit fetches all mail and removes some of it, again and again, until the
// server or ctx ends.
func (l *load) visit(ctx context.Context, random *rand.Rand) error {
	for ctx.Err() == nil {
		if err := l.session(ctx, random); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) session(ctx context.Context, random *rand.Rand) error {
	c, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	seen, err := fetch(ctx, c)
	if err != nil {
		return err
	}
	l.books.witness(seen)
	var marked []string
	for i, s := range seen {
		if random.IntN(3) == 0 {
			continue
		}
		if err := c.Dele(ctx, i+1); err != nil {
			return err
		}
		marked = append(marked, s.token())
	}
	if len(marked) == 0 || random.IntN(5) == 0 {
		return nil // without QUIT nothing is removed
	}
	l.books.doubt(marked)
	if err := c.Quit(ctx); err != nil {
		return err
	}
	l.books.removed(marked)
	return nil
}

func (l *load) open(ctx context.Context) (*pop3client.Client, error) {
	c, err := pop3client.Dial(ctx, address(l.server.POP3), pop3client.Plaintext, pop3client.Options{})
	if err != nil {
		return nil, err
	}
	err = c.SignIn(ctx, pop3client.Credentials{User: l.books.account, Password: rig.Password, Mechanism: "USER", Plaintext: true})
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// look is what is in the maildrop, by a session that changes nothing.
func (l *load) look(ctx context.Context) ([]copyOf, error) {
	c, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	seen, err := fetch(ctx, c)
	if err != nil {
		return nil, err
	}
	return seen, c.Quit(ctx)
}

// fetch reads all messages, in the order of their numbers.
func fetch(ctx context.Context, c *pop3client.Client) ([]copyOf, error) {
	list, err := c.UIDL(ctx)
	if err != nil {
		return nil, err
	}
	seen := make([]copyOf, len(list))
	for i, m := range list {
		if m.Number != i+1 {
			return nil, fmt.Errorf("inject: row %d of UIDL is of message %d", i+1, m.Number)
		}
		body, err := c.Retr(ctx, m.Number)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if _, err := body.WriteTo(&b); err != nil {
			return nil, err
		}
		seen[i] = copyOf{m.UID, strings.ReplaceAll(b.String(), "\r\n", "\n")}
	}
	return seen, nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
