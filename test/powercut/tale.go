package powercut

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// journalHalf makes the commit journal turn often.
const journalHalf = 4 * 4096

// shelf is an open store with the directories that it is in.
type shelf struct {
	*maildir.Store
	dirs []fsx.Dir
}

// open opens the store below the directory root, with the fault of a mutant if
// there is one.
func open(root string, forgets forgets) (s shelf, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, name := range []string{"mail", "state"} {
		d, err := fsx.Open(filepath.Join(root, name))
		if err != nil {
			return s, err
		}
		if forgets != nil {
			d = &forgetful{d, name, forgets}
		}
		s.dirs = append(s.dirs, d)
	}
	s.Store, err = maildir.Open(maildir.Options{Root: s.dirs[0], State: s.dirs[1], Template: "%n", JournalHalf: journalHalf})
	return s, err
}

// Close closes the store and the directories.
func (s shelf) Close() (err error) {
	if s.Store != nil {
		err = s.Store.Close()
	}
	for _, d := range s.dirs {
		err = errors.Join(err, d.Close())
	}
	return err
}

// tale is made-up work for a store, which goes onto a tape.
type tale struct {
	root   string
	tape   *tape
	ledger maildroptest.Ledger
	store  shelf
	random *rand.Rand
	letter int
}

// mark notes on the tape what has been asked and answered by now.
func (t *tale) mark() { t.tape.add(event{ledger: t.ledger.Clone()}) }

// tell does so many steps of work.
func (t *tale) tell(steps int) error {
	t.mark()
	for range steps {
		account := []string{"alice@example.org", "bob"}[t.random.IntN(5)/4]
		var err error
		switch t.random.IntN(10) {
		case 0, 1, 2, 3:
			err = t.deliver(account, maildrop.Incoming{})
		case 4:
			t.letter++
			err = t.deliver(account, maildrop.Incoming{UID: fmt.Sprintf("imported-%d", t.letter), Time: time.Unix(int64(1e9+t.letter), 0)})
		case 5:
			t.letter++
			err = t.deliver(account, maildrop.Incoming{Key: fmt.Sprintf("key%d", t.letter)})
		case 6, 7, 8:
			err = t.session(account)
		case 9:
			err = flag(filepath.Join(t.root, "mail", strings.TrimSuffix(account, "@example.org")))
		}
		if err != nil {
			return err
		}
		t.mark()
	}
	return nil
}

func (t *tale) deliver(account string, in maildrop.Incoming) error {
	t.letter++
	ends := []string{"", "\r\n", "\n", "\r", ".\n", "\x00"}
	text := fmt.Sprintf("Subject: letter %d\n\n%s.%s", t.letter, strings.Repeat("line\r\n", t.random.IntN(5)*t.random.IntN(900)), ends[t.random.IntN(len(ends))])
	return t.ledger.Deliverer(marking{t.store, t}).Deliver(context.Background(), account, in, strings.NewReader(text))
}

// marking puts a mark onto the tape when the store begins what it is asked.
type marking struct {
	shelf
	t *tale
}

func (m marking) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	m.t.mark()
	return m.shelf.Deliver(ctx, account, in, r)
}

func (m marking) Open(ctx context.Context, account string) (maildrop.Box, error) {
	b, err := m.shelf.Open(ctx, account)
	return markingBox{b, m.t}, err
}

type markingBox struct {
	maildrop.Box
	t *tale
}

func (b markingBox) Commit(ctx context.Context, deleted []int) error {
	b.t.mark()
	return b.Box.Commit(ctx, deleted)
}

// session opens the maildrop and removes some of it.
func (t *tale) session(account string) error {
	ctx := context.Background()
	b, err := t.ledger.Store(marking{t.store, t}).Open(ctx, account)
	if err != nil {
		return err
	}
	t.mark()
	var marked []int
	for i := range b.Messages() {
		if t.random.IntN(3) == 0 {
			marked = append(marked, i)
		}
	}
	if len(marked) > 0 {
		if err := b.Commit(ctx, marked); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return b.Close()
}

// flag is another program, which has seen all new mail.
func flag(box string) error {
	entries, err := os.ReadDir(filepath.Join(box, "new"))
	if err != nil {
		return nil // nothing was delivered yet
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(box, "new", e.Name()), filepath.Join(box, "cur", e.Name()+":2,S")); err != nil {
			return err
		}
	}
	return nil
}

// judge holds what is on a disk against a ledger, twice: nothing may change by
// looking.
func judge(root string, ledger *maildroptest.Ledger) error {
	for range 2 {
		s, err := open(root, nil)
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
