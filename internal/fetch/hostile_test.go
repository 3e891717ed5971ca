package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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

// endless is a server whose answer to one verb never ends. It gives up after a
// gigabyte, which is no merit of the fetcher.
func endless(conn net.Conn, verb, uids, row string, sent *atomic.Int64) {
	defer conn.Close()
	flood := func() {
		part := strings.Repeat(row, 1+30_000/len(row))
		for sent.Load() < 1<<30 {
			n, err := io.WriteString(conn, part)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}
	if verb == "" {
		flood()
		return
	}
	io.WriteString(conn, "+OK\r\n")
	for in := bufio.NewScanner(conn); in.Scan(); {
		said, _, _ := strings.Cut(in.Text(), " ")
		io.WriteString(conn, "+OK\r\n")
		switch {
		case said == verb:
			flood()
			return
		case said == "CAPA" || said == "LIST":
			io.WriteString(conn, ".\r\n")
		case said == "UIDL":
			io.WriteString(conn, uids+".\r\n")
		}
	}
}

// Answers without an end (fault 96, quirk 69): the round ends, and says why.
// Nothing is stored of a message that does not end; where there is a largest size
// it is given up, with the connection.
func TestFloods(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ verb, row, want string }{
		{"", "+OK", "connecting: pop3client: greeting: server exceeds a limit"},
		{"CAPA", "X\r\n", "connecting: pop3client: CAPA: server exceeds a limit"},
		{"UIDL", "1 x\r\n", "listing UIDs: pop3client: UIDL: server exceeds a limit"},
		{"UIDL", "1 x", "listing UIDs: pop3client: UIDL: server exceeds a limit"},
		{"LIST", "nothing\r\n", "listing: pop3client: LIST: server exceeds a limit"},
		{"RETR", "text\r\n", "storing: message 1: disk full"},
		{"RETR", "text", "storing: message 1: disk full"},
		{"RETR", "and so on\r\n", ""},
	} {
		t.Run(fmt.Sprintf("%s %q", c.verb, c.row), func(t *testing.T) {
			t.Parallel()
			to := exactly()
			a := newModel(0).account(to, Policy{MaxSize: 100_000})
			if c.want != "" {
				a.Policy = Policy{}
				to.early = func(sink.Message) (int, error) { return 1 << 20, errors.New("disk full") }
			}
			var sent atomic.Int64
			a.Dial = func(ctx context.Context) (*pop3client.Client, error) {
				client, server := testkit.Pipe()
				go endless(server, c.verb, "1 the-one-and-only\r\n", c.row, &sent)
				c, err := pop3client.New(ctx, client, pop3client.Options{})
				if err == nil {
					_, err = c.Capabilities(ctx)
				}
				return c, err
			}
			r := once(faultfs.New().Root(), a)
			switch {
			case len(to.texts) > 0,
				c.want == "" && (r.Err != nil || r.TooLarge != 1),
				c.want != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), c.want)):
				t.Errorf("%+v", r)
			}
			if n := sent.Load(); n > 64<<20 {
				t.Errorf("%d octets", n)
			}
		})
	}
}

// Whatever UIDs are (fault 97, quirk 39), the state directory has the files that
// it has with any others, and one server's UIDs make nobody forget or skip
// another's mail.
func TestUIDsReachNothing(t *testing.T) {
	t.Parallel()
	names := func(f *faultfs.FS) (list []string) {
		for name, err := range f.Root().Names() {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, name)
		}
		slices.Sort(list)
		return list
	}
	f, to := faultfs.New(), exactly()
	good, evil := newModel(12), newModel(12)
	if r := once(f.Root(), good.account(to, Policy{Keep: true})); r.Err != nil {
		t.Fatalf("%+v", r)
	}
	plain := names(f)

	g := faultfs.New()
	evil.uid = func(_, n int, l letter) string {
		return [...]string{"../../" + l.uid, "/etc/passwd", `..\` + l.uid, "\x00" + l.uid, "\x1b[2J\xff", strings.Repeat("x", 60_000), "-", "."}[n%8] + fmt.Sprint(n)
	}
	if r := once(g.Root(), evil.account(exactly(), Policy{Keep: true})); r.Err != nil || r.Fetched != 12 {
		t.Fatalf("%+v", r)
	}
	if got := names(g); !slices.Equal(got, plain) {
		t.Errorf("files %q, with other UIDs %q", got, plain)
	}

	// The same UIDs, into the same place.
	evil.uid = nil
	for i := range evil.letters {
		evil.letters[i].text = text(100 + i)
	}
	a := evil.account(to, Policy{Keep: true})
	a.Name, a.Mailbox = "mallory", "mallory@pop.example.net:995"
	if r := once(f.Root(), a); r.Err != nil || r.Fetched != 12 {
		t.Fatalf("%+v", r)
	}
	if r := once(f.Root(), good.account(to, Policy{})); r.Err != nil || r.Fetched != 0 || r.Deleted != 12 {
		t.Errorf("%+v", r)
	}
	all := texts(12)
	for i := range 12 {
		all = append(all, text(100+i))
	}
	if err := to.check(all, 0); err != nil {
		t.Error(err)
	}
}

// A sender who knows the Message-ID of mail to come (fault 101) cannot make it
// look fetched, not even where there are no UIDs.
func TestMessageIDMeansNothing(t *testing.T) {
	t.Parallel()
	for _, uids := range []bool{true, false} {
		for _, p := range []Policy{{}, {Keep: uids}} {
			f, m, to := faultfs.New(), newModel(2), exactly()
			if !uids {
				m.noUIDL, m.capa = "-ERR no", []string{"PIPELINING"}
			}
			for i := range m.letters {
				m.letters[i].text = fmt.Sprintf("Message-ID: <1@example.org>\r\nSubject: %d\r\n\r\n", i)
			}
			all := slices.Clone(m.letters)
			m.letters = slices.Clone(all[:1])
			for range 2 {
				if r := once(f.Root(), m.account(to, p)); r.Err != nil || r.Fetched != 1 {
					t.Fatalf("%+v", r)
				}
				m.letters = slices.Concat(m.letters, all[1:])
			}
			if err := to.check([]string{all[0].text, all[1].text}, 0); err != nil {
				t.Error(err)
			}
		}
	}
}

// Each session has new UIDs for everything (fault 100, quirk 41): from twenty
// messages on that is noticed, told, and nothing is stored again.
func TestNewUIDsAgainAndAgain(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(0), exactly()
	var all []string
	for i := range 40 {
		all = append(all, text(i))
	}
	m.uid = func(login, _ int, l letter) string { return fmt.Sprint("session-", login, "-", l.uid) }
	for n := range 5 {
		m.letters = newModel(20 + 5*n).letters
		warned := false
		fetcher := New(Options{State: f.Root(), Observe: func(e Event) { warned = warned || strings.Contains(e.Text, "new UIDs") }})
		if r := fetcher.Once(t.Context(), []Account{m.account(to, Policy{Keep: true})})[0]; r.Err != nil || n > 0 && (r.Fetched != 5 || !warned) {
			t.Fatalf("round %d, warned %v: %+v", n, warned, r)
		}
	}
	if err := to.check(all, 0); err != nil {
		t.Error(err)
	}
}

// A server that gives an octet now and then ends its own round (fault 108), and
// others do not wait for it.
func TestServerDribbles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, quick, to := newModel(3), newModel(3), exactly()
		verb := ""
		slow.before = func(v string) { verb = v }
		a := over(slow, slow.account(to, Policy{}), func(c net.Conn) net.Conn {
			return &editor{Conn: c, edit: func(line string) string {
				for verb == "RETR" && line != "" {
					if _, err := io.WriteString(c, line[:1]); err != nil {
						return ""
					}
					line = line[1:]
					<-time.After(5 * time.Second)
				}
				return line
			}}
		})
		b := quick.account(to, Policy{})
		b.Name, b.Mailbox = "bob", "bob@pop.example.org:995"
		start, done := time.Now(), map[string]time.Duration{}
		f := New(Options{State: faultfs.New().Root(), Observe: func(e Event) {
			if e.Kind == Finished {
				done[e.Account] = time.Since(start)
			}
		}})
		reports := f.Once(t.Context(), []Account{a, b})
		if r := reports[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "octets came in") || done["alice"] > 5*time.Minute {
			t.Errorf("after %v: %+v", done["alice"], r)
		}
		if r := reports[1]; r.Err != nil || r.Fetched != 3 || done["bob"] > time.Second {
			t.Errorf("after %v: %+v", done["bob"], r)
		}
		<-time.After(time.Hour) // the server's goroutines end
	})
}

// Wherever a name leads (fault 110), the certificate must be for the name that
// was asked for; and an address that does not answer ends in time.
func TestNameLeadsElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		certificate, pool := testkit.Certificate(t, "pop.example.net")
		var said atomic.Int64
		for _, c := range []struct {
			dial     dialFunc
			security pop3client.Security
			is       func(error) bool
		}{
			{func(context.Context) (net.Conn, error) {
				client, server := testkit.Pipe()
				go func() {
					defer server.Close()
					inside := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}})
					n, _ := io.Copy(io.Discard, inside)
					said.Add(n)
				}()
				return client, nil
			}, pop3client.TLS, func(err error) bool {
				_, wrong := errors.AsType[x509.HostnameError](err)
				return wrong
			}},
			{func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, pop3client.STLS, func(err error) bool {
				late, ok := errors.AsType[net.Error](err)
				return ok && late.Timeout()
			}},
		} {
			a := newModel(1).account(exactly(), Policy{})
			a.Dial = func(ctx context.Context) (*pop3client.Client, error) {
				return pop3client.Dial(ctx, "pop.example.org:995", c.security, pop3client.Options{TLS: &tls.Config{RootCAs: pool}, Dialer: c.dial})
			}
			start := time.Now()
			if r := once(faultfs.New().Root(), a); r.Err == nil || !c.is(r.Err) || time.Since(start) > time.Minute {
				t.Errorf("after %v: %+v", time.Since(start), r)
			}
		}
		synctest.Wait()
		if n := said.Load(); n > 0 {
			t.Errorf("the server got %d octets", n)
		}
	})
}

type dialFunc func(ctx context.Context) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return f(ctx) }

// Each session has a connection of its own (fault 94), on which one user signs
// in, once.
func TestConnectionsAreNotShared(t *testing.T) {
	t.Parallel()
	m, to := newModel(12), exactly()
	var said []map[string]int
	a := over(m, m.account(to, Policy{Batch: 3}), func(c net.Conn) net.Conn {
		lines := map[string]int{}
		said = append(said, lines)
		return &listener{c, lines}
	})
	if r := once(faultfs.New().Root(), a); r.Err != nil || r.Fetched != 12 {
		t.Fatalf("%+v", r)
	}
	if len(said) != m.logins || len(said) < 4 {
		t.Errorf("%d connections, %d sessions", len(said), m.logins)
	}
	for i, lines := range said {
		if lines["USER alice"] != 1 || lines["PASS secret"] != 1 || lines["QUIT"] != 1 {
			t.Errorf("connection %d: %v", i, lines)
		}
	}
}
