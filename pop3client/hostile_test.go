package pop3client_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

const canary = "canary-4711"

// parrot is a server that says back what it is sent, as it came and decoded,
// behind a sign of its choice.
type parrot struct {
	sign  string
	after int // commands until it does
}

func (p parrot) serve(conn net.Conn) {
	defer conn.Close()
	io.WriteString(conn, "+OK\r\n")
	n := 0
	for in := bufio.NewScanner(conn); in.Scan(); n++ {
		line := in.Text()
		last := line[strings.LastIndexByte(line, ' ')+1:]
		decoded, _ := base64.StdEncoding.DecodeString(last)
		switch {
		case n >= p.after:
			fmt.Fprintf(conn, "%s %s %s\r\n", p.sign, line, decoded)
		case strings.HasPrefix(line, "AUTH"):
			io.WriteString(conn, "+ \r\n")
		default:
			io.WriteString(conn, "+OK\r\n")
		}
	}
}

// No password and no token is ever in an error or a trace, though the server
// says it back.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return canary, nil }
	for _, mechanism := range []string{"USER", "PLAIN", "LOGIN", "CRAM-MD5", "APOP", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256"} {
		for _, sign := range []string{"-ERR", "-ERR [AUTH]", "+OK", "+", "what?"} {
			for after := range 4 {
				synctest.Test(t, func(t *testing.T) {
					var said []string
					note := func(line string) { said = append(said, line) }
					client, server := testkit.Pipe()
					done := make(chan struct{})
					go func() { defer close(done); parrot{sign, after}.serve(server) }()
					ctx := t.Context()
					c, err := pop3client.New(ctx, client, pop3client.Options{
						NoCapa: true, Trace: &pop3client.Trace{Sent: note, Received: note},
					})
					if err != nil {
						t.Fatal(err)
					}
					k := pop3client.Credentials{User: "alice", Password: canary, Mechanism: mechanism, Plaintext: true}
					if strings.HasSuffix(mechanism, "2") || mechanism == "OAUTHBEARER" {
						k.Token = token
						k.OneLine = after%2 == 0
					}
					if err := c.SignIn(ctx, k); err != nil {
						note(err.Error())
					}
					if err := c.Noop(ctx); err != nil {
						note(err.Error())
					}
					c.Close()
					<-done
					for _, line := range said {
						if strings.Contains(line, canary) || strings.Contains(line, "Y2FuYXJ5") {
							t.Errorf("%s, %q after %d: %q", mechanism, sign, after, line)
						}
					}
				})
			}
		}
	}
}

// What is sent is shown to the trace, but not what nobody may see.
func TestTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, _ := mute(t, "+OK\r\n", "+OK \x1b[2J\r\n", "+OK\r\nSubject: a\r\n.\r\n", "+OK\r\n1 a\r\n.\r\n")
		var lines []string
		c, err := pop3client.New(t.Context(), conn, pop3client.Options{NoCapa: true, Trace: &pop3client.Trace{
			Sent:     func(line string) { lines = append(lines, "C: "+line) },
			Received: func(line string) { lines = append(lines, "S: "+line) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SignIn(t.Context(), pop3client.Credentials{User: "alice\x1b", Password: "two words", Plaintext: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Retr(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UIDL(t.Context()); err != nil {
			t.Fatal(err)
		}
		const want = `S: +OK
C: USER alice\x1b
S: +OK
C: PASS ***
S: +OK \x1b[2J
C: RETR 1
S: +OK
C: UIDL
S: +OK
S: 1 a
S: .`
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("the trace is\n%s", got)
		}
	})
}

// What would end a command line is refused before anything is sent.
func TestArguments(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 9000)
	for _, bad := range []string{"", "a\r\nDELE 1", "a\rb", "a\nb", "a\x00b", long} {
		for what, do := range map[string]func(context.Context, *pop3client.Client) error{
			"user": func(ctx context.Context, c *pop3client.Client) error {
				return c.SignIn(ctx, pop3client.Credentials{User: bad, Password: "secret", Plaintext: true})
			},
			"password": func(ctx context.Context, c *pop3client.Client) error {
				return c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: bad, Plaintext: true})
			},
			"language": func(ctx context.Context, c *pop3client.Client) error { return c.Language(ctx, bad) },
		} {
			synctest.Test(t, func(t *testing.T) {
				conn, sent := mute(t, "+OK\r\n")
				c, err := pop3client.New(t.Context(), conn, pop3client.Options{NoCapa: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := do(t.Context(), c); !errors.Is(err, pop3client.ErrArgument) || len(bad) > 3 && strings.Contains(err.Error(), bad) {
					t.Errorf("%s %.20q: %v", what, bad, err)
				}
				if err := c.Noop(t.Context()); err != nil {
					t.Errorf("%s %.20q: the next command: %v", what, bad, err)
				}
				if got := sent(); got != "NOOP\r\n" {
					t.Errorf("%s %.20q: the server got %.60q", what, bad, got)
				}
			})
		}
	}
}

// A session means the same however its octets arrive.
func TestSplits(t *testing.T) {
	t.Parallel()
	answers := []string{
		"+OK ready\r\n", "+OK\r\nTOP\r\nPIPELINING\r\n.\r\n", "+OK\r\n1 a\r\n2 b c\r\n.\r\n", "+OK\r\n..x\r\n.\r\n", "-ERR [SYS/TEMP] no\r\n", "+OK\r\n",
	}
	whole := strings.Join(answers, "")
	session := func(conn net.Conn) string {
		ctx := context.Background()
		c, err := pop3client.New(ctx, conn, pop3client.Options{})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		caps, err := c.Capabilities(ctx)
		log := fmt.Sprintln(caps, err)
		list, err := c.UIDL(ctx)
		log += fmt.Sprintln(list, err)
		p := &program{c}
		log += fmt.Sprintln(p.do(ctx, "retr 1"), p.do(ctx, "dele 2"), p.do(ctx, "quit"))
		return log
	}
	const want = "[TOP PIPELINING] <nil>\n[{1 0 a} {2 0 b c}] <nil>\n[\".x\\r\\n\"] [for now refused: pop3client: DELE 2: [SYS/TEMP] no] [ok]\n"
	for split := range len(whole) + 1 {
		if got := session(&spoonfed{answers: answers, split: split}); got != want {
			t.Fatalf("split at %d: %s", split, got)
		}
	}
	if got := session(&spoonfed{answers: answers, split: -1}); got != want {
		t.Fatalf("octet by octet: %s", got)
	}
}

// spoonfed is a connection whose server answers each write by the next answer,
// and splits all that it says at one octet, or at each.
type spoonfed struct {
	net.Conn
	answers []string
	split   int
	given   int
	ready   string
	asked   int
}

func (s *spoonfed) Read(p []byte) (int, error) {
	if s.ready == "" && s.asked < len(s.answers) {
		s.ready = s.answers[s.asked]
		s.asked++
	}
	n := min(len(p), len(s.ready))
	if s.split < 0 {
		n = min(n, 1)
	} else if left := s.split - s.given; left > 0 {
		n = min(n, left)
	}
	copy(p, s.ready[:n])
	s.ready, s.given = s.ready[n:], s.given+n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *spoonfed) Write(p []byte) (int, error)      { return len(p), nil }
func (s *spoonfed) Close() error                     { return nil }
func (s *spoonfed) SetDeadline(time.Time) error      { return nil }
func (s *spoonfed) SetReadDeadline(time.Time) error  { return nil }
func (s *spoonfed) SetWriteDeadline(time.Time) error { return nil }

// A listing of a very large mailbox, and one that would fill the memory.
func TestLargeListings(t *testing.T) {
	t.Parallel()
	row := func(n int) string { return fmt.Sprintf("%d %d\r\n", n, 5_000_000_000+n) }
	var rows strings.Builder
	for i := range 300_000 {
		rows.WriteString(row(i + 1))
	}
	c := over(t, "+OK\r\n+OK\r\n"+rows.String()+".\r\n", pop3client.Options{})
	list, err := c.List(t.Context())
	if err != nil || len(list) != 300_000 || list[299_999] != (pop3client.Listed{Number: 300_000, Size: 5_000_300_000}) {
		t.Errorf("%d rows, %v", len(list), err)
	}

	flood := strings.Repeat("x", 60_000) + "\r\n"
	rows.Reset()
	for i := range 100 {
		fmt.Fprint(&rows, i+1, " ", flood)
	}
	c = over(t, "+OK\r\n+OK\r\n"+rows.String()+".\r\n", pop3client.Options{Limits: pop3client.Limits{Messages: 1000}})
	if _, err := c.UIDL(t.Context()); !errors.Is(err, pop3client.ErrLimit) {
		t.Errorf("a listing of 6 MB for 1000 messages: %v", err)
	}
}

// over is a Client of a server that has said everything already, in pieces.
func over(t testing.TB, said string, o pop3client.Options) *pop3client.Client {
	t.Helper()
	greeting, rest, _ := strings.Cut(said, "\n")
	c, err := pop3client.New(t.Context(), &saidAlready{in: io.MultiReader(strings.NewReader(greeting+"\n"), iotest.HalfReader(strings.NewReader(rest)))}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type saidAlready struct {
	spoonfed
	in io.Reader
}

func (s *saidAlready) Read(p []byte) (int, error) { return s.in.Read(p) }

// What a hostile server says takes time in proportion to its length.
func TestTimeIsLinear(t *testing.T) {
	t.Parallel()
	hostile := []string{
		strings.Repeat("<", 30_000) + strings.Repeat("@", 30_000) + ">",
		strings.Repeat("<a@a", 15_000),
		strings.Repeat("[", 60_000),
		"[" + strings.Repeat("A/", 30_000) + "]",
		strings.Repeat(" ", 60_000),
		strings.Repeat("\xff", 60_000),
		strings.Repeat("lock", 1) + strings.Repeat("loc", 20_000),
	}
	began := time.Now()
	for _, text := range hostile {
		for range 20 {
			for _, sign := range []string{"+OK ", "-ERR ", "+ ", ""} {
				c := over(t, "+OK "+text+"\r\n"+sign+text+"\r\n", pop3client.Options{NoCapa: true})
				c.Greeting()
				c.Stat(t.Context())
			}
		}
	}
	if took := time.Since(began); took > 20*time.Second { // a quadratic one takes minutes
		t.Errorf("%v", took)
	}
}
