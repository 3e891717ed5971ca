package fetch

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// The link is cut behind each octet that the server sends; then it is in order
// again. Nothing is lost, doubled, or stored in part.
func TestCutAtEveryOctet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		policy Policy
		to     func() *destination
		server func(m *model)
	}{
		{"delete", Policy{}, exactly, func(*model) {}},
		{"keep", Policy{Keep: true}, exactly, func(*model) {}},
		{"batches", Policy{Batch: 2}, exactly, func(*model) {}},
		{"not exact", Policy{}, blindly, func(*model) {}},
		{"numbers as UIDs", Policy{}, exactly, func(m *model) { m.uid = func(_, n int, _ letter) string { return fmt.Sprint(n) } }},
		{"no UIDs", Policy{}, exactly, func(m *model) { m.noUIDL, m.capa = "-ERR no", []string{"PIPELINING"} }},
		{"a UID for two", Policy{}, exactly, func(m *model) { m.uid = func(_, n int, _ letter) string { return fmt.Sprint("0123456789-", n/2) } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := int64(1); ; n++ {
				f, m, to := faultfs.New(), newModel(4), c.to()
				c.server(m)
				m.cut = func(login int) int64 {
					if login == 1 {
						return n
					}
					return 0
				}
				first := once(f.Root(), m.account(to, c.policy))
				for range 2 {
					if r := once(f.Root(), m.account(to, c.policy)); r.Err != nil {
						t.Fatalf("cut at %d: the round after that: %v", n, r.Err)
					}
				}
				if err := to.check(texts(4), 0); err != nil {
					t.Fatalf("cut at %d: %v", n, err)
				}
				if m.left() > 0 && !c.policy.Keep {
					t.Fatalf("cut at %d: %d are left", n, m.left())
				}
				if first.Err == nil && n > 700 {
					return
				}
			}
		})
	}
}

// A server that falls silent in the middle of anything ends the round in time.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"CAPA", "USER", "PASS", "UIDL", "LIST", "RETR", "DELE", "QUIT"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, m, to := faultfs.New(), newModel(4), exactly()
				var silent atomic.Bool
				silent.Store(true)
				m.before = func(v string) {
					if v == verb && silent.Load() {
						time.Sleep(24 * time.Hour)
					}
				}
				start := time.Now()
				r := once(f.Root(), m.account(to, Policy{}))
				if time.Since(start) > 10*time.Minute {
					t.Errorf("%v", time.Since(start))
				}
				if verb != "CAPA" && (r.Err == nil || !strings.Contains(r.Err.Error(), "pop.example.org")) {
					t.Errorf("%+v", r)
				}
				silent.Store(false)
				if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
					t.Errorf("%+v", r)
				}
				if err := to.check(texts(4), 0); err != nil {
					t.Error(err)
				}
				time.Sleep(48 * time.Hour) // the server's goroutines end
			})
		})
	}
}

// The disk of the journal fails at any one operation: nothing is lost or
// doubled.
func TestDiskErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, to := range []func() *destination{exactly, blindly} {
		for n := 1; ; n++ {
			f, m, to := faultfs.New(), newModel(3), to()
			f.FailAt(n, fmt.Errorf("disk error"))
			once(f.Root(), m.account(to, Policy{}))
			over := len(f.Ops()) < n
			if !over {
				if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil {
					t.Fatalf("operation %d: the round after that: %v", n, r.Err)
				}
			}
			if err := to.check(texts(3), 0); err != nil || m.left() > 0 {
				t.Fatalf("operation %d: %v, %d are left", n, err, m.left())
			}
			if over {
				break
			}
		}
	}
}
