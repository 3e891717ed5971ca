package maildroptest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
)

// judge takes the place of a test that is expected to fail.
type judge struct {
	testing.TB
	mu     sync.Mutex
	faults []string
	after  []func()
}

func (j *judge) Helper() {}

func (j *judge) note(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults = append(j.faults, s)
}

func (j *judge) Cleanup(f func())               { j.after = append(j.after, f) }
func (j *judge) Error(a ...any)                 { j.note(fmt.Sprint(a...)) }
func (j *judge) Errorf(format string, a ...any) { j.note(fmt.Sprintf(format, a...)) }
func (j *judge) Fatalf(format string, a ...any) { j.note(fmt.Sprintf(format, a...)); runtime.Goexit() }

// verdict runs one check to its end and returns its faults.
func verdict(t *testing.T, name string, m Mail) []string {
	t.Helper()
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("no check is called %q", name)
	}
	j := &judge{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		checks[i].judge(&run{TB: j, Mail: m})
	}()
	<-done
	for _, f := range j.after {
		f()
	}
	return j.faults
}

// mutant is memdrop with a fault. A nil function is the sound one.
type mutant struct {
	*memdrop.Store
	deliver func(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error
	open    func(ctx context.Context, account string) (maildrop.Box, error)
	box     func(b *mutantBox)
}

func (m *mutant) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	if m.deliver != nil {
		return m.deliver(ctx, account, in, r)
	}
	return m.Store.Deliver(ctx, account, in, r)
}

func (m *mutant) Open(ctx context.Context, account string) (maildrop.Box, error) {
	open := m.Store.Open
	if m.open != nil {
		open = m.open
	}
	b, err := open(ctx, account)
	if err != nil || m.box == nil {
		return b, err
	}
	mb := &mutantBox{Box: b}
	m.box(mb)
	return mb, nil
}

type mutantBox struct {
	maildrop.Box
	list   func(l []maildrop.Message) []maildrop.Message
	get    func(ctx context.Context, i, lines int) (io.ReadCloser, error)
	commit func(ctx context.Context, deleted []int) error
	close  func() error
}

func (b *mutantBox) Messages() []maildrop.Message {
	if b.list != nil {
		return b.list(slices.Clone(b.Box.Messages()))
	}
	return b.Box.Messages()
}

func (b *mutantBox) Get(ctx context.Context, i, lines int) (io.ReadCloser, error) {
	if b.get != nil {
		return b.get(ctx, i, lines)
	}
	return b.Box.Get(ctx, i, lines)
}

func (b *mutantBox) Commit(ctx context.Context, deleted []int) error {
	if b.commit != nil {
		return b.commit(ctx, deleted)
	}
	return b.Box.Commit(ctx, deleted)
}

func (b *mutantBox) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.Box.Close()
}

// The makers of mutants.

// storing changes the octets on their way in.
func storing(f func(p []byte) []byte) func(*mutant) {
	return delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		p, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return m.Store.Deliver(ctx, account, in, bytes.NewReader(f(p)))
	})
}

func delivering(f func(*mutant, context.Context, string, maildrop.Incoming, io.Reader) error) func(*mutant) {
	return func(m *mutant) {
		m.deliver = func(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
			return f(m, ctx, account, in, r)
		}
	}
}

// incoming changes how deliveries are asked for.
func incoming(f func(account string, in *maildrop.Incoming)) func(*mutant) {
	return delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		f(account, &in)
		return m.Store.Deliver(ctx, account, in, r)
	})
}

// listing changes lists.
func listing(f func(l []maildrop.Message) []maildrop.Message) func(*mutant) {
	return boxes(func(b *mutantBox) { b.list = f })
}

func boxes(f func(b *mutantBox)) func(*mutant) { return func(m *mutant) { m.box = f } }

// committing changes what is deleted.
func committing(f func(deleted []int, n int) []int) func(*mutant) {
	return boxes(func(b *mutantBox) {
		b.commit = func(ctx context.Context, deleted []int) error {
			return b.Box.Commit(ctx, f(deleted, len(b.Box.Messages())))
		}
	})
}

func opening(f func(m *mutant, ctx context.Context, account string) (maildrop.Box, error)) func(*mutant) {
	return func(m *mutant) {
		m.open = func(ctx context.Context, account string) (maildrop.Box, error) { return f(m, ctx, account) }
	}
}

// whatWasRead gives what came before an error as if it were all.
type whatWasRead struct {
	r     io.Reader
	cause error
}

func (w whatWasRead) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && (w.cause == nil || err == w.cause) {
		err = io.EOF
	}
	return n, err
}

func TestMutants(t *testing.T) {
	t.Parallel()
	for _, tt := range mutants {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			m := &mutant{Store: &memdrop.Store{Snapshot: tt.snapshot}}
			tt.make(m)
			if faults := verdict(t, tt.caught, Mail{Store: m, Deliverer: m, Snapshot: tt.snapshot && !tt.claims}); len(faults) == 0 {
				t.Errorf("check %q lets it live", tt.caught)
			}
		})
	}
}

// Without a mutation nothing is found, and every check has a mutant.
func TestNoMutation(t *testing.T) {
	t.Parallel()
	for _, c := range checks {
		for _, snapshot := range []bool{false, true} {
			m := &mutant{Store: &memdrop.Store{Snapshot: snapshot}}
			if faults := verdict(t, c.name, Mail{Store: m, Deliverer: m, Snapshot: snapshot}); len(faults) > 0 {
				t.Errorf("%s: %q", c.name, faults)
			}
		}
		if !slices.ContainsFunc(mutants, func(m mutation) bool { return m.caught == c.name }) {
			t.Errorf("check %q has no mutant", c.name)
		}
	}
}

type mutation struct {
	name, caught string
	snapshot     bool // made of a snapshot store
	claims       bool // which claims to be exclusive
	make         func(*mutant)
}

var mutants = []mutation{
	{"trims the end", "octets", false, false, storing(func(p []byte) []byte { return bytes.TrimRight(p, "\r\n") })},
	{"ends at NUL", "octets", false, false, storing(func(p []byte) []byte { p, _, _ = bytes.Cut(p, []byte{0}); return p })},
	{"ends at LF dot LF", "octets", false, false, storing(func(p []byte) []byte { p, _, _ = bytes.Cut(p, []byte("\n.\n")); return p })},
	{"cuts at 64 KiB", "octets", false, false, storing(func(p []byte) []byte { return p[:min(len(p), 64<<10)] })},
	{"takes lone CR for a line end", "small", false, false, storing(func(p []byte) []byte {
		p = bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))
		return bytes.ReplaceAll(p, []byte("\r"), []byte("\n"))
	})},
	{"stuffs dots", "small", false, false, storing(func(p []byte) []byte {
		return bytes.TrimPrefix(bytes.ReplaceAll(append([]byte("\n"), p...), []byte("\n."), []byte("\n..")), []byte("\n"))
	})},
	{"gives an empty message a line", "small", false, false, storing(func(p []byte) []byte {
		if len(p) == 0 {
			return []byte("\n")
		}
		return p
	})},
	{"counts one off", "small", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		for i := range l {
			if l[i].Size > 6 {
				l[i].Size--
			}
		}
		return l
	})},
	{"has 32-bit minds", "big", false, false, storing(func(p []byte) []byte { return p[:len(p)%(1<<20)] })},
	{"gives a line too few", "partial", false, false, boxes(func(b *mutantBox) {
		b.get = func(ctx context.Context, i, lines int) (io.ReadCloser, error) {
			p, err := read(ctx, b.Box, i, -1)
			if lines > 0 {
				p = head(wire(p), lines-1)
			}
			return io.NopCloser(bytes.NewReader(p)), err
		}
	})},
	{"gives the body without the header", "partial", false, false, boxes(func(b *mutantBox) {
		b.get = func(ctx context.Context, i, lines int) (io.ReadCloser, error) {
			p, err := read(ctx, b.Box, i, -1)
			if _, body, ok := bytes.Cut(wire(p), []byte("\r\n\r\n")); ok && lines >= 0 {
				p = body
			}
			return io.NopCloser(bytes.NewReader(p)), err
		}
	})},
	{"has one reader for all", "readers", false, false, boxes(func(b *mutantBox) {
		shared := map[int]io.ReadCloser{}
		b.get = func(ctx context.Context, i, lines int) (_ io.ReadCloser, err error) {
			if shared[i] == nil {
				shared[i], err = b.Box.Get(ctx, i, lines)
			}
			return shared[i], err
		}
	})},
	{"gives the last for what is beyond", "range", false, false, boxes(func(b *mutantBox) {
		b.get = func(ctx context.Context, i, lines int) (io.ReadCloser, error) {
			return b.Box.Get(ctx, min(i, len(b.Box.Messages())-1), lines)
		}
	})},
	{"skips what it cannot delete", "range", false, false, committing(func(deleted []int, n int) []int {
		return slices.DeleteFunc(deleted, func(i int) bool { return i >= n })
	})},

	{"lists the newest first", "order", false, false, boxes(func(b *mutantBox) {
		n := len(b.Box.Messages()) - 1
		b.list = func(l []maildrop.Message) []maildrop.Message { slices.Reverse(l); return l }
		b.get = func(ctx context.Context, i, lines int) (io.ReadCloser, error) { return b.Box.Get(ctx, n-i, lines) }
	})},
	{"numbers instead of UIDs", "uids", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		for i := range l {
			l[i].UID = fmt.Sprint(i)
		}
		return l
	})},
	{"forgets times", "uids", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		for i := range l {
			l[i].Time = time.Now()
		}
		return l
	})},
	{"has UIDs with a space", "uids", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		for i := range l {
			l[i].UID = "a " + l[i].UID
		}
		return l
	})},
	{"has one UID twice", "uids", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		if len(l) > 1 {
			l[1].UID = l[0].UID
		}
		return l
	})},
	{"makes the UID of size and place", "reuse", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		for i := range l {
			l[i].UID = fmt.Sprint(i, ".", l[i].Size)
			l[i].UID = strings.ReplaceAll(l[i].UID, " ", "")
		}
		return l
	})},
	{"shows what came later", "frozen", false, false, func(m *mutant) {
		m.Store.Snapshot = true
		m.box = func(b *mutantBox) {
			b.list = func([]maildrop.Message) []maildrop.Message {
				now, _ := m.Store.Open(context.Background(), alice)
				return now.Messages()
			}
		}
	}},
	{"has no lock", "lock", true, true, func(*mutant) {}},
	{"says no instead of in use", "lock", false, false, opening(func(m *mutant, ctx context.Context, account string) (maildrop.Box, error) {
		b, err := m.Store.Open(ctx, account)
		if err != nil {
			err = errors.New("locked")
		}
		return b, err
	})},
	{"locks the whole store", "lock", false, false, opening(func(m *mutant, ctx context.Context, account string) (maildrop.Box, error) {
		b, err := m.Store.Open(ctx, alice)
		if err != nil || account == alice {
			return b, err
		}
		b.Close()
		return m.Store.Open(ctx, account)
	})},
	{"keeps the lock", "lock", false, false, boxes(func(b *mutantBox) { b.close = func() error { return nil } })},
	{"locks snapshots", "lock", true, false, opening(func() func(*mutant, context.Context, string) (maildrop.Box, error) {
		once := false
		return func(m *mutant, ctx context.Context, account string) (maildrop.Box, error) {
			if once {
				return nil, maildrop.ErrInUse
			}
			once = true
			return m.Store.Open(ctx, account)
		}
	}())},
	{"cleans names as paths", "accounts", false, false, opening(func(m *mutant, ctx context.Context, account string) (maildrop.Box, error) {
		return m.Store.Open(ctx, strings.TrimPrefix(path.Clean("/"+account), "/"))
	})},
	{"has one maildrop for all", "accounts", false, false, func(m *mutant) {
		m.open = func(ctx context.Context, _ string) (maildrop.Box, error) { return m.Store.Open(ctx, alice) }
		m.deliver = func(ctx context.Context, _ string, in maildrop.Incoming, r io.Reader) error {
			return m.Store.Deliver(ctx, alice, in, r)
		}
	}},

	{"commits nothing", "commit", false, false, committing(func([]int, int) []int { return nil })},
	{"commits one off", "commit", false, false, committing(func(d []int, n int) []int {
		for i := range d {
			d[i] = min(d[i]+1, n-1)
		}
		return slices.Compact(d)
	})},
	{"commits one too few", "commit", false, false, committing(func(d []int, _ int) []int { return d[:max(len(d)-1, 0)] })},
	{"wants order in a commit", "commit", false, false, boxes(func(b *mutantBox) {
		b.commit = func(ctx context.Context, d []int) error {
			if !slices.IsSorted(d) {
				return errors.New("not sorted")
			}
			return b.Box.Commit(ctx, d)
		}
	})},
	{"fails on what is gone", "gone", true, false, boxes(func(b *mutantBox) {
		b.commit = func(ctx context.Context, d []int) error {
			for _, i := range d {
				if _, err := b.Box.Get(ctx, i, 0); err != nil {
					return err
				}
			}
			return b.Box.Commit(ctx, d)
		}
	})},
	{"stops at what is gone", "overlap", true, false, boxes(func(b *mutantBox) {
		b.commit = func(ctx context.Context, d []int) error {
			for n, i := range d {
				if _, err := b.Box.Get(ctx, i, 0); err != nil {
					return b.Box.Commit(ctx, d[:n])
				}
			}
			return b.Box.Commit(ctx, d)
		}
	})},
	{"commits at Close", "close", false, false, boxes(func(b *mutantBox) {
		b.close = func() error {
			if n := len(b.Box.Messages()); n > 0 {
				b.Box.Commit(context.Background(), []int{0})
			}
			return b.Box.Close()
		}
	})},
	{"fails at the second Close", "close", false, false, boxes(func(b *mutantBox) {
		closed := false
		b.close = func() error {
			if closed {
				return errors.New("closed already")
			}
			closed = true
			return b.Box.Close()
		}
	})},

	{"stores what it got", "delivery-error", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		return m.Store.Deliver(ctx, account, in, whatWasRead{r, nil})
	})},
	{"takes a cut for an end", "delivery-error", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		return m.Store.Deliver(ctx, account, in, whatWasRead{r, io.ErrUnexpectedEOF})
	})},
	{"stores it and fails", "delivery-error", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		p, err := io.ReadAll(r)
		return cmp.Or(err, m.Store.Deliver(ctx, account, in, bytes.NewReader(p)), m.Store.Deliver(ctx, account, in, bytes.NewReader(nil)))
	})},
	{"reads once", "delivery-reader", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		p := make([]byte, 1<<20)
		n, err := r.Read(p)
		if err == io.EOF {
			err = nil
		}
		return cmp.Or(err, m.Store.Deliver(ctx, account, in, bytes.NewReader(p[:n])))
	})},
	{"loses octets beside the end", "delivery-reader", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		return m.Store.Deliver(ctx, account, in, loser{r})
	})},
	{"ignores keys", "key", false, false, incoming(func(_ string, in *maildrop.Incoming) { in.Key = "" })},
	{"takes the same content for the same key", "key", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		p, err := io.ReadAll(r)
		in.Key = string(p)
		return cmp.Or(err, m.Store.Deliver(ctx, account, in, bytes.NewReader(p)))
	})},
	{"remembers keys too early", "key-after-error", false, false, func(m *mutant) {
		keys := map[string]bool{}
		m.deliver = func(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
			if keys[in.Key] {
				return nil
			}
			keys[in.Key] = true
			return m.Store.Deliver(ctx, account, in, r)
		}
	}},
	{"ignores imported UIDs", "import", false, false, incoming(func(_ string, in *maildrop.Incoming) { in.UID = "" })},
	{"folds imported UIDs", "import", false, false, incoming(func(_ string, in *maildrop.Incoming) { in.UID = strings.ToLower(in.UID) })},
	{"ignores imported times", "import", false, false, incoming(func(_ string, in *maildrop.Incoming) { in.Time = time.Time{} })},
	{"sorts by imported time", "import", false, false, boxes(func(b *mutantBox) {
		b.list = func(l []maildrop.Message) []maildrop.Message {
			slices.SortFunc(l, func(a, b maildrop.Message) int { return a.Time.Compare(b.Time) })
			return l
		}
	})},
	{"takes any UID", "import-bad", false, false, func(m *mutant) {
		var bad []string
		m.deliver = func(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
			bad = append(bad, in.UID)
			in.UID = ""
			return m.Store.Deliver(ctx, account, in, r)
		}
		m.box = func(b *mutantBox) {
			b.list = func(l []maildrop.Message) []maildrop.Message {
				for i := range l {
					l[i].UID = bad[i]
				}
				return l
			}
		}
	}},
	{"has no times", "arrival", false, false, listing(func(l []maildrop.Message) []maildrop.Message {
		for i := range l {
			l[i].Time = time.Time{}
		}
		return l
	})},
	{"stores half when cancelled", "cancel", false, false, delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		return m.Store.Deliver(context.WithoutCancel(ctx), account, in, whatWasRead{&stopping{ctx, r}, context.Canceled})
	})},
	{"locks when cancelled", "cancel", false, false, opening(func(m *mutant, ctx context.Context, account string) (maildrop.Box, error) {
		b, err := m.Store.Open(context.WithoutCancel(ctx), account)
		return b, cmp.Or(err, ctx.Err())
	})},

	{"races for keys", "parallel-delivery", false, false, func(m *mutant) {
		var mu sync.Mutex
		second := map[string]chan struct{}{}
		m.deliver = func(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
			mu.Lock()
			both := second[in.Key]
			if both == nil { // look, and let the other one look
				both = make(chan struct{})
				second[in.Key] = both
				mu.Unlock()
				<-both
			} else {
				mu.Unlock()
				close(both)
			}
			in.Key = ""
			return m.Store.Deliver(ctx, account, in, r)
		}
	}},
	{"has no lock", "parallel-open", true, true, func(m *mutant) {
		var opened atomic.Int32
		two := make(chan struct{})
		m.box = func(b *mutantBox) {
			switch opened.Add(1) {
			case 1: // stay until another is in
				b.list = func(l []maildrop.Message) []maildrop.Message { <-two; return l }
			case 2:
				b.list = func(l []maildrop.Message) []maildrop.Message { close(two); return l }
			}
		}
	}},
	{"commits all", "parallel-sessions", false, false, committing(func(d []int, n int) []int {
		if len(d) == 0 {
			return nil
		}
		d = d[:0]
		for i := range n {
			d = append(d, i)
		}
		return d
	})},
}

// loser gives no octets beside io.EOF.
type loser struct{ r io.Reader }

func (l loser) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if err != nil {
		n = 0
	}
	return n, err
}

// stopping ends when its context does.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s *stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
