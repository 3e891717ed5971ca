//go:build interop

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/test/rig"
)

// postwainFetch is our own, among all others.
var postwainFetch = client{
	name: "postwain fetch",
	fetch: func(ctx context.Context, j job) ([][]byte, error) {
		password := filepath.Join(j.state, "password")
		if err := os.WriteFile(password, []byte(rig.Password+"\n"), 0o600); err != nil {
			return nil, err
		}
		scheme := "pop"
		if j.transport == implicit {
			scheme = "pops"
		}
		args := []string{"fetch", fmt.Sprintf("%s://%s@%s:%s", scheme, j.account, rig.Host, j.port()), "--to", "maildir:" + j.out,
			"--password-file", password, "--state", filepath.Join(j.state, "journal")}
		if j.transport == inClear {
			args = append(args, "--plaintext")
		} else {
			args = append(args, "--ca", j.authority)
		}
		if !j.delete {
			args = append(args, "--keep")
		}
		if _, err := run(ctx, nil, program, args...); err != nil {
			return nil, err
		}
		all, err := readDelivered(j.out)
		for i, m := range all {
			received := receivedLines.Find(m)
			if received == nil {
				return nil, fmt.Errorf("a message without our Received line: %s", describe(m))
			}
			all[i] = m[len(received):]
		}
		return all, err
	},
}

// receivedLines is the header field that postwain fetch puts on top.
var receivedLines = regexp.MustCompile(`\AReceived: [^\n]*\n([ \t][^\n]*\n)*`)

// stranger is a server that others have written.
type stranger struct {
	name string
	// start puts mail where the server looks for it, and starts it.
	start func(rig.Strangers) (port int, err error)
	// volatile are the header fields that the server writes into the mail and
	// changes with every session.
	volatile []string
}

var theStrangers = []stranger{
	{"Courier", func(s rig.Strangers) (int, error) {
		if err := fillHome(s, wellFormed()); err != nil {
			return 0, err
		}
		return s.Courier()
	}, nil},
	{"solid-pop3d", func(s rig.Strangers) (int, error) {
		if err := fillHome(s, wellFormed()); err != nil {
			return 0, err
		}
		return s.Solid()
	}, nil},
	{"popa3d", func(s rig.Strangers) (int, error) {
		if err := fillMbox(s, wellFormed()); err != nil {
			return 0, err
		}
		return s.Popa3d()
	}, nil},
	{"mailutils-pop3d", func(s rig.Strangers) (int, error) {
		if err := fillMbox(s, wellFormed()); err != nil {
			return 0, err
		}
		return s.Mailutils()
	}, []string{"X-UIDL", "X-UID", "Status", "X-IMAPbase"}},
	{"Cyrus", func(s rig.Strangers) (int, error) {
		port, socket, err := s.Cyrus()
		if err != nil {
			return 0, err
		}
		return port, sendAll(smtpSource("-L", "unix:"+socket), rig.StrangersUser, mailed())
	}, nil},
}

// TestStrangers fetches from Debian's other POP3 servers. What such a server
// makes of the mail that it has is its own affair: what postwain fetch delivers
// must be what a plain client is sent, octet for octet.
func TestStrangers(t *testing.T) {
	s, err := rig.NewStrangers()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, v := range theStrangers {
		t.Run(v.name, func(t *testing.T) {
			port, err := v.start(s)
			if err != nil {
				t.Fatal(err)
			}
			server := &rig.Server{POP3: port}
			plainly(t, server, rig.StrangersUser) // some servers change the mail when they see it first
			want := plainly(t, server, rig.StrangersUser)
			if len(want) < 10 {
				t.Fatalf("it has %d messages", len(want))
			}
			ours := postwainFetch
			ours.fetch = func(ctx context.Context, j job) ([][]byte, error) {
				got, err := postwainFetch.fetch(ctx, j)
				return v.settled(got), err
			}
			want = v.settled(want)
			p := play{t: t, client: ours, job: job{server: server, transport: inClear, account: rig.StrangersUser, state: t.TempDir()}}
			p.expect("keep", want)
			p.expect("keep again", nil)
			p.job.state, p.job.delete = t.TempDir(), true
			p.expect("delete", want)
			if left := plainly(t, server, rig.StrangersUser); len(left) > 0 {
				t.Errorf("%d messages are left after deletion", len(left))
			}
		})
	}
}

// settled gives messages without the volatile lines of their headers.
func (v stranger) settled(messages [][]byte) [][]byte {
	all := make([][]byte, len(messages))
	for i, m := range messages {
		head, body, _ := bytes.Cut(crlf(m), []byte("\r\n\r\n"))
		for line := range bytes.Lines(head) {
			name, _, _ := strings.Cut(string(line), ":")
			if !slices.Contains(v.volatile, name) {
				all[i] = append(all[i], line...)
			}
		}
		all[i] = slices.Concat(all[i], []byte("\r\n\r\n"), body)
	}
	return all
}

// fillHome puts letters into the Maildir.
func fillHome(s rig.Strangers, letters []letter) error {
	if err := os.RemoveAll(s.Maildir()); err != nil {
		return err
	}
	return errors.Join(writeMaildir(s.Maildir(), asStored(letters)), s.Settle())
}

// fillMbox puts letters into the mbox. What looks like the line between two
// messages is quoted.
func fillMbox(s rig.Strangers, letters []letter) error {
	var b strings.Builder
	for _, l := range letters {
		b.WriteString("From ann@example.net Thu Jan  1 00:00:00 1970\n")
		for line := range strings.Lines(l.data) {
			if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
				b.WriteByte('>')
			}
			b.WriteString(line)
		}
		b.WriteByte('\n')
	}
	return errors.Join(os.WriteFile(s.Mbox(), []byte(b.String()), 0o660), s.Settle())
}

func sendAll(send func(ctx context.Context, account, path string) error, account string, letters []letter) error {
	f, err := os.CreateTemp("", "letter-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	errs := []error{f.Close()}
	for _, l := range letters {
		errs = append(errs, os.WriteFile(f.Name(), []byte(l.data), 0o600), send(context.Background(), account, f.Name()))
	}
	return errors.Join(errs...)
}

// plainly retrieves every message with a command at a time. It says UTF8 where
// that is announced: Courier sends an excuse instead of some mail otherwise.
func plainly(t *testing.T, s *rig.Server, account string) [][]byte {
	t.Helper()
	l := dial(t, s.POP3)
	l.expect("+OK")
	l.send("CAPA\r\n")
	utf8 := false
	for line := ""; line != ".\r\n" && !strings.HasPrefix(line, "-ERR"); {
		var err error
		if line, err = l.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		utf8 = utf8 || strings.HasPrefix(line, "UTF8")
	}
	if utf8 {
		l.ask("UTF8", "+OK")
	}
	l.ask("USER "+account, "+OK")
	l.ask("PASS "+rig.Password, "+OK")
	l.send("STAT\r\n")
	var n, octets int
	if _, err := fmt.Fscanf(l.r, "+OK %d %d", &n, &octets); err != nil {
		t.Fatal(err)
	}
	l.expect("") // what is left of the line
	var all [][]byte
	for i := range n {
		l.ask(fmt.Sprintf("RETR %d", i+1), "+OK")
		var m bytes.Buffer
		for {
			line, err := l.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == ".\r\n" {
				break
			}
			m.WriteString(strings.TrimPrefix(line, "."))
		}
		all = append(all, m.Bytes())
	}
	l.ask("QUIT", "+OK")
	return all
}
