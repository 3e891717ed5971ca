package lmtp

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postwain/postwain/maildrop"
)

// null reads messages and keeps nothing.
type null struct{ count atomic.Int64 }

func (n *null) Deliver(_ context.Context, _ string, _ maildrop.Incoming, r io.Reader) error {
	n.count.Add(1)
	_, err := io.Copy(io.Discard, r)
	return err
}

func (*null) Resolve(context.Context, string) (string, error) { return "bob", nil }

func benchOptions(n *null) Options { return Options{Deliverer: n, Resolver: n} }

// BenchmarkSession is the cost of a message beside the store and the socket.
func BenchmarkSession(b *testing.B) {
	for _, size := range []int{2 << 10, 60 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			message := "MAIL FROM:<ann@example.net> SIZE=4096\r\nRCPT TO:<bob@mail.example.org>\r\nDATA\r\n" + content(size) + ".\r\n"
			n := &null{}
			srv := NewServer(benchOptions(n))
			in := io.MultiReader(strings.NewReader("LHLO mx.example.org\r\n"), &repeat{text: message, times: b.N})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			srv.ServeConn(&memConn{in: in})
			if n.count.Load() != int64(b.N) {
				b.Fatal(n.count.Load(), "delivered of", b.N)
			}
		})
	}
}

// repeat gives text over and over.
type repeat struct {
	text  string
	at    int
	times int
}

func (r *repeat) Read(p []byte) (n int, err error) {
	for n < len(p) && r.times > 0 {
		m := copy(p[n:], r.text[r.at:])
		n += m
		if r.at += m; r.at == len(r.text) {
			r.at = 0
			r.times--
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// BenchmarkSocket is a message over a Unix socket from each of 16 clients,
// with the three round trips of an ordinary client.
func BenchmarkSocket(b *testing.B) {
	n := &null{}
	srv := NewServer(benchOptions(n))
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "lmtp.sock"))
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	message := content(2<<10) + ".\r\n"
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		say := func(s, last string) {
			io.WriteString(conn, s)
			for have := 0; ; {
				k, err := conn.Read(buf[have:])
				if have += k; err != nil {
					b.Error(err)
					return
				}
				if strings.Contains("\n"+string(buf[:have]), "\n"+last) {
					return
				}
			}
		}
		say("LHLO mx.example.org\r\n", "250 ")
		for pb.Next() {
			say("MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob>\r\nDATA\r\n", "354 ")
			say(message, "250 ")
		}
	})
}
