package maildir

import (
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// mailbox opens the Maildir of alice as another program does, and makes it.
func (d disk) mailbox(t testing.TB, sub string) fsx.Dir {
	t.Helper()
	path := []string{"mail", "example.org", "alice"}
	for _, name := range []string{"new", "cur", "tmp"} {
		dir, err := fsx.MakeDirs(d.root, 0o700, append(path[:3:3], name)...)
		if err != nil {
			t.Fatal(err)
		}
		dir.Close()
	}
	if sub != "" {
		path = append(path, sub)
	}
	return dig(t, d.root, path...)
}

// plant makes a file in the Maildir of alice as another program does.
func (d disk) plant(t testing.TB, sub, name, text string) {
	t.Helper()
	f, err := d.mailbox(t, sub).Create(name, 0o600)
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// lose removes a file of the Maildir of alice, if it is there.
func (d disk) lose(t testing.TB, name string) {
	t.Helper()
	if err := d.mailbox(t, "").Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// mustBox opens the maildrop of alice.
func mustBox(t testing.TB, s *Store) maildrop.Box {
	t.Helper()
	b, err := s.Open(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// get reads message i.
func get(t testing.TB, b maildrop.Box, i int) (string, error) {
	t.Helper()
	r, err := b.Get(t.Context(), i, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	return string(p), err
}
