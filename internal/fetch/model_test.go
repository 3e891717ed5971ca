package fetch

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// letter is a message of a model.
type letter struct {
	uid, text string
	hidden    bool // it was read in a session that ended in QUIT
}

// model is a POP3 server with one mailbox, with the faults that a test wants.
// It goes by RFC 1939 and nothing else of the house.
type model struct {
	sessions sync.WaitGroup

	mu      sync.Mutex
	letters []letter
	// What was asked for so far.
	logins, quits int
	retrs         map[string]int // by text
	deles         map[string]int

	// Faults and habits. Nil and zero: none.
	capa         []string // nil: UIDL and PIPELINING
	noUIDL       string   // the answer to UIDL
	noList       bool
	uid          func(login, number int, l letter) string // what UIDL says
	size         func(l letter) int                       // what LIST says
	hidesNothing bool                                     // it only says so
	show         int                                      // how many are listed in a session; the others are hidden, as by Gmail
	refuseRetr   func(l letter) string
	refuseDele   func(l letter) string
	loginReply   func(login int) string
	quitReply    string
	keeps        bool                  // DELE does nothing
	loseQuit     bool                  // the session is committed, and the answer is lost
	cut          func(login int) int64 // the connection ends after so many octets sent; 0: never
	rawRetr      func(l letter) string // the reply to RETR
	dead         func() bool           // the power is off
	before       func(verb string)     // waits before a command is answered
	serial       bool                  // loses count when commands come ahead
	dials        func(login int) error
}

func newModel(n int) *model {
	m := &model{retrs: map[string]int{}, deles: map[string]int{}}
	for i := range n {
		m.letters = append(m.letters, letter{uid: fmt.Sprintf("uid-%d-abcdefgh", i), text: text(i)})
	}
	return m
}

// text is the n-th message of a test.
func text(n int) string {
	return fmt.Sprintf("Subject: letter %d\r\n\r\n%s.. dots\r\n.\r\n", n, strings.Repeat("line\r\n", n%5))
}

// powered makes the server end when the power of f fails.
func (m *model) powered(f *faultfs.FS) {
	m.dead = func() bool {
		_, err := f.Root().Stat("power")
		return crashed(err)
	}
}

// clone gives a server with the same mailbox when all sessions are over.
func (m *model) clone() *model {
	m.sessions.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return &model{letters: slices.Clone(m.letters), retrs: maps.Clone(m.retrs), deles: maps.Clone(m.deles), logins: m.logins, uid: m.uid, show: m.show, keeps: m.keeps, noUIDL: m.noUIDL, capa: m.capa}
}

// account is an account in m whose messages go to to.
func (m *model) account(to *destination, p Policy) Account {
	return Account{
		Name: "alice", Mailbox: alice, Host: "pop.example.org", Sink: to, Policy: p,
		Dial: func(ctx context.Context) (*pop3client.Client, error) {
			if m.dials != nil {
				if err := m.dials(m.count(&m.logins, 0)); err != nil {
					return nil, err
				}
			}
			client, server := testkit.Pipe()
			m.sessions.Go(func() { m.serve(server) })
			return pop3client.New(ctx, client, pop3client.Options{})
		},
		SignIn: func(ctx context.Context, c *pop3client.Client) error {
			return c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "secret", Mechanism: "USER", Plaintext: true})
		},
	}
}

func (m *model) count(n *int, add int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	*n += add
	return *n
}

// cutter ends a connection after so many octets.
type cutter struct {
	net.Conn
	left *int64
}

func (c cutter) Write(p []byte) (int, error) {
	if *c.left > 0 {
		if int64(len(p)) >= *c.left {
			c.Conn.Write(p[:*c.left])
			c.Conn.Close()
			return 0, net.ErrClosed
		}
		*c.left -= int64(len(p))
	}
	return c.Conn.Write(p)
}

// serve is one session.
func (m *model) serve(conn net.Conn) {
	defer conn.Close()
	login := m.count(&m.logins, 1)
	if m.cut != nil {
		left := m.cut(login)
		conn = cutter{conn, &left}
	}
	x := modelSession{m: m, login: login, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}
	if m.show > 0 {
		x.say("+OK Gpop ready for requests from 192.0.2.1")
	} else {
		x.say("+OK ready")
	}
	x.out.Flush()
	for {
		line, err := x.in.ReadString('\n')
		if err != nil || m.dead != nil && m.dead() {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if m.before != nil {
			m.before(verb)
		}
		if m.serial && x.in.Buffered() > 0 && verb == "RETR" {
			x.say("lost count")
			x.out.Flush()
			return
		}
		if !x.do(verb, arg) {
			x.out.Flush()
			return
		}
		if x.in.Buffered() == 0 && x.out.Flush() != nil {
			return
		}
	}
}

type modelSession struct {
	m       *model
	login   int
	in      *bufio.Reader
	out     *bufio.Writer
	view    []letter
	deleted map[int]bool
	read    map[string]bool // by UID
}

func (x *modelSession) say(line string) { x.out.WriteString(line + "\r\n") }

// do answers a command and says whether the session goes on.
func (x *modelSession) do(verb, arg string) bool {
	m := x.m
	switch verb {
	case "CAPA":
		capa := m.capa
		if capa == nil {
			capa = []string{"UIDL", "PIPELINING", "RESP-CODES", "USER"}
		}
		x.say("+OK\r\n" + strings.Join(capa, "\r\n") + "\r\n.")
	case "USER":
		x.say("+OK")
	case "PASS":
		reply := "+OK"
		if m.loginReply != nil {
			reply = m.loginReply(x.login)
		}
		x.say(reply)
		x.open()
	case "UIDL", "LIST":
		x.list(verb)
	case "RETR", "DELE":
		n, _ := strconv.Atoi(arg)
		if n < 1 || n > len(x.view) || x.deleted[n] {
			x.say("-ERR no such message")
			return true
		}
		x.message(verb, n)
	case "QUIT":
		return x.quit()
	default:
		x.say("-ERR unknown")
	}
	return true
}

func (x *modelSession) open() {
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.deleted, x.read = map[int]bool{}, map[string]bool{}
	for _, l := range x.m.letters {
		if x.m.show > 0 && (l.hidden || len(x.view) == x.m.show) {
			continue
		}
		x.view = append(x.view, l)
	}
}

func (x *modelSession) list(verb string) {
	m := x.m
	if verb == "UIDL" && m.noUIDL != "" || verb == "LIST" && m.noList {
		x.say(cmp.Or(m.noUIDL, "-ERR no"))
		return
	}
	x.say("+OK")
	for i, l := range x.view {
		switch size := len(l.text); {
		case verb == "UIDL" && m.uid != nil:
			x.say(fmt.Sprintf("%d %s", i+1, m.uid(x.login, i+1, l)))
		case verb == "UIDL":
			x.say(fmt.Sprintf("%d %s", i+1, l.uid))
		default:
			if m.size != nil {
				size = m.size(l)
			}
			x.say(fmt.Sprintf("%d %d", i+1, size))
		}
	}
	x.say(".")
}

func (x *modelSession) message(verb string, n int) {
	m, l := x.m, x.view[n-1]
	m.mu.Lock()
	if verb == "RETR" {
		m.retrs[l.text]++
		x.read[l.uid] = true
	} else {
		m.deles[l.text]++
	}
	m.mu.Unlock()
	reply := ""
	switch {
	case verb == "DELE" && m.refuseDele != nil:
		reply = m.refuseDele(l)
	case verb == "RETR" && m.refuseRetr != nil:
		reply = m.refuseRetr(l)
	case verb == "RETR" && m.rawRetr != nil:
		reply = m.rawRetr(l)
	}
	if reply != "" {
		x.say(reply)
		return
	}
	if verb == "DELE" {
		x.deleted[n] = true
		x.say("+OK")
		return
	}
	x.say("+OK")
	io.WriteString(x.out, strings.ReplaceAll("\n"+l.text, "\n.", "\n..")[1:])
	x.say(".")
}

func (x *modelSession) quit() bool {
	m := x.m
	m.mu.Lock()
	m.quits++
	if m.quitReply == "" && !m.keeps {
		gone := map[string]bool{}
		for i, l := range x.view {
			if x.deleted[i+1] {
				gone[l.uid] = true
			}
		}
		m.letters = slices.DeleteFunc(m.letters, func(l letter) bool { return gone[l.uid] })
	}
	if m.show > 0 && !m.hidesNothing {
		for i := range m.letters {
			m.letters[i].hidden = m.letters[i].hidden || x.read[m.letters[i].uid]
		}
	}
	m.mu.Unlock()
	if !m.loseQuit {
		x.say(cmp.Or(m.quitReply, "+OK bye"))
	}
	return false
}

// left is how many messages the mailbox has.
func (m *model) left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.letters)
}
