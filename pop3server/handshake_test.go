package pop3server_test

import (
	"crypto/tls"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/pop3server"
)

// Row 65: only so many handshakes compute at a time. Halves of handshakes are
// not among them, and who waits too long is turned away.
func TestHandshakesTakeTurns(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]time.Duration{"served": 10 * time.Second, "turned away": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const waiting = 3
				room := runtime.GOMAXPROCS(0)
				var inside atomic.Int64
				gate := make(chan struct{})
				r := newRig(t, func(r *rig) {
					r.withTLS()
					r.opt.Implicit = true
					r.opt.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
						inside.Add(1)
						<-gate
						return nil, nil
					}
				})
				for range 4 * room { // each with the beginning of a record
					r.send(r.dial(remote), "\x16\x03\x01\x02\x00\x01")
				}
				var greeted atomic.Int64
				for range room + waiting {
					go func() {
						c := tls.Client(r.dial(remote), r.client)
						defer c.Close()
						if _, err := io.WriteString(c, "QUIT\r\n"); err == nil {
							if all, _ := io.ReadAll(c); signs(string(all)) == "++" {
								greeted.Add(1)
							}
						}
					}()
				}
				synctest.Wait()
				if n := inside.Load(); n != int64(room) {
					t.Errorf("%d handshakes at a time, want %d", n, room)
				}
				time.Sleep(held)
				close(gate)
				synctest.Wait()
				if held < 15*time.Second {
					if n := greeted.Load(); n != int64(room+waiting) {
						t.Errorf("%d were served, want %d", n, room+waiting)
					}
					return
				}
				if n := inside.Load(); n != int64(room) {
					t.Errorf("%d handshakes had their turn, want %d", n, room)
				}
				for _, e := range r.ends {
					if e.Reason != pop3server.ReasonHandshake {
						t.Errorf("one ended by %v", e.Reason)
					}
				}
				// All turns were given back.
				r.opt.TLS.GetConfigForClient = nil
				r.srv.Reconfigure(r.opt)
				c := tls.Client(r.dial(remote), r.client)
				if got := talk(t, c, "QUIT\r\n"); signs(got) != "++" {
					t.Errorf("after the flood: %q", got)
				}
			})
		})
	}
}
