package testkit_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
)

func TestPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := testkit.Pipe()
		io.WriteString(client, "abc")
		client.CloseWrite()
		if got, err := io.ReadAll(server); string(got) != "abc" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		io.WriteString(server, "still")
		server.Close()
		if got, err := io.ReadAll(client); string(got) != "still" || err != nil {
			t.Errorf("what was under way at Close: %q, %v", got, err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := testkit.Pipe()
		defer client.Close()
		defer server.Close()
		began := time.Now()
		client.SetReadDeadline(began.Add(time.Minute))
		client.SetReadDeadline(began.Add(2 * time.Minute))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 2*time.Minute {
			t.Errorf("Read: %v after %v", err, time.Since(began))
		}
		client.SetDeadline(time.Now().Add(time.Minute))
		n, err := client.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == 1<<20 {
			t.Errorf("Write of a lot that nobody reads: %d, %v", n, err)
		}
		client.SetDeadline(time.Time{})
		go io.CopyN(io.Discard, server, int64(n+3))
		if n, err := io.WriteString(client, "abc"); n != 3 || err != nil {
			t.Errorf("Write after the deadline was lifted: %d, %v", n, err)
		}
		synctest.Wait()
		server.Close()
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("Write to a closed end succeeded")
		}
	})
}

func TestListener(t *testing.T) {
	t.Parallel()
	l := testkit.Listen()
	c, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil || s.RemoteAddr().String() != c.LocalAddr().String() || s.LocalAddr().String() != l.Addr().String() {
		t.Errorf("accepted %v from %v, %v", s.LocalAddr(), s.RemoteAddr(), err)
	}
	l.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := l.Dial(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial after Close: %v", err)
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	certificate, pool := testkit.Certificate(t)
	client, server := testkit.Pipe()
	go func() {
		s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}})
		io.Copy(s, s)
		s.Close()
	}()
	c := tls.Client(client, &tls.Config{RootCAs: pool, ServerName: "mail.example.org"})
	io.WriteString(c, "echo\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "echo\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	c.Close()
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

// A transcript passes against a server that does as it says, and only then.
func TestTranscript(t *testing.T) {
	t.Parallel()
	const script = `# greeting, one command, the end
-- option some thing --
-- mail alice --
Subject: \x41

-- end --
S: +OK * ready
C: FIRST\r\nSE\c
C: COND
S: +OK \\ done
-- idle 1h --
-- closed --
`
	for _, c := range []struct {
		replies string
		passes  bool
	}{
		{"+OK all ready\r\n|+OK \\ done\r\n", true},
		{"+OK  ready\r\n|+OK \\ done\r\n", true},
		{"+OK ready\r\n|+OK \\ done\r\n", false},
		{"+OK all ready\n|+OK \\ done\r\n", false},
		{"+OK all ready\r\n|-ERR\r\n", false},
		{"+OK all ready\r\n|+OK \\ done\r\nmore", false},
		{"+OK all ready\r\n|", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr, err := testkit.ParseTranscript(script)
			if err != nil {
				t.Fatal(err)
			}
			if len(tr.Options) != 1 || tr.Options[0] != "some thing" || len(tr.Mail) != 1 || tr.Mail[0] != (testkit.Mail{Account: "alice", Data: "Subject: A\n\n"}) {
				t.Errorf("parsed as %+v", tr)
			}
			first, second, _ := strings.Cut(c.replies, "|")
			client, server := testkit.Pipe()
			go func() {
				io.WriteString(server, first)
				got := make([]byte, 15)
				io.ReadFull(server, got)
				if string(got) == "FIRST\r\nSECOND\r\n" {
					io.WriteString(server, second)
				}
				server.Close()
			}()
			r := &recorder{TB: t}
			tr.Run(r, func() net.Conn { return client }, nil)
			if r.failed == c.passes {
				t.Errorf("%q: passes %v", c.replies, !r.failed)
			}
		})
	}
}

func TestParseTranscriptErrors(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"X: what", "+OK", "-- mail a --\n\\q\n-- end --"} {
		if _, err := testkit.ParseTranscript(script); err == nil {
			t.Errorf("%q is taken", script)
		}
	}
}
