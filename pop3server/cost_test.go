package pop3server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
)

// realServer serves store on a socket of loopback.
func realServer(tb testing.TB, store maildrop.Store, change func(*pop3server.Options)) (addr string) {
	tb.Helper()
	o := pop3server.Options{Backend: pop3server.New(accounts{}, store)}
	if change != nil {
		change(&o)
	}
	srv := pop3server.NewServer(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	tb.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}

func dialReal(tb testing.TB, addr string) *bufio.ReadWriter {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
}

// command sends a line and returns the first of the reply.
func command(tb testing.TB, rw *bufio.ReadWriter, line string) string {
	if line != "" {
		rw.WriteString(line)
		rw.WriteString("\r\n")
		rw.Flush()
	}
	reply, err := rw.ReadSlice('\n')
	if err != nil {
		tb.Fatalf("%q: %v", line, err)
	}
	return string(reply)
}

// Row 71: parallel logins of many users, all with their own mail: nobody ever
// reads another's.
func TestLoginsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	const users, rounds, workers = 50, 10, 8
	store := memdrop.New()
	for u := range users {
		err := store.Deliver(t.Context(), fmt.Sprint("user", u), maildrop.Incoming{}, strings.NewReader(fmt.Sprintf("for user%d\n", u)))
		if err != nil {
			t.Fatal(err)
		}
	}
	addr := realServer(t, store, nil)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range users * rounds {
				u := (i*7 + w*users/workers) % users
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprintf(c, "USER user%d\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n", u)
				all, err := io.ReadAll(c)
				c.Close()
				own := strings.Contains(string(all), fmt.Sprintf("for user%d\r\n", u))
				if err != nil || !own && !strings.Contains(string(all), "[IN-USE]") || own && strings.Count(string(all), "for user") != 1 {
					t.Errorf("user%d reads %q, %v", u, all, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A command on the hot path allocates nothing but what the store does.
func TestCommandsDoNotAllocate(t *testing.T) {
	store := memdrop.New()
	for _, m := range []string{"Subject: a\r\n\r\nb\r\n", "c\n"} {
		if err := store.Deliver(t.Context(), "alice", maildrop.Incoming{}, strings.NewReader(m)); err != nil {
			t.Fatal(err)
		}
	}
	rw := dialReal(t, realServer(t, store, nil))
	for _, line := range []string{"", "USER alice", "PASS secret", "DELE 2", "RSET"} {
		command(t, rw, line)
	}
	for line, most := range map[string]float64{
		"STAT": 0, "LIST 1": 0, "UIDL 1": 0, "NOOP": 0, "RSET": 0, "LAST": 0, "UTF8": 0, "LIST": 0, "UIDL": 0,
		"RETR 9": 0, "RETR 1": 6, "TOP 1 0": 7, // opening a message is the store's
	} {
		multi := strings.HasPrefix(line, "RETR 1") || strings.HasPrefix(line, "TOP") || line == "LIST" || line == "UIDL"
		text := line + "\r\n"
		n := testing.AllocsPerRun(200, func() {
			rw.WriteString(text)
			rw.Flush()
			for {
				reply, err := rw.ReadSlice('\n')
				if err != nil {
					t.Fatal(err)
				}
				if !multi || string(reply) == ".\r\n" {
					return
				}
			}
		})
		if n > most && !race {
			t.Errorf("%s: %v allocations, want at most %v", line, n, most)
		}
	}
}

// What an idle session costs, the goroutine's stack included.
func TestMemoryOfIdleSessions(t *testing.T) {
	if race {
		t.Log("the race detector's own memory is not what is measured")
	}
	certificate, _ := testkit.Certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	for name, c := range map[string]struct {
		tls  bool
		most int64
	}{"clear": {false, 12 << 10}, "TLS": {true, 40 << 10}} {
		const n = 200
		addr := realServer(t, memdrop.New(), func(o *pop3server.Options) { o.TLS, o.Implicit = config, c.tls })
		before := inUse()
		clients := make([]net.Conn, n)
		for i := range clients {
			raw, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			clients[i] = raw
			if c.tls {
				clients[i] = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
			}
			fmt.Fprintf(clients[i], "USER user%d\r\nPASS secret\r\n", i)
			var got []byte
			for buf := make([]byte, 200); strings.Count(string(got), "\n") < 3; {
				k, err := clients[i].Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, buf[:k]...)
			}
		}
		each := (inUse() - before) / n
		if c.tls {
			each /= 2 // the client's half of TLS is in the same process
		}
		t.Logf("%s: %d octets a session", name, each)
		if each > c.most && !race {
			t.Errorf("%s: %d octets a session, want at most %d", name, each, c.most)
		}
		runtime.KeepAlive(clients)
	}
}

// inUse is the heap and the stacks, after stacks have shrunk.
func inUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkSession is login, STAT and QUIT over a socket of loopback, the
// client's half included.
func BenchmarkSession(b *testing.B) {
	addr := realServer(b, memdrop.New(), nil)
	b.ReportAllocs()
	in := bufio.NewReader(nil)
	for b.Loop() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		in.Reset(c)
		rw := &bufio.ReadWriter{Reader: in, Writer: bufio.NewWriterSize(c, 128)}
		for _, line := range []string{"", "USER alice", "PASS secret", "STAT", "QUIT"} {
			command(b, rw, line)
		}
		c.Close()
	}
}

// BenchmarkRetr is RETR of a message of 8 KiB, one after another.
func BenchmarkRetr(b *testing.B) {
	for _, end := range []string{"LF", "CRLF"} {
		b.Run(end, func(b *testing.B) {
			store := memdrop.New()
			line := strings.Repeat("x", 70) + strings.NewReplacer("LF", "\n", "CRLF", "\r\n").Replace(end)
			message := "Subject: a\n\n" + strings.Repeat(line, 110)
			if err := store.Deliver(context.Background(), "alice", maildrop.Incoming{}, strings.NewReader(message)); err != nil {
				b.Fatal(err)
			}
			rw := dialReal(b, realServer(b, store, nil))
			for _, line := range []string{"", "USER alice", "PASS secret"} {
				command(b, rw, line)
			}
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				command(b, rw, "RETR 1")
				for {
					line, err := rw.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 3 && line[0] == '.' {
						break
					}
				}
			}
		})
	}
}
