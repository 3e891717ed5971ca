package differential

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// peer is a server on this machine.
type peer struct {
	name string
	user string
	port int
	mail string // where the mail is, which another server may have as well
	// fill has the maildrop hold the letters and nothing else.
	fill func(letters []string) error
	// keeps says that mail comes out as it went in. Else the server, or what is
	// before it, adds to the header.
	keeps bool
}

// town is all servers that are held against the model.
type town struct {
	peers []peer
	tidy  []func() error
}

func (w *town) Close() (err error) {
	for i := range w.tidy {
		err = errors.Join(err, w.tidy[len(w.tidy)-1-i]())
	}
	return err
}

func newTown() (w *town, err error) {
	w = &town{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := w.postwain(); err != nil {
		return w, err
	}
	if err := w.dovecot(); err != nil {
		return w, err
	}
	return w, w.strangers()
}

func (w *town) space() (*rig.Space, error) {
	s, err := rig.NewSpace("")
	if err != nil {
		return nil, err
	}
	w.tidy = append(w.tidy, s.Close)
	return s, s.AddAccounts(rig.Account(rig.StrangersUser))
}

func (w *town) postwain() error {
	s, err := w.space()
	if err != nil {
		return err
	}
	binary, err := rig.Build(s.Dir)
	if err != nil {
		return err
	}
	server, err := s.Postwain(binary, "")
	if err != nil {
		return err
	}
	w.tidy = append(w.tidy, server.Stop)
	dir := s.Maildir(rig.Account(rig.StrangersUser))
	w.add(ours, rig.Account(rig.StrangersUser), server.POP3, dir, true, intoMaildir(dir, own))
	return nil
}

func (w *town) dovecot() error {
	s, err := w.space()
	if err != nil {
		return err
	}
	server, err := s.Dovecot(rig.DovecotStyle{Processes: 2, Connections: 100})
	if err != nil {
		return err
	}
	w.tidy = append(w.tidy, server.Stop)
	dir := s.Maildir(rig.Account(rig.StrangersUser))
	w.add("dovecot", rig.Account(rig.StrangersUser), server.POP3, dir, true, intoMaildir(dir, own))
	return nil
}

func (w *town) strangers() error {
	s, err := rig.NewStrangers()
	if err != nil {
		return err
	}
	w.tidy = append(w.tidy, s.Close)
	settle := func(string) error { return s.Settle() }
	for _, v := range []struct {
		name  string
		start func() (int, error)
		mail  string
		fill  func([]string) error
		keeps bool
	}{
		{"courier", s.Courier, s.Maildir(), intoMaildir(s.Maildir(), settle), true},
		{"solid-pop3d", s.Solid, s.Maildir(), intoMaildir(s.Maildir(), settle), true},
		{"popa3d", s.Popa3d, s.Mbox(), intoMbox(s), false},
		{"mailutils", s.Mailutils, s.Mbox(), intoMbox(s), false},
	} {
		if err := v.fill(nil); err != nil {
			return err
		}
		port, err := v.start()
		if err != nil {
			return err
		}
		w.add(v.name, rig.StrangersUser, port, v.mail, v.keeps, v.fill)
	}
	port, socket, err := s.Cyrus()
	if err != nil {
		return err
	}
	w.add("cyrus", rig.StrangersUser, port, socket, false, func(letters []string) error { return intoCyrus(port, socket, letters) })
	return nil
}

func (w *town) add(name, user string, port int, mail string, keeps bool, fill func([]string) error) {
	w.peers = append(w.peers, peer{name, user, port, mail, fill, keeps})
}

func own(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, rig.MailID, rig.MailID)
	})
}

// intoMaildir fills a Maildir, and settles whose it is.
func intoMaildir(dir string, settle func(string) error) func([]string) error {
	serial := 0
	return func(letters []string) error {
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
				return err
			}
			old, err := filepath.Glob(filepath.Join(dir, sub, "*"))
			if err != nil {
				return err
			}
			for _, path := range old {
				if err := os.Remove(path); err != nil {
					return err
				}
			}
		}
		for _, text := range letters {
			serial++
			path := filepath.Join(dir, "new", fmt.Sprintf("%d.M%dP1.host", 1_700_000_000+serial, serial))
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return err
			}
		}
		return settle(dir)
	}
}

func intoMbox(s rig.Strangers) func([]string) error {
	return func(letters []string) error {
		var b bytes.Buffer
		for _, text := range letters {
			b.WriteString("From sender@example.org Thu Jan  1 00:00:00 2026\n" + text + "\n")
		}
		return errors.Join(os.WriteFile(s.Mbox(), b.Bytes(), 0o660), s.Settle())
	}
}

// intoCyrus empties the maildrop by POP3 and fills it by LMTP.
func intoCyrus(port int, socket string, letters []string) error {
	p := peer{name: "cyrus", user: rig.StrangersUser, port: port}
	c, count, err := p.enter()
	if err != nil {
		return err
	}
	for n := range count {
		if _, err := c.ask(fmt.Sprintf("DELE %d\r\n", n+1), yes()); err != nil {
			return errors.Join(err, c.Close())
		}
	}
	if _, err := c.ask("QUIT\r\n", yes()); err != nil {
		return errors.Join(err, c.Close())
	}
	if err := errors.Join(c.Close()); err != nil || len(letters) == 0 {
		return err
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(text, want string) error {
		if _, err := conn.Write([]byte(text)); err != nil {
			return err
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			if len(line) < 4 || !strings.HasPrefix(line, want) {
				return fmt.Errorf("differential: LMTP: %.40q is answered %q", text, line)
			}
			if line[3] == ' ' {
				return nil
			}
		}
	}
	if err := errors.Join(say("", "220"), say("LHLO localhost\r\n", "250")); err != nil {
		return err
	}
	for _, text := range letters {
		data := "\r\n" + string(canonical(text))
		data = strings.ReplaceAll(data, "\r\n.", "\r\n..")[2:] + ".\r\n"
		for _, turn := range [][2]string{{"MAIL FROM:<sender@example.org>\r\n", "250"}, {"RCPT TO:<" + rig.StrangersUser + ">\r\n", "250"}, {"DATA\r\n", "354"}, {data, "250"}} {
			if err := say(turn[0], turn[1]); err != nil {
				return err
			}
		}
	}
	return say("QUIT\r\n", "221")
}

// caller is a client's connection.
type caller struct {
	net.Conn
	r *bufio.Reader
}

// longest is how long an answer may take.
const longest = 20 * time.Second

func (p peer) call() (*caller, error) {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	if err != nil {
		return nil, err
	}
	c := &caller{conn, bufio.NewReader(conn)}
	if _, err := c.ask("", yes()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// ask says a line and reads the answer to it.
func (c *caller) ask(line string, want answer) (answer, error) {
	if err := c.SetDeadline(time.Now().Add(longest)); err != nil {
		return answer{}, err
	}
	if _, err := c.Write([]byte(line)); err != nil {
		return answer{closed: true}, err
	}
	return read(c.r, want)
}

// enter signs in, when the session before has let go of the maildrop, and gives
// the number of messages.
func (p peer) enter() (*caller, int, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(longest)
	for {
		c, count, err := p.try()
		if err == nil || time.Now().After(limit) {
			return c, count, err
		}
		<-tick.C
	}
}

func (p peer) try() (*caller, int, error) {
	c, err := p.call()
	if err != nil {
		return nil, 0, err
	}
	for _, line := range []string{"USER " + p.user, "PASS " + rig.Password} {
		if a, err := c.ask(line+"\r\n", yes()); err != nil || !a.ok {
			return nil, 0, errors.Join(fmt.Errorf("differential: %s: the login is answered %v, %w", p.name, a, err), c.Close())
		}
	}
	a, err := c.ask("STAT\r\n", yes(0, 0))
	if err != nil || len(a.numbers) < 2 {
		return nil, 0, errors.Join(fmt.Errorf("differential: %s: STAT is answered %v, %w", p.name, a, err), c.Close())
	}
	return c, int(a.numbers[0]), nil
}
