package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// inboxDisk has the directory above the Maildir of alice, beside a store that
// can read it.
func inboxDisk(t testing.TB) func() *faultfs.FS {
	return func() *faultfs.FS {
		f := emptyDisk(t)()
		d, err := fsx.MakeDirs(f.Foreign(), 0o700, "mail", "example.org")
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		return f
	}
}

// openInboxOf opens the Maildir of a local part at example.org.
func (d disk) openInboxOf(local string, wrap func(fsx.Dir) fsx.Dir) (*Inbox, error) {
	parent, err := fsx.MakeDirs(d.root, 0o700, "mail", "example.org")
	if err != nil {
		return nil, err
	}
	if wrap != nil {
		parent = wrap(parent)
	}
	return OpenInbox(InboxOptions{Parent: parent, Name: local})
}

func (d disk) mustInbox(t testing.TB) *Inbox {
	t.Helper()
	i, err := d.openInboxOf("alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// inboxes delivers to an Inbox for each account. What is to be imported with a
// UID goes to the store: an Inbox cannot do it.
type inboxes struct {
	disk  disk
	store *Store
	mu    sync.Mutex
	open  map[string]*Inbox
}

func (x *inboxes) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	if in.UID != "" {
		return x.store.Deliver(ctx, account, in, r)
	}
	if _, err := x.store.template.path(account); err != nil {
		return err
	}
	i, err := x.of(account)
	if err != nil {
		return err
	}
	return i.Deliver(ctx, "anybody", in, r)
}

func (x *inboxes) of(account string) (i *Inbox, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	local, _, _ := strings.Cut(account, "@")
	if i = x.open[local]; i == nil {
		if i, err = x.disk.openInboxOf(local, nil); err == nil {
			x.open[local] = i
		}
	}
	return i, err
}

func TestInboxConformance(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(testing.TB) disk{
		"os": osDisk, "fault": func(t testing.TB) disk { return memDisk(t, faultfs.New()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			maildroptest.Test(t, func(t testing.TB) maildroptest.Mail {
				d := make(t)
				s := d.mustOpen(t)
				x := &inboxes{disk: d, store: s, open: map[string]*Inbox{}}
				return maildroptest.Mail{
					Store: s, Deliverer: x,
					Reopen: func(t testing.TB) (maildrop.Store, maildrop.Deliverer) {
						for _, i := range x.open {
							if err := i.Close(); err != nil {
								t.Error(err)
							}
						}
						if err := s.Close(); err != nil {
							t.Fatal(err)
						}
						s = d.mustOpen(t)
						x = &inboxes{disk: d, store: s, open: map[string]*Inbox{}}
						return s, x
					},
					Remove: func(t testing.TB, account string, m maildrop.Message) { d.foreign(t, account, m) },
				}
			})
		})
	}
}

// inboxStory is what happens to an Inbox before the crash.
type inboxStory struct {
	maildroptest.Ledger
	wrap func(fsx.Dir) fsx.Dir // a seeded mutant; nil: none
}

const inboxLetters = 4

// tell delivers letters with keys, each twice, and others without, until
// something fails.
func (x *inboxStory) tell(f *faultfs.FS) {
	i, err := disk{f.Root()}.openInboxOf("alice", x.wrap)
	if err != nil {
		return
	}
	for n := range inboxLetters {
		for _, in := range []maildrop.Incoming{{Key: fmt.Sprint(n)}, {Key: fmt.Sprint(n)}, {}} {
			text := letter(n)
			if in.Key == "" {
				text = letter(inboxLetters + n)
			}
			if x.Deliverer(i).Deliver(context.Background(), alice, in, strings.NewReader(text)) != nil {
				return
			}
		}
	}
	i.Close()
}

// again delivers the letters with keys once more, which doubles none.
func (x *inboxStory) again(l *maildroptest.Ledger, d disk) error {
	i, err := d.openInboxOf("alice", x.wrap)
	if err != nil {
		return err
	}
	for n := range inboxLetters {
		in := maildrop.Incoming{Key: fmt.Sprint(n)}
		if err := l.Deliverer(i).Deliver(context.Background(), alice, in, strings.NewReader(letter(n))); err != nil {
			return err
		}
	}
	return i.Close()
}

// judge checks the law on what is left: as it is, and with all keys once more.
func (x *inboxStory) judge(f *faultfs.FS) error {
	l, d := x.Clone(), disk{f.Root()}
	for round := range 3 {
		if round == 1 {
			if err := x.again(l, d); err != nil {
				return err
			}
		}
		s, err := d.open()
		if err != nil {
			return err
		}
		if err = errors.Join(l.Check(context.Background(), s), s.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (x *inboxStory) find(t testing.TB, max int) error {
	wrap := x.wrap
	return faultfs.Find(faultfs.Config{New: inboxDisk(t), Max: max}, func(f *faultfs.FS) {
		*x = inboxStory{wrap: wrap}
		x.tell(f)
	}, x.judge)
}

// Whatever crashes: what was acknowledged is there once, what was not is there
// whole or not at all, and the same key again doubles nothing.
func TestInboxCrash(t *testing.T) {
	t.Parallel()
	if err := new(inboxStory).find(t, 16); err != nil {
		t.Fatal(err)
	}
}

func TestInboxMutants(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mutant{
		"no file is synced":         {noFileSync: true},
		"new is not synced":         {noDirSync: "new"},
		"the Maildir is not synced": {noDirSync: "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &inboxStory{wrap: func(d fsx.Dir) fsx.Dir { return &mutantDir{d, "", &m} }}
			if x.find(t, 12) == nil {
				t.Error("no test has seen it")
			}
		})
	}
}

// An error of any one operation loses and doubles nothing, and the next try
// succeeds.
func TestInboxErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.EIO, syscall.ENOENT, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			for n, last := 1, 1; n <= last; n++ {
				f := inboxDisk(t)()
				i := disk{f.Root()}.mustInbox(t)
				first := len(f.Ops())
				f.FailAt(first+n, cause)
				x := new(inboxStory)
				for k := range inboxLetters {
					for try := 0; ; try++ {
						err := x.Deliverer(i).Deliver(t.Context(), alice, maildrop.Incoming{Key: fmt.Sprint(k)}, strings.NewReader(letter(k)))
						if err == nil || errors.Is(err, i.unsafe()) {
							break
						}
						if try == 2 {
							t.Fatalf("an error in operation %d outlasts itself: %v", first+n, err)
						}
					}
				}
				if n == 1 {
					last = len(f.Ops()) - first
				}
				if err := x.judge(f.Crash(faultfs.None())); err != nil {
					t.Fatalf("after an error in operation %d (%v): %v", first+n, f.Ops()[first+n-1], err)
				}
			}
		})
	}
}

// unsafe is why i makes no Maildir any more, or an error that is none.
func (i *Inbox) unsafe() error {
	if err := i.store.unsafe.Load(); err != nil {
		return *err
	}
	return io.EOF
}

// A message that a killed process had moved into new and not synced is durable
// before its key is taken for delivered.
func TestInboxKilledBeforeSync(t *testing.T) {
	t.Parallel()
	f := inboxDisk(t)()
	killed := false
	f.FailWhen(func(op faultfs.Op) error {
		if !killed && op.Kind == faultfs.SyncDir && strings.HasSuffix(op.Path, "/new") {
			return faultfs.ErrSkip
		}
		return nil
	})
	in := maildrop.Incoming{Key: "k"}
	x := new(inboxStory)
	deliver := func() {
		if err := x.Deliverer(disk{f.Root()}.mustInbox(t)).Deliver(t.Context(), alice, in, strings.NewReader(letter(1))); err != nil {
			t.Fatal(err)
		}
	}
	deliver()
	killed = true
	deliver()
	if err := x.judge(f.Crash(faultfs.None())); err != nil {
		t.Fatal(err)
	}
}

// The owner of a Maildir may move it away, remove it or parts of it, and make
// it anew while the Inbox is open.
func TestInboxReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parent, err := fsx.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	i, err := OpenInbox(InboxOptions{Parent: parent, Name: "Maildir"})
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "Maildir")
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"made", func() error { return nil }},
		{"moved", func() error { return os.Rename(home, home+".old") }},
		{"removed", func() error { return os.RemoveAll(home) }},
		{"without new", func() error { return os.RemoveAll(filepath.Join(home, "new")) }},
		{"with another new", func() error {
			return errors.Join(os.RemoveAll(filepath.Join(home, "new")), os.Mkdir(filepath.Join(home, "new"), 0o700))
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if err := i.Deliver(t.Context(), "", maildrop.Incoming{Key: "k"}, strings.NewReader("x\n")); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if files, err := os.ReadDir(filepath.Join(home, "new")); err != nil || len(files) != 1 {
			t.Fatalf("%s: %d messages, %v", step.name, len(files), err)
		}
	}
	if err := os.RemoveAll(filepath.Join(home, "tmp")); err != nil {
		t.Fatal(err)
	}
	i.Deliver(t.Context(), "", maildrop.Incoming{Key: "l"}, strings.NewReader("x\n")) // finds out
	if err := i.Deliver(t.Context(), "", maildrop.Incoming{Key: "l"}, strings.NewReader("x\n")); err != nil {
		t.Fatalf("without tmp: %v", err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if err := i.Deliver(t.Context(), "", maildrop.Incoming{}, strings.NewReader("x\n")); !errors.Is(err, errInboxClosed) {
		t.Errorf("Deliver after Close: %v", err)
	}
	if err := i.Close(); !errors.Is(err, errInboxClosed) {
		t.Errorf("Close after Close: %v", err)
	}
}

// A store, too, notices that a Maildir was removed, though the one that it
// makes may get the same inodes.
func TestStoreReplaced(t *testing.T) {
	t.Parallel()
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
	defer root.Close()
	s := disk{root}.mustOpen(t)
	for range 20 {
		if err := s.Deliver(t.Context(), alice, maildrop.Incoming{Key: "k"}, strings.NewReader("x\n")); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(filepath.Join(dir, "mail/example.org/alice/new"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%d messages, %v", len(files), err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "mail/example.org/alice")); err != nil {
			t.Fatal(err)
		}
	}
}

// An Inbox puts nothing into a Maildir but messages, and finds the keys of
// those that a mail reader has moved and flagged.
func TestInboxOfAnotherServer(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "", "dovecot-uidlist", "3 V1 N1\n")
	home := d.mailbox(t, "")
	for range 2 {
		i := d.mustInbox(t)
		if err := i.Deliver(t.Context(), "", maildrop.Incoming{Key: "k", UID: "7"}, strings.NewReader(letter(1))); err != nil {
			t.Fatal(err)
		}
		i.Close()
		for name := range d.mailbox(t, "new").Names() {
			if err := d.mailbox(t, "new").Move(name, d.mailbox(t, "cur"), name+":2,S"); err != nil {
				t.Fatal(err)
			}
		}
	}
	var names, read []string
	for name := range home.Names() {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"cur", "dovecot-uidlist", "new", "tmp"}; !slices.Equal(names, want) {
		t.Errorf("the Maildir has %q, not %q", names, want)
	}
	for name := range d.mailbox(t, "cur").Names() {
		read = append(read, name)
	}
	if len(read) != 1 {
		t.Errorf("the message is there %d times: %q", len(read), read)
	}
}

// What crashes leave in tmp is swept away by an Inbox that stays open.
func TestInboxSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memDisk(t, faultfs.New())
		d.plant(t, "tmp", "leftover", "x\n")
		i := d.mustInbox(t)
		for range 2 {
			time.Sleep(leftover + time.Hour)
			if err := i.Deliver(t.Context(), "", maildrop.Incoming{}, strings.NewReader("x\n")); err != nil {
				t.Fatal(err)
			}
		}
		for name := range d.mailbox(t, "tmp").Names() {
			t.Errorf("%s is still there", name)
		}
	})
}

func TestOpenInbox(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "", "file", "x\n")
	home := d.mailbox(t, "")
	for _, name := range []string{"", ".", "..", "a/b", "file"} {
		if i, err := OpenInbox(InboxOptions{Parent: home, Name: name}); err == nil {
			i.Close()
			t.Errorf("OpenInbox takes %q", name)
		}
	}
}
