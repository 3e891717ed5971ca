package fetch

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// snag is the connection of a server that never gets past one message: it hangs
// up there, or falls silent.
type snag struct {
	net.Conn
	silent bool
}

func (s snag) Write(p []byte) (int, error) {
	before, _, there := strings.Cut(string(p), "letter 3")
	if !there {
		return s.Conn.Write(p)
	}
	io.WriteString(s.Conn, before)
	if s.silent {
		<-time.After(time.Hour)
	}
	s.Conn.Close()
	return 0, net.ErrClosed
}

// One message breaks the link each time (quirks 9, 15, 50). The second time it is
// set aside, and the round goes on with the others.
func TestLinkBreaksAtMessage(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		for _, c := range []struct {
			name   string
			policy Policy
			uid    func(login, number int, l letter) string
		}{
			{name: "delete"},
			{name: "keep", policy: Policy{Keep: true}},
			{name: "batches", policy: Policy{Batch: 2}},
			{name: "no UIDs", uid: func(int, int, letter) string { return "" }},
			{name: "numbers as UIDs", uid: func(_, n int, _ letter) string { return fmt.Sprint(n) }},
		} {
			t.Run(fmt.Sprint(c.name, ", silent ", silent), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f, m, to := faultfs.New(), newModel(8), exactly()
					m.uid = c.uid
					a := m.account(to, c.policy)
					a.Dial = func(ctx context.Context) (*pop3client.Client, error) {
						client, server := testkit.Pipe()
						go m.serve(snag{server, silent})
						return pop3client.New(ctx, client, pop3client.Options{})
					}
					first := once(f.Root(), a)
					if first.Err == nil || first.Failed > 0 {
						t.Errorf("the first round: %+v", first)
					}
					second := once(f.Root(), a)
					if second.Err != nil || second.Failed != 1 {
						t.Errorf("the second round: %+v", second)
					}
					if err := to.check(append(texts(3), texts(8)[4:]...), 0); err != nil {
						t.Error(err)
					}
					if !c.policy.Keep && m.left() != 1 {
						t.Errorf("%d are left", m.left())
					}
					time.Sleep(2 * time.Hour)
					if r := once(f.Root(), m.account(to, c.policy)); r.Err != nil || r.Fetched != 1 {
						t.Errorf("when it is good again: %+v", r)
					}
				})
			})
		}
	}
}

// A message that is said to be small and does not end is given up when it is too
// large, with the connection.
func TestGivenUpWhenTooLarge(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(8), exactly()
	endless := text(3) + strings.Repeat("and so on\r\n", 100_000)
	m.letters[3].text = endless
	m.size = func(letter) int { return 50 }
	if r := once(f.Root(), m.account(to, Policy{MaxSize: 1000})); r.Err != nil || r.TooLarge != 1 || r.Fetched != 7 || m.left() != 1 {
		t.Errorf("%+v", r)
	}
	if m.retrs[endless] != 1 {
		t.Errorf("it was asked for %d times", m.retrs[endless])
	}
}

// That is so also where the destination takes a moment to give up, or where the
// message is read only to be compared: nobody reads on, for it may have no end.
func TestGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	for uids, want := range map[string]int{"1 the-first\r\n2 the-second\r\n": 2, "1\r\n": 1} {
		synctest.Test(t, func(t *testing.T) {
			var sent atomic.Int64
			a := newModel(0).account(exactly(), Policy{MaxSize: 1000})
			a.Sink = slow{exactly()}
			a.Dial = func(ctx context.Context) (*pop3client.Client, error) {
				client, server := testkit.Pipe()
				go endless(server, "RETR", uids, "and so on\r\n", &sent)
				return pop3client.New(ctx, client, pop3client.Options{})
			}
			if r := once(faultfs.New().Root(), a); r.Err != nil || r.TooLarge != want || sent.Load() > 64<<20 {
				t.Errorf("%q: %d octets, %+v", uids, sent.Load(), r)
			}
		})
	}
}

// slow is a destination that has something to do when a message breaks off.
type slow struct{ *destination }

func (s slow) Put(ctx context.Context, m sink.Message, r io.Reader) error {
	err := s.destination.Put(ctx, m, r)
	if err != nil {
		time.Sleep(time.Second)
	}
	return err
}

// A link that breaks at the answer to DELE says nothing about the message.
func TestNoBlameForDele(t *testing.T) {
	t.Parallel()
	f, m := faultfs.New(), newModel(1)
	m.refuseDele = func(letter) string { return "what?" }
	if r := once(f.Root(), m.account(exactly(), Policy{})); r.Err == nil || r.Fetched != 1 {
		t.Fatalf("%+v", r)
	}
	table, err := readJournal(f.Root(), alice)
	if err != nil || len(table.failures) > 0 {
		t.Errorf("%d messages are blamed, %v", len(table.failures), err)
	}
}

// A server that refuses in words whoever comes too often means no password that
// it has taken before (quirk 20).
func TestLoginLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newModel(1)
		list := logins(m, func(n int) string {
			if n > 2 && n < 10 {
				return "-ERR Exceeded the login limit for a 15 minute period"
			}
			return "+OK"
		})
		f := New(Options{State: faultfs.New().Root()})
		if err := watch(t, f, 24*time.Hour, 5*time.Minute, m.account(exactly(), Policy{})); err != nil || len(*list) < 100 {
			t.Errorf("%d logins, %v", len(*list), err)
		}
	})
}

// UTF8 is said before the login where it is announced, and nowhere else (quirks
// 7, 29). A refusal is no error.
func TestUTF8Command(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{false, true} {
		m := newModel(1)
		m.capa = []string{"UIDL"}
		if announced {
			m.capa = append(m.capa, "UTF8")
		}
		var verbs []string
		m.before = func(verb string) { verbs = append(verbs, verb) }
		if r := once(faultfs.New().Root(), m.account(exactly(), Policy{})); r.Err != nil {
			t.Error(r.Err)
		}
		if said := len(verbs) > 1 && verbs[1] == "UTF8"; said != announced {
			t.Errorf("%v", verbs)
		}
	}
}
