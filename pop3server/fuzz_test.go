package pop3server_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
)

// FuzzServer replays input in each state of the protocol, in two segments. The
// server must neither panic nor answer with anything but replies, must end when
// the client does, and must leave the mail alone unless QUIT was said.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"USER alice\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n",
		"AUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\nTOP 1 1\r\n",
		"AUTH LOGIN YWxpY2U=\r\nc2VjcmV0\r\n",
		"CAPA\r\nLANG ja\r\nLANG\r\nUTF8\r\nSTLS\r\n",
		"LIST\r\nUIDL 1\r\nSTAT\r\nLAST\r\nRSET\r\nNOOP\r\nXYZ\r\n",
		"\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n", "DELE 1\nDELE\x00 1\r\n\r\n",
	} {
		for state := range uint8(4) {
			f.Add([]byte(seed), state, len(seed)/2)
		}
	}
	states := []string{"", "USER alice\r\n", "AUTH PLAIN\r\n", login}
	f.Fuzz(func(t *testing.T, input []byte, state uint8, split int) {
		split = min(max(split, 0), len(input))
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.withTLS() })
			r.deliver("alice", "Subject: a\n\n.b\n", "c")
			c := r.dial(loopback)
			var sending sync.WaitGroup
			sending.Go(func() {
				io.WriteString(c, states[int(state)%len(states)])
				c.Write(input[:split])
				time.Sleep(time.Second)
				c.Write(input[split:])
				c.(*testkit.Conn).CloseWrite()
			})
			got, err := io.ReadAll(c)
			c.Close()
			sending.Wait()
			if err != nil {
				t.Fatalf("%q: %v", input, err)
			}
			end := r.lastEnd()
			if r.panics > 0 || end.Duration == 0 && end.Reason == "" || r.srv.Connections() > 0 {
				t.Fatalf("%q: %d panics, %+v", input, r.panics, end)
			}
			if len(got) > 1<<20 || len(got) > 0 && !strings.HasPrefix(string(got), "+OK ") {
				t.Fatalf("%q: %d octets, %.100q", input, len(got), got)
			}
			if end.Deleted == 0 && r.left("alice") != "u1 u2" || end.Deleted > 0 && end.Reason != "quit" {
				t.Fatalf("%q: %+v, %q is left", input, end, r.left("alice"))
			}
		})
	})
}
