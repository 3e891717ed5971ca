package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// The numbers are those of docs/QUIRKS.md.

// over is a with connections that wrap has changed at the server's end.
func over(m *model, a Account, wrap func(net.Conn) net.Conn) Account {
	a.Dial = func(ctx context.Context) (*pop3client.Client, error) {
		client, server := testkit.Pipe()
		go m.serve(wrap(server))
		return pop3client.New(ctx, client, pop3client.Options{})
	}
	return a
}

// editor makes each line that a server sends another, or several, or none.
type editor struct {
	net.Conn
	edit func(line string) string // both with CRLF
	rest []byte
}

func (e *editor) Write(p []byte) (int, error) {
	e.rest = append(e.rest, p...)
	for {
		i := bytes.IndexByte(e.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := e.edit(string(e.rest[:i+1]))
		if e.rest = e.rest[i+1:]; line == "" {
			continue
		}
		if _, err := io.WriteString(e.Conn, line); err != nil {
			return 0, err
		}
	}
}

// deaf is the connection of a server that hangs up when it reads a word.
type deaf struct {
	net.Conn
	to   string
	over bool
}

func (d *deaf) Read(p []byte) (int, error) {
	if d.over {
		return 0, io.EOF
	}
	n, err := d.Conn.Read(p)
	if i := bytes.Index(p[:n], []byte(d.to)); i >= 0 {
		d.over, n = true, i
	}
	return n, err
}

// gone takes letters out of the mailbox.
func (m *model) gone(which func(l letter) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters = slices.DeleteFunc(slices.Clone(m.letters), which)
}

// Reading alone takes a message away, by a setting of the mailbox or by a fault
// of the server: when the session ends in QUIT (4, 21, 60), or at once (2). What
// was read is stored, whatever else is wanted of it.
func TestReadingRemoves(t *testing.T) {
	t.Parallel()
	for name, habit := range map[string]func(m *model){
		"at QUIT": func(m *model) {
			m.keeps = true // DELE means nothing
			m.before = func(verb string) {
				if verb == "QUIT" {
					m.gone(func(l letter) bool { return m.retrs[l.text] > 0 })
				}
			}
		},
		"at once": func(m *model) {
			m.rawRetr = func(read letter) string {
				m.gone(func(l letter) bool { return l.uid == read.uid })
				return ""
			}
		},
	} {
		for _, p := range []Policy{{}, {Keep: true}, {DeleteAfter: time.Hour}, {Batch: 5}} {
			t.Run(fmt.Sprintf("%s %+v", name, p), func(t *testing.T) {
				t.Parallel()
				f, m, to := faultfs.New(), newModel(12), exactly()
				habit(m)
				for range 2 {
					if r := once(f.Root(), m.account(to, p)); r.Err != nil {
						t.Fatalf("%+v", r)
					}
				}
				if err := to.check(texts(12), 0); err != nil || m.left() > 0 {
					t.Error(err, m.left())
				}
			})
		}
	}
}

// A server forgets each message as it is read, and hangs up before the first
// DELE (2, 9): all that has arrived is stored.
func TestGoneBeforeDele(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(12), exactly()
	m.rawRetr = func(read letter) string {
		m.gone(func(l letter) bool { return l.uid == read.uid })
		return ""
	}
	a := over(m, m.account(to, Policy{}), func(c net.Conn) net.Conn { return &deaf{Conn: c, to: "DELE"} })
	for range 3 { // a part of them may have been asked for together with the first DELE
		once(f.Root(), a)
	}
	if err := to.check(texts(12), 0); err != nil || m.left() > 0 {
		t.Error(err, m.left())
	}
}

// Only the mail of the last days is listed (3, 22), for everyone, and whoever
// fetches it has each message once.
func TestRecentOnly(t *testing.T) {
	t.Parallel()
	m, all := newModel(30), newModel(30).letters
	home, office := exactly(), exactly()
	f, g := faultfs.New(), faultfs.New()
	for n := 5; n <= 30; n++ {
		m.letters = slices.Clone(all[max(0, n-8):n])
		if r := once(f.Root(), m.account(home, Policy{Keep: true})); r.Err != nil {
			t.Fatalf("%+v", r)
		}
		if n%5 == 0 {
			if r := once(g.Root(), m.account(office, Policy{Keep: true})); r.Err != nil {
				t.Fatalf("%+v", r)
			}
		}
	}
	for _, to := range []*destination{home, office} {
		if err := to.check(texts(30), 0); err != nil {
			t.Error(err)
		}
	}
}

// So much mail a day and no more: the server hangs up and lets nobody in (5), or
// refuses each message (23), until the day is over.
func TestDailyLimit(t *testing.T) {
	t.Parallel()
	for name, habit := range map[string]func(m *model, over func() bool){
		"locked out": func(m *model, over func() bool) {
			m.dead = over
			m.loginReply = func(int) string {
				if over() {
					return "-ERR [SYS/TEMP] Account exceeded command or bandwidth limits."
				}
				return "+OK"
			}
		},
		"refused": func(m *model, over func() bool) {
			m.refuseRetr = func(letter) string {
				if over() {
					return "-ERR Download exceed"
				}
				return ""
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, to := newModel(100), exactly()
				start := time.Now()
				habit(m, func() bool {
					to.mu.Lock()
					defer to.mu.Unlock()
					return len(to.texts) >= 40*(1+int(time.Since(start)/(24*time.Hour)))
				})
				f := New(Options{State: faultfs.New().Root()})
				if err := watch(t, f, 5*24*time.Hour, 5*time.Minute, m.account(to, Policy{})); err != nil {
					t.Fatal(err)
				}
				if err := to.check(texts(100), 0); err != nil || m.left() > 0 {
					t.Error(err, m.left())
				}
			})
		})
	}
}

// What providers say to a password that they do not take, and to one that they
// take at another time (5, 13, 25, 59).
func TestRefusalsOfProviders(t *testing.T) {
	t.Parallel()
	for reply, credentials := range map[string]bool{
		"-ERR Logon failure: unknown user name or bad password.":          true,
		"-ERR [AUTH] Application-specific password required (Failure)":    true,
		"-ERR [AUTH] Username and password not accepted.":                 true,
		"-ERR [AUTH] (#MBR1212) Incorrect username or password.":          true,
		"+ERR Invalid user name or password.":                             true,
		"-ERR [SYS/TEMP] Account exceeded command or bandwidth limits.":   false,
		"-ERR [LOGIN-DELAY] minimum time between mail checks":             false,
		"-ERR [IN-USE] Unable to lock maildrop: Mailbox is locked by POP": false,
		"-ERR Unable to lock mailbox, try again later":                    false,
		"-ERR Mailbox in use":                  false,
		"-ERR Service temporarily unavailable": false,
	} {
		m := newModel(1)
		m.loginReply = func(int) string { return reply }
		r := once(faultfs.New().Root(), m.account(exactly(), Policy{}))
		if errors.Is(r.Err, ErrSignIn) != credentials || temporary(r.Err) == credentials {
			t.Errorf("%s: %v", reply, r.Err)
		}
	}
}

// After a dropped link the mailbox is locked for ten minutes (59): nobody is
// given up, nothing is lost, and it does not take all day.
func TestLockedAfterDrop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, to := newModel(10), exactly()
		start := time.Now()
		m.cut = func(login int) int64 {
			if login == 1 {
				return 600
			}
			return 0
		}
		m.loginReply = func(login int) string {
			if login > 1 && time.Since(start) < 10*time.Minute {
				return "-ERR mailbox is locked by another session"
			}
			return "+OK"
		}
		f := New(Options{State: faultfs.New().Root()})
		if err := watch(t, f, 30*time.Minute, time.Minute, m.account(to, Policy{})); err != nil {
			t.Fatal(err)
		}
		if err := to.check(texts(10), 0); err != nil || m.left() > 0 || m.logins > 20 {
			t.Errorf("%v, %d left, %d logins", err, m.left(), m.logins)
		}
	})
}

// The fetcher says what every server understands, one way each: no TOP, whose
// answer servers cut, change and leave without dots (18, 28, 48, 61), no STAT
// (43), no UIDL or LIST of one message (40), no bare AUTH (58), nothing that is
// not announced (7).
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, capa := range [][]string{nil, {"TOP", "UIDL", "PIPELINING", "EXPIRE 0"}, {}} {
		for _, p := range []Policy{{}, {Keep: true}, {MaxSize: 60}, {Limit: 3}} {
			m := newModel(12)
			m.capa = capa
			f, said := faultfs.New(), map[string]int{}
			a := over(m, m.account(exactly(), p), func(c net.Conn) net.Conn { return &listener{c, said} })
			for range 2 {
				if r := once(f.Root(), a); r.Err != nil {
					t.Fatalf("%+v", r)
				}
			}
			for command := range said {
				switch verb, arg, _ := strings.Cut(command, " "); verb {
				case "CAPA", "UIDL", "LIST", "QUIT":
					if arg != "" {
						t.Errorf("%q", command)
					}
				case "USER", "PASS", "RETR", "DELE":
				default:
					t.Errorf("%q", command)
				}
			}
		}
	}
}

// listener notes the lines that a server reads.
type listener struct {
	net.Conn
	said map[string]int
}

func (l *listener) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	for _, line := range strings.Split(strings.TrimSpace(string(p[:n])), "\r\n") {
		if line != "" {
			l.said[line]++
		}
	}
	return n, err
}

// UIDL fails for now, or for ever at a server that had it (34): all would be
// fetched again without, so nothing is.
func TestUIDLFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply string
		known bool
	}{
		{"-ERR [SYS/TEMP] index is being rebuilt", false},
		{"-ERR try again later", false},
		{"-ERR unknown command", true},
	} {
		f, m, to := faultfs.New(), newModel(5), exactly()
		m.capa = []string{"PIPELINING"}
		all := slices.Clone(m.letters)
		if m.letters = all[:3]; c.known {
			if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err != nil {
				t.Fatalf("%+v", r)
			}
		}
		m.noUIDL = c.reply
		for _, p := range []Policy{{}, {Keep: true}} {
			if r := once(f.Root(), m.account(to, p)); r.Err == nil || !strings.Contains(r.Err.Error(), "listing UIDs") {
				t.Errorf("%s: %+v", c.reply, r)
			}
		}
		m.noUIDL, m.letters = "", all
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() > 0 {
			t.Errorf("%s: %+v", c.reply, r)
		}
		if err := to.check(texts(5), 0); err != nil {
			t.Errorf("%s: %v", c.reply, err)
		}
	}
}

// Messages have other numbers in each session, and new ones come in between
// (42).
func TestNumbersInDisorder(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{{Keep: true}, {DeleteAfter: time.Hour}, {}} {
		f, m, to := faultfs.New(), newModel(20), exactly()
		all := slices.Clone(m.letters)
		for n := 4; n <= 20; n += 4 {
			m.letters = slices.DeleteFunc(slices.Clone(all[:n]), func(l letter) bool { return m.deles[l.text] > 0 })
			if n%8 == 0 {
				slices.Reverse(m.letters)
			} else {
				m.letters = slices.Concat(m.letters[len(m.letters)/2:], m.letters[:len(m.letters)/2])
			}
			if r := once(f.Root(), m.account(to, p)); r.Err != nil || r.Fetched != 4 {
				t.Fatalf("%+v: %+v", p, r)
			}
		}
		if err := to.check(texts(20), 0); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// Listings that do not fit each other (44, 98): rows are missing, or there are
// too many, and sizes are as large as can be (70).
func TestListings(t *testing.T) {
	t.Parallel()
	const huge = " 9223372036854775807 "
	isRow := func(line string) bool { return line[0] != '+' && line[0] != '.' }
	none := func(line string) string {
		if isRow(line) {
			return ""
		}
		return line
	}
	twice := func(line string) string {
		if isRow(line) {
			return line + line
		}
		return line
	}
	for _, c := range []struct {
		name, verb string
		edit       func(line string) string
		failed     int
	}{
		{"LIST without rows", "LIST", none, 0},
		{"LIST without a size", "LIST", func(line string) string { return strings.Replace(line, "3 ", "3\r\n3 ? ", 1) }, 0},
		{"LIST of huge sizes", "LIST", func(line string) string { return strings.Replace(line, " ", huge, 1) }, 0},
		{"LIST of what is not there", "LIST", func(line string) string {
			return strings.Replace(line, ".\r\n", "13 100\r\n77 100\r\n900000 10\r\n.\r\n", 1)
		}, 3},
		{"LIST twice", "LIST", twice, 0},
		{"UIDL without a row", "UIDL", func(line string) string {
			if strings.HasPrefix(line, "4 ") {
				return ""
			}
			return line
		}, 0},
		{"UIDL of what is not there", "UIDL", func(line string) string { return strings.Replace(line, ".\r\n", "13 gone-since\r\n.\r\n", 1) }, 1},
		{"UIDL twice", "UIDL", twice, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, m, to := faultfs.New(), newModel(12), exactly()
			verb := ""
			m.before = func(v string) { verb = v }
			var events []Event
			fetcher := New(Options{State: f.Root(), Observe: func(e Event) { events = append(events, e) }})
			a := over(m, m.account(to, Policy{}), func(conn net.Conn) net.Conn {
				return &editor{Conn: conn, edit: func(line string) string {
					if verb != c.verb {
						return line
					}
					return c.edit(line)
				}}
			})
			r := fetcher.Once(t.Context(), []Account{a})[0]
			if r.Err != nil || r.Failed != c.failed || m.left() > 0 {
				t.Fatalf("%+v, %d left", r, m.left())
			}
			if err := to.check(texts(12), 0); err != nil {
				t.Error(err)
			}
			for _, e := range events {
				if e.Octets < 0 || e.TotalOctets < 0 {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

// Folder-internal data is listed as a message (62): it is one, and comes once.
func TestFolderInternalData(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(4), exactly()
	internal := "From: Mail System Internal Data <MAILER-DAEMON@mail.example.org>\r\nX-IMAP: 1044396262 0000000002\r\n\r\nDO NOT DELETE\r\n"
	m.letters[0].text = internal
	m.refuseDele = func(l letter) string {
		if l.text == internal {
			return "-ERR not this one"
		}
		return ""
	}
	for range 3 {
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil {
			t.Fatalf("%+v", r)
		}
	}
	if err := to.check(append(texts(4)[1:], internal), 0); err != nil || m.left() != 1 {
		t.Error(err, m.left())
	}
}

// QUIT is answered +OK although only a half was removed (64, fault 99).
func TestHalfRemoved(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(12), exactly()
	m.keeps = true
	half := 0
	m.before = func(verb string) {
		if verb == "QUIT" {
			m.gone(func(l letter) bool { half++; return half%2 == 0 && m.deles[l.text] > 0 })
		}
	}
	for range 10 {
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil {
			t.Fatalf("%+v", r)
		}
	}
	if err := to.check(texts(12), 0); err != nil || to.puts != 12 || m.left() > 1 {
		t.Errorf("%v, %d times stored, %d left", err, to.puts, m.left())
	}
}

// idler is the connection of a server that hangs up when it has heard nothing for
// so long.
type idler struct {
	net.Conn
	most time.Duration
}

func (i idler) Read(p []byte) (int, error) {
	i.SetReadDeadline(time.Now().Add(i.most))
	return i.Conn.Read(p)
}

// Storing takes longer than the server waits (65): what is stored is known, and
// is deleted in the next session.
func TestServerIsImpatient(t *testing.T) {
	t.Parallel()
	for _, to := range []*destination{exactly(), blindly()} {
		synctest.Test(t, func(t *testing.T) {
			f, m := faultfs.New(), newModel(6)
			to.parallel = 1
			to.hold = func(context.Context) { <-time.After(11 * time.Minute) }
			a := over(m, m.account(to, Policy{}), func(c net.Conn) net.Conn { return idler{c, 10 * time.Minute} })
			rounds := 0
			for ; m.left() > 0 && rounds < 10; rounds++ {
				once(f.Root(), a)
			}
			if err := to.check(texts(6), 0); err != nil || m.left() > 0 || to.puts != 6 {
				t.Errorf("%v, %d left after %d rounds, %d times stored", err, m.left(), rounds, to.puts)
			}
		})
	}
}

// A message is octets (47, 66, fault 107): nothing decodes, repairs or
// recognises any of them.
func TestOctets(t *testing.T) {
	t.Parallel()
	var every strings.Builder
	for c := range 256 {
		fmt.Fprintf(&every, "%c", c)
		every.WriteByte(byte(c))
	}
	all := []string{
		"Subject: =?utf-8?q?=1b[2J?= \xe4\xff\x00\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--\r\n",
		"Content-Encoding: gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sIAAAA=\r\n",
		"\r\n", "no header at all\r\n", "\r\n\r\n.\r\n..\r\n", "a\nb\rc\n.\nd\r\n",
		every.String() + "\r\n", strings.Repeat("x", 200_000) + "\r\n",
	}
	m, to := newModel(len(all)), exactly()
	for i := range all {
		m.letters[i].text = all[i]
	}
	m.rawRetr = func(l letter) string {
		return "+OK\r\n" + strings.ReplaceAll("\r\n"+l.text, "\r\n.", "\r\n..")[2:] + "."
	}
	if r := once(faultfs.New().Root(), m.account(to, Policy{})); r.Err != nil {
		t.Fatalf("%+v", r)
	}
	if err := to.check(all, 0); err != nil {
		t.Error(err)
	}
}

// A mailbox of very many messages (70), of which one is new.
func TestVeryMany(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(0), exactly()
	const many = 120_000
	for i := range many {
		m.letters = append(m.letters, letter{uid: fmt.Sprintf("%032x", i), text: "x\r\n"})
	}
	m.size = func(letter) int { return 5_000_000_000 }
	last := m.letters[many-1]
	last.text = text(0)
	m.letters = m.letters[:many-1]
	if r := once(f.Root(), m.account(to, Policy{OnlyNew: true})); r.Err != nil || r.Fetched != 0 || r.Left != many-1 {
		t.Fatalf("%+v", r)
	}
	m.letters = append(m.letters, last)
	var listed Event
	fetcher := New(Options{State: f.Root(), Observe: func(e Event) {
		if e.Kind == Listed && e.Total > 0 {
			listed = e
		}
	}})
	r := fetcher.Once(t.Context(), []Account{m.account(to, Policy{OnlyNew: true})})[0]
	if r.Err != nil || r.Fetched != 1 || r.Deleted != 1 || listed.Number != many || listed.Octets != many*5_000_000_000 {
		t.Errorf("%+v, %+v", r, listed)
	}
	if err := to.check(texts(1), 0); err != nil {
		t.Error(err)
	}
}
