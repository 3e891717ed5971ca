package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// journalHalf makes the commit journal turn often.
const journalHalf = 4 * 4096

// tale is made-up work for a Maildir store. Told again it is the same.
type tale struct {
	steps   []step
	forgets func(faultfs.Op) bool // the syncs that a mutant leaves out

	ledger *maildroptest.Ledger
	store  *maildir.Store
	err    error // that the process died of
}

// step is one thing that somebody does.
type step struct {
	name    string
	account string
	n       int // of the message, or which bits of the listing are marked
}

// newTale makes up a tale of some steps for two accounts.
func newTale(r *rand.Rand) *tale {
	t := &tale{}
	kinds := []string{"deliver", "deliver", "deliver", "import", "same key", "quit", "quit", "hang up", "flag", "restart"}
	for n := range 5 + r.IntN(9) {
		s := step{kinds[r.IntN(len(kinds))], []string{"alice@example.org", "bob"}[r.IntN(5)/4], n}
		if s.name == "quit" || s.name == "hang up" {
			s.n = r.IntN(1 << 12)
		}
		t.steps = append(t.steps, s)
	}
	return t
}

func (t *tale) String() string {
	var b strings.Builder
	for i, s := range t.steps {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s %d", s.name, s.account, s.n)
	}
	return b.String()
}

// emptyDisk has the two directories that an operator makes.
func emptyDisk() *faultfs.FS {
	f := faultfs.New()
	for _, name := range []string{"mail", "state"} {
		if d, err := fsx.MakeDirs(f.Foreign(), 0o700, name); err == nil {
			d.Close()
		}
	}
	return f
}

func open(f *faultfs.FS) (*maildir.Store, error) {
	mail, err := f.Root().Dir("mail")
	if err != nil {
		return nil, err
	}
	state, err := f.Root().Dir("state")
	if err != nil {
		return nil, err
	}
	return maildir.Open(maildir.Options{Root: mail, State: state, Template: "%n", JournalHalf: journalHalf})
}

// restart is what comes after a crash.
func restart(f *faultfs.FS) {
	if s, err := open(f); err == nil {
		s.Close()
	}
}

// tell does the work, up to the step that fails: the process is dead then.
func (t *tale) tell(f *faultfs.FS) {
	t.ledger, t.store, t.err = &maildroptest.Ledger{}, nil, nil
	if t.forgets != nil {
		f.FailWhen(func(op faultfs.Op) error {
			if t.forgets(op) {
				return faultfs.ErrSkip
			}
			return nil
		})
	}
	if t.store, t.err = open(f); t.err != nil {
		return
	}
	for _, s := range t.steps {
		if t.err = t.do(f, s); t.err != nil {
			return
		}
	}
	t.err = t.store.Close()
}

func (t *tale) do(f *faultfs.FS, s step) error {
	ctx := context.Background()
	switch s.name {
	case "deliver":
		return t.deliver(s, maildrop.Incoming{})
	case "import":
		return t.deliver(s, maildrop.Incoming{UID: fmt.Sprintf("imported-%d", s.n), Time: time.Unix(int64(1e9+s.n), 0)})
	case "same key":
		in := maildrop.Incoming{Key: fmt.Sprintf("key-%d", s.n)}
		return errors.Join(t.deliver(s, in), t.store.Deliver(ctx, s.account, in, strings.NewReader(letter(s.n))))
	case "quit":
		return t.session(s, true)
	case "hang up":
		return t.session(s, false)
	case "flag":
		return flag(f.Foreign(), s.account)
	case "restart":
		if err := t.store.Close(); err != nil {
			return err
		}
		var err error
		t.store, err = open(f)
		return err
	}
	return fmt.Errorf("model: no step is called %q", s.name)
}

// letter is the n-th message of a tale; each is another.
func letter(n int) string {
	ends := []string{"", "\r\n", "\n", "\r", ".\n", "\x00"}
	return fmt.Sprintf("Subject: letter %d\n\n%s.%s", n, strings.Repeat("line\r\n", n%5*40), ends[n%len(ends)])
}

func (t *tale) deliver(s step, in maildrop.Incoming) error {
	return t.ledger.Deliverer(t.store).Deliver(context.Background(), s.account, in, strings.NewReader(letter(s.n)))
}

// session opens the maildrop and removes what is marked, or hangs up.
func (t *tale) session(s step, quits bool) error {
	ctx := context.Background()
	b, err := t.ledger.Store(t.store).Open(ctx, s.account)
	if errors.Is(err, maildrop.ErrNoDrop) {
		return nil
	}
	if err != nil {
		return err
	}
	var marked []int
	for i := range b.Messages() {
		if s.n>>(i%12)&1 == 1 {
			marked = append(marked, i)
		}
	}
	if quits && len(marked) > 0 {
		err = b.Commit(ctx, marked)
	}
	return errors.Join(err, b.Close())
}

// flag is another program that has seen all new mail of an account.
func flag(root fsx.Dir, account string) error {
	local, _, _ := strings.Cut(account, "@")
	var dirs []fsx.Dir
	for _, name := range []string{"mail", local} {
		sub, err := root.Dir(name)
		if err != nil {
			return nil // nothing was delivered yet
		}
		root = sub
	}
	for _, name := range []string{"new", "cur"} {
		d, err := root.Dir(name)
		if err != nil {
			return nil
		}
		dirs = append(dirs, d)
	}
	var names []string
	for name, err := range dirs[0].Names() {
		if err != nil {
			return err
		}
		names = append(names, strings.Clone(name))
	}
	for _, name := range names {
		if err := dirs[0].Move(name, dirs[1], name+":2,S"); err != nil {
			return err
		}
	}
	return nil
}

// judge checks the law on what is left, twice: nothing may change by looking.
func (t *tale) judge(f *faultfs.FS) error {
	ledger := t.ledger.Clone()
	for range 2 {
		s, err := open(f)
		if err != nil {
			return fmt.Errorf("the store does not open: %w", err)
		}
		err = ledger.Check(context.Background(), s)
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
	}
	return nil
}
