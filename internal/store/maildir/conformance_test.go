package maildir

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"os"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// disk is where a store under test lies: the directories mail and state.
type disk struct{ root fsx.Dir }

func osDisk(t testing.TB) disk {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"mail", "state"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root, err := fsx.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return disk{root}
}

func memDisk(t testing.TB, f *faultfs.FS) disk {
	t.Helper()
	for _, name := range []string{"mail", "state"} {
		d, err := fsx.MakeDirs(f.Foreign(), 0o700, name)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	return disk{f.Root()}
}

// options are those that tests use: a small journal, so that it turns often.
func (d disk) options() (Options, error) {
	mail, err := d.root.Dir("mail")
	if err != nil {
		return Options{}, err
	}
	state, err := d.root.Dir("state")
	return Options{Root: mail, State: state, Template: "%d/%n", JournalHalf: 4 * blockSize}, err
}

func (d disk) open(change ...func(*Options)) (*Store, error) {
	o, err := d.options()
	if err != nil {
		return nil, err
	}
	for _, c := range change {
		c(&o)
	}
	return Open(o)
}

// mustOpen opens a store and closes it with the test.
func (d disk) mustOpen(t testing.TB, change ...func(*Options)) *Store {
	t.Helper()
	s, err := d.open(append([]func(*Options){logTo(t)}, change...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func logTo(t testing.TB) func(*Options) {
	return func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
}

// foreign removes a message as another program would.
func (d disk) foreign(t testing.TB, account string, m maildrop.Message) {
	t.Helper()
	local, domain, _ := strings.Cut(account, "@")
	home := dig(t, d.root, "mail", domain, local)
	for _, sub := range []string{"new", "cur"} {
		dir := dig(t, home, sub)
		for name, err := range dir.Names() {
			if err != nil {
				t.Fatal(err)
			}
			if name[:uniqueLen(name)] == m.UID {
				if err := dir.Remove(name); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	t.Fatalf("no file of message %s", m.UID)
}

// dig opens a directory below d.
func dig(t testing.TB, d fsx.Dir, names ...string) fsx.Dir {
	t.Helper()
	for _, name := range names {
		sub, err := d.Dir(name)
		if err != nil {
			t.Fatal(err)
		}
		d = sub
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestConformance(t *testing.T) {
	t.Parallel()
	disks := map[string]func(testing.TB) disk{
		"os":    osDisk,
		"fault": func(t testing.TB) disk { return memDisk(t, faultfs.New()) },
	}
	for name, make := range disks {
		for _, snapshot := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/snapshot=%t", name, snapshot), func(t *testing.T) {
				t.Parallel()
				maildroptest.Test(t, func(t testing.TB) maildroptest.Mail {
					d := make(t)
					s := d.mustOpen(t)
					mode := func() maildrop.Store {
						if snapshot {
							return s.Snapshots()
						}
						return s
					}
					return maildroptest.Mail{
						Store: mode(), Deliverer: s, Snapshot: snapshot,
						Reopen: func(t testing.TB) (maildrop.Store, maildrop.Deliverer) {
							if err := s.Close(); err != nil {
								t.Fatal(err)
							}
							s = d.mustOpen(t)
							return mode(), s
						},
						Remove: func(t testing.TB, account string, m maildrop.Message) { d.foreign(t, account, m) },
					}
				})
			})
		}
	}
}
