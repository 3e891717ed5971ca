package maildroptest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
)

// mail is one message that a crash has left.
type mail struct{ uid, content string }

// after is a store as a crash has left it.
func after(t *testing.T, left []mail) *memdrop.Store {
	t.Helper()
	s := memdrop.New()
	for _, m := range left {
		if err := s.Deliver(t.Context(), alice, maildrop.Incoming{UID: m.uid}, strings.NewReader(m.content)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var errCrash = errors.New("the power failed")

type crashed struct{}

func (crashed) Deliver(context.Context, string, maildrop.Incoming, io.Reader) error { return errCrash }

// story is a workload up to a crash: the letters 1 to 6 were acknowledged and
// got UIDs of these numbers, letter 7 was not; the commit of 1 was
// acknowledged, that of 3 and 4 was not. Letter 6 came with a key, twice.
func story(t *testing.T) *Ledger {
	t.Helper()
	l := new(Ledger)
	s := memdrop.New()
	in, out := l.Deliverer(s), l.Store(s)
	deliver := func(d maildrop.Deliverer, in maildrop.Incoming, n int) error {
		return d.Deliver(t.Context(), alice, in, strings.NewReader(letter(n)))
	}
	for n := 1; n <= 5; n++ {
		if err := deliver(in, maildrop.Incoming{}, n); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := deliver(in, maildrop.Incoming{Key: "six"}, 6); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(out maildrop.Store, deleted ...int) error {
		b, err := out.Open(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return b.Commit(t.Context(), deleted)
	}
	if err := commit(out, 0); err != nil {
		t.Fatal(err)
	}
	failing := &mutant{Store: s, box: func(b *mutantBox) {
		b.commit = func(context.Context, []int) error { return errCrash }
	}}
	if err := commit(l.Store(failing), 1, 2); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if err := deliver(l.Deliverer(crashed{}), maildrop.Incoming{}, 7); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	return l
}

// left is what some letters look like after the story.
func left(numbers ...int) []mail {
	var m []mail
	for _, n := range numbers {
		m = append(m, mail{letterUID(n), letter(n)})
	}
	return m
}

func letterUID(n int) string { return string(rune('0' + n)) }

func TestLedger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rounds [][]mail // each with its check; the last is judged
		fault  string   // "": lawful
	}{
		{"neither", [][]mail{left(2, 3, 4, 5, 6)}, ""},
		{"commit happened", [][]mail{left(2, 5, 6)}, ""},
		{"delivery happened", [][]mail{left(2, 3, 4, 5, 6, 7)}, ""},
		{"both", [][]mail{left(2, 5, 6, 7)}, ""},
		{"other line ends", [][]mail{{{"2", letter(2)}, {"5", strings.ReplaceAll(letter(5), "\r\n", "\n")}, {"6", letter(6)}}}, ""},
		{"twice the same", [][]mail{left(2, 5, 6), left(2, 5, 6)}, ""},

		{"lost", [][]mail{left(2, 3, 4, 6)}, "are lost"},
		{"lost with its key", [][]mail{left(2, 3, 4, 5)}, "are lost"},
		{"all lost", [][]mail{nil}, "are lost"},
		{"lost later", [][]mail{left(2, 5, 6), left(2, 5)}, "are lost"},
		{"came back", [][]mail{left(1, 2, 3, 4, 5, 6)}, "came back"},
		{"came back under another UID", [][]mail{append(left(2, 5, 6), mail{"x", letter(1)})}, "have made 2"},
		{"came back later", [][]mail{left(2, 5, 6), left(2, 3, 4, 5, 6)}, "came back"},
		{"half a commit", [][]mail{left(2, 4, 5, 6)}, "has removed only"},
		{"twice", [][]mail{append(left(2, 5, 6), mail{"x", letter(5)})}, "have made 2"},
		{"twice with its key", [][]mail{append(left(2, 5, 6), mail{"x", letter(6)})}, "have made 2"},
		{"twice unacknowledged", [][]mail{append(left(2, 5, 6, 7), mail{"x", letter(7)})}, "have made 2"},
		{"other UID", [][]mail{{{"2", letter(2)}, {"x", letter(5)}, {"6", letter(6)}}}, "have made 2"},
		{"exchanged UIDs", [][]mail{{{"2", letter(2)}, {"5", letter(6)}, {"6", letter(5)}}}, "of another message"},
		{"reused UID", [][]mail{append(left(2, 5, 6), mail{"1", letter(7)})}, "of another message"},
		{"altered", [][]mail{{{"2", letter(2)}, {"5", letter(55)}, {"6", letter(6)}}}, "none that was delivered"},
		{"torn", [][]mail{append(left(2, 5, 6), mail{"7", letter(7)[:20]})}, "none that was delivered"},
		{"empty", [][]mail{append(left(2, 5, 6), mail{"7", ""})}, "none that was delivered"},
		{"order", [][]mail{left(2, 6, 5)}, "the order was"},
		{"order later", [][]mail{left(2, 5, 6, 7), left(2, 5, 7, 6)}, "the order was"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := story(t)
			var err error
			for i, round := range tt.rounds {
				err = l.Check(t.Context(), after(t, round))
				if err != nil && i < len(tt.rounds)-1 {
					t.Fatalf("round %d: %v", i, err)
				}
			}
			if tt.fault == "" && err != nil {
				t.Errorf("lawful, yet: %v", err)
			}
			if tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
				t.Errorf("got %v; want %q", err, tt.fault)
			}
		})
	}
}

// What the store itself does wrong at the reopening.
func TestLedgerStore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, fault string
		make        func(*mutant)
	}{
		{"does not open", "does not open", opening(func(*mutant, context.Context, string) (maildrop.Box, error) { return nil, errCrash })},
		{"does not read", "cannot be read", boxes(func(b *mutantBox) {
			b.get = func(context.Context, int, int) (io.ReadCloser, error) { return nil, maildrop.ErrDamaged }
		})},
		{"ends too early", "cannot be read", boxes(func(b *mutantBox) {
			b.get = func(context.Context, int, int) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader("x"), errorReader{errCrash})), nil
			}
		})},
		{"counts wrong", "is listed with", listing(func(l []maildrop.Message) []maildrop.Message { l[2].Size++; return l })},
		{"lists twice", "same UID", listing(func(l []maildrop.Message) []maildrop.Message { l[2].UID = l[1].UID; return l })},
		{"does not close", "closing", boxes(func(b *mutantBox) { b.close = func() error { return errCrash } })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := &mutant{Store: after(t, left(2, 5, 6))}
			tt.make(m)
			if err := story(t).Check(t.Context(), m); err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("got %v; want %q", err, tt.fault)
			}
		})
	}
}

// Faults that a session sees before any crash.
func TestLedgerSession(t *testing.T) {
	t.Parallel()
	l := story(t)
	if _, err := l.Store(after(t, []mail{{"1", letter(1)}, {"2", letter(2)}})).Open(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context(), after(t, left(2, 5, 6))); err == nil || !strings.Contains(err.Error(), "came back") {
		t.Errorf("got %v", err)
	}
	if err := l.Check(t.Context(), after(t, left(2, 5, 6))); err != nil {
		t.Errorf("a fault is told twice: %v", err)
	}
}

// A store that does not forget passes, whatever happens at the same time.
func TestLedgerParallel(t *testing.T) {
	t.Parallel()
	var l Ledger
	s := &memdrop.Store{Snapshot: true}
	m := Mail{Store: l.Store(s), Deliverer: l.Deliverer(s), Snapshot: true}
	if faults := verdict(t, "parallel-sessions", m); len(faults) > 0 {
		t.Error(faults)
	}
	if err := l.Check(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestLedgerDelivered(t *testing.T) {
	t.Parallel()
	l := story(t)
	l.Delivered(alice, []byte(letter(8)))
	if err := l.Check(t.Context(), after(t, left(2, 5, 6, 8))); err != nil {
		t.Errorf("lawful, yet: %v", err)
	}
	if err := l.Check(t.Context(), after(t, left(2, 5, 6))); err == nil {
		t.Error("mail that came by another way is not missed")
	}
}

// A store that acknowledges what its sender broke off is found out.
func TestLedgerBrokenReader(t *testing.T) {
	t.Parallel()
	var l Ledger
	s := memdrop.New()
	m := &mutant{Store: s}
	delivering(func(m *mutant, ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
		return m.Store.Deliver(ctx, account, in, whatWasRead{r, nil})
	})(m)
	l.Deliverer(m).Deliver(t.Context(), alice, maildrop.Incoming{}, errorReader{errCrash})
	if err := l.Check(t.Context(), s); err == nil || !strings.Contains(err.Error(), "whose reader failed") {
		t.Errorf("got %v", err)
	}
}

// A clone judges one outcome, and the original another.
func TestLedgerClone(t *testing.T) {
	t.Parallel()
	l := story(t)
	c := l.Clone()
	if err := c.Check(t.Context(), after(t, left(2, 5, 6))); err != nil {
		t.Error(err)
	}
	if err := l.Check(t.Context(), after(t, left(2, 3, 4, 5, 6))); err != nil {
		t.Errorf("a clone's conclusions reach the original: %v", err)
	}
	if err := c.Check(t.Context(), after(t, left(2, 3, 4, 5, 6))); err == nil {
		t.Error("a clone draws no conclusions")
	}
	if err := l.Clone().Check(t.Context(), after(t, left(2, 3, 5, 6))); err == nil {
		t.Error("a clone has forgotten what was there")
	}
}
