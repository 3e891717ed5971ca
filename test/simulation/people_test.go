package simulation

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fetch/sink/smtp"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// accounts of every world.
func accounts() []string { return []string{"alice", "bob@example.org"} }

// dialer connects in some weather.
type dialer struct {
	life    *life
	door    *testkit.Listener
	weather weather
}

func (d dialer) DialContext(context.Context, string, string) (net.Conn, error) {
	c, err := d.door.Dial()
	if err != nil {
		return nil, err
	}
	d.life.count()
	return &link{Conn: c, weather: d.weather}, nil
}

// sender delivers mail by LMTP until it fails or has sent n messages.
func (l *life) sender(ctx context.Context, r *rand.Rand, n int) {
	account := accounts()[r.IntN(2)]
	s, err := smtp.NewLMTP(smtp.Options{Address: "mail.example.org:24", From: "sender@example.org", To: account,
		Dialer: dialer{l, l.lmtpDoor, newWeather(r)}, Timeout: time.Minute})
	if err != nil {
		l.find("the LMTP client: %v", err)
		return
	}
	defer s.Close()
	for range n {
		token, text := l.letter(r)
		err := s.Put(ctx, sink.Message{Key: token}, strings.NewReader(text))
		if err == nil && !l.isAcked(token) {
			l.find("message %s was answered 250 and is not stored", token)
		}
		if err != nil {
			return
		}
		pause(r)
	}
}

func pause(r *rand.Rand) { time.Sleep(time.Duration(r.IntN(30_000)) * time.Millisecond) }

const tokenHeader = "X-Token: "

// letter is a message that no other is like.
func (w *world) letter(r *rand.Rand) (token, text string) {
	token = w.nextToken()
	text = "Subject: letter\r\n" + tokenHeader + token + "\r\n\r\n" + strings.Repeat("..a line of text\r\n.\n", r.IntN(8)*r.IntN(60))
	return token, strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// capture keeps what goes by.
type capture struct{ bytes.Buffer }

func (c *capture) token() string {
	_, rest, _ := strings.Cut(c.String(), tokenHeader)
	token, _, _ := strings.Cut(rest, "\r\n")
	return token
}

func (l *life) isAcked(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[token]
}

// remote is the server as a client sees it: a store of maildrops.
type remote struct {
	life    *life
	weather weather
	secure  bool
	serial  bool
	refused map[int]bool // messages that the server did not give
}

func (m remote) Open(ctx context.Context, account string) (b maildrop.Box, err error) {
	conn, err := dialer{m.life, m.life.popDoor, m.weather}.DialContext(ctx, "", "")
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{ServerName: "mail.example.org", RootCAs: m.life.pool, Time: func() time.Time { return m.life.certificate.Leaf.NotBefore }}
	c, err := pop3client.New(ctx, conn, pop3client.Options{TLS: trust, Timeout: time.Minute, Serial: m.serial})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if m.secure {
		if err := c.STLS(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.SignIn(ctx, pop3client.Credentials{User: account, Password: password, Plaintext: true}); err != nil {
		return nil, err
	}
	b, err = pop3client.Open(ctx, c)
	return noted{b, m.refused}, err
}

// noted is a maildrop with a note of what could not be had.
type noted struct {
	maildrop.Box
	refused map[int]bool
}

func (b noted) Get(ctx context.Context, i, lines int) (io.ReadCloser, error) {
	r, err := b.Box.Get(ctx, i, lines)
	if err != nil {
		b.refused[i] = true
	}
	return r, err
}

// reader visits a maildrop n times, and removes some of what is there.
func (l *life) reader(ctx context.Context, r *rand.Rand, n int) {
	account := accounts()[r.IntN(2)]
	for range n {
		pause(r)
		m := remote{life: l, weather: newWeather(r), secure: r.IntN(12) == 0, serial: r.IntN(4) == 0, refused: map[int]bool{}}
		b, err := l.ledger.Store(m).Open(ctx, account)
		if err != nil {
			continue
		}
		pause(r)
		var marked []int
		for i := range b.Messages() {
			if r.IntN(3) == 0 && !m.refused[i] { // who removes a message unseen cannot tell later what was removed
				marked = append(marked, i)
			}
		}
		if r.IntN(3) > 0 {
			_ = b.Commit(ctx, marked) // the ledger takes note
		}
		_ = b.Close()
	}
}

// brute says commands without waiting for answers, and never QUIT: nothing may
// be removed.
func (l *life) brute(ctx context.Context, r *rand.Rand, n int) {
	for range n {
		pause(r)
		c, err := dialer{l, l.popDoor, newWeather(r)}.DialContext(ctx, "", "")
		if err != nil {
			return
		}
		var text strings.Builder
		if r.IntN(4) > 0 {
			fmt.Fprintf(&text, "USER %s\r\nPASS %s\r\n", accounts()[r.IntN(2)], password)
		}
		for range r.IntN(40) {
			verb := []string{"STAT", "LIST", "UIDL", "RETR", "DELE", "DELE", "DELE", "TOP", "RSET", "CAPA", "NOOP", "QUI", "X\x00"}[r.IntN(13)]
			fmt.Fprintf(&text, "%s %d%s", verb, r.IntN(9), []string{"\r\n", "\r\n", "\r\n", " 1\r\n", "\n"}[r.IntN(5)])
		}
		if c.SetDeadline(time.Now().Add(time.Duration(r.IntN(1200))*time.Second)) == nil {
			_, _ = c.Write([]byte(text.String()))
			for _, err := c.Read(make([]byte, 4096)); err == nil && r.IntN(20) > 0; {
				_, err = c.Read(make([]byte, 4096))
			}
		}
		_ = c.Close()
	}
}

// stranger guesses passwords.
func (l *life) stranger(ctx context.Context, r *rand.Rand, n int) {
	for range n {
		pause(r)
		c, err := dialer{l, l.popDoor, newWeather(r)}.DialContext(ctx, "", "")
		if err != nil {
			return
		}
		p, err := pop3client.New(ctx, c, pop3client.Options{})
		if err != nil {
			_ = c.Close()
			continue
		}
		err = p.SignIn(ctx, pop3client.Credentials{User: accounts()[r.IntN(2)], Password: "guess", Plaintext: true})
		if err == nil {
			l.find("a wrong password was taken")
		}
		_ = p.Close()
	}
}

// patience is how long a client may have to wait for its maildrop when all
// faults are over: the time that a session which is lost holds it
// (RFC 1939 §3), and something on top.
const patience = 25 * time.Minute

// serves reports how everybody gets their mail once the faults are over.
func (l *life) serves(ctx context.Context) {
	limit := time.Now().Add(patience)
	for _, account := range accounts() {
		for {
			err := l.visit(ctx, account)
			if err == nil {
				break
			}
			if refused := (*pop3.Error)(nil); !errors.As(err, &refused) || time.Now().After(limit) {
				l.find("%s cannot have its mail %v after the last fault: %v", account, patience-time.Until(limit), err)
				return
			}
			time.Sleep(20 * time.Second)
		}
	}
}

func (l *life) visit(ctx context.Context, account string) error {
	b, err := l.ledger.Store(remote{life: l, refused: map[int]bool{}}).Open(ctx, account)
	if err != nil {
		return err
	}
	return b.Close()
}
