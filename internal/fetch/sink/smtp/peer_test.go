package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/postwain/postwain/internal/dot"
	"github.com/postwain/postwain/internal/testkit"
)

// peer is a scripted server. It answers each command by the reply that stands
// behind its first word in replies, or as a server that likes everything. In
// replies the word "end" is for the end of a message, "" for the greeting. A
// reply may be several; the last is for all that follow. A reply "hang up"
// closes the connection, "silence" says nothing.
type peer struct {
	offers  []string
	replies map[string][]string
	tls     *tls.Config
	wrapped bool // in TLS from the first octet

	mu       sync.Mutex
	commands []string
	mail     []string
	sessions int
	cut      int // messages that broke off
}

// DialContext makes the peer a Dialer.
func (p *peer) DialContext(context.Context, string, string) (net.Conn, error) {
	near, far := testkit.Pipe()
	p.mu.Lock()
	p.sessions++
	p.mu.Unlock()
	go p.serve(far)
	return near, nil
}

func (p *peer) serve(conn net.Conn) {
	defer conn.Close()
	if p.wrapped {
		conn = tls.Server(conn, p.tls)
	}
	br := bufio.NewReader(conn)
	if !p.answer(conn, "", "220 mail.example.org ready") {
		return
	}
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		p.mu.Lock()
		p.commands = append(p.commands, line)
		p.mu.Unlock()
		word, _, _ := strings.Cut(line, " ")
		usual := "250 2.0.0 OK"
		switch word {
		case "EHLO", "LHLO":
			usual = p.hello()
		case "DATA":
			usual = "354 Go on"
		case "STARTTLS":
			usual = "220 Go on"
		case "AUTH":
			usual = "235 2.7.0 Welcome"
		case "QUIT":
			usual = "221 Bye"
		}
		said := p.next(word, usual)
		if !say(conn, said) {
			return
		}
		switch {
		case word == "STARTTLS" && strings.HasPrefix(said, "220"):
			if strings.Contains(said, "\r\n") {
				continue // injected
			}
			conn = tls.Server(conn, p.tls)
			br = bufio.NewReader(conn)
		case word == "DATA" && strings.HasPrefix(said, "354"):
			text, err := io.ReadAll(dot.NewReader(br))
			p.mu.Lock()
			if err == nil {
				p.mail = append(p.mail, string(text))
			} else {
				p.cut++
			}
			p.mu.Unlock()
			if err != nil || !p.answer(conn, "end", "250 2.0.0 Queued") {
				return
			}
		case word == "QUIT":
			return
		}
	}
}

func (p *peer) hello() string {
	reply := "250"
	for _, offer := range append([]string{"mail.example.org"}, p.offers...) {
		reply = strings.Replace(reply, "250 ", "250-", -1)
		reply += " " + offer + "\r\n250"
	}
	return strings.TrimSuffix(reply, "\r\n250")
}

// next is the reply to a word.
func (p *peer) next(word, usual string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.replies[word]
	if len(list) == 0 {
		return usual
	}
	if len(list) > 1 {
		p.replies[word] = list[1:]
	}
	if list[0] == "" {
		return usual
	}
	return list[0]
}

func (p *peer) answer(conn net.Conn, word, usual string) bool { return say(conn, p.next(word, usual)) }

func say(conn net.Conn, reply string) bool {
	switch reply {
	case "hang up":
		return false
	case "silence":
		return true
	}
	_, err := io.WriteString(conn, reply+"\r\n")
	return err == nil
}

// seen gives the commands and the messages so far.
func (p *peer) seen() (commands, mail []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.commands...), append([]string(nil), p.mail...)
}

// options are those of most tests.
func options(p *peer) Options {
	return Options{
		Address: "mail.example.org:25", From: "ann@example.net", To: "bob@example.org",
		Hello: "fetch.example.org", Security: Plaintext, Dialer: p,
	}
}

func mustSink(t *testing.T, o Options) *client {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*client)
}
