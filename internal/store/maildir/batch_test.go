package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

// pairs delivers by a Batch and syncs after every second message. A message is
// acknowledged when both are safe.
type pairs struct{ batch *Batch }

func (p pairs) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	other := maildrop.Incoming{Key: "beside" + in.Key}
	return errors.Join(
		p.batch.Deliver(ctx, account, other, strings.NewReader(letter(99))),
		p.batch.Deliver(ctx, account, in, r),
		p.batch.Sync(),
	)
}

// Whatever crashes: what was delivered before a Sync is there once, and the
// same key again doubles nothing.
func TestBatchCrash(t *testing.T) {
	t.Parallel()
	for name, many := range manners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := batchStory(many, nil)(t); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// manners are how many messages make a Batch sync the whole disk.
var manners = map[string]int{"file by file": manyShare, "disk": 0}

func TestBatchMutants(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mutant{
		"no file is synced": {noFileSync: true},
		"nor is the disk":   {noDiskSync: true},
		"new is not synced": {noDirSync: "new"},
	} {
		for manner, many := range manners {
			if m.noDiskSync && manner != "disk" {
				continue
			}
			t.Run(name+"/"+manner, func(t *testing.T) {
				t.Parallel()
				if batchStory(many, &m)(t) == nil {
					t.Error("no test has seen it")
				}
			})
		}
	}
}

// batchStory delivers letters, each twice, crashes wherever that makes a
// difference, and delivers them once more.
func batchStory(many int, m *mutant) func(t testing.TB) error {
	return func(t testing.TB) error {
		deliver := func(f *faultfs.FS) (acknowledged []string, err error) {
			d := disk{f.Root()}
			var wrap func(fsx.Dir) fsx.Dir
			if m != nil {
				wrap = func(d fsx.Dir) fsx.Dir { return &mutantDir{d, "", m} }
			}
			i, err := d.openInboxOf("alice", wrap)
			if err != nil {
				return nil, err
			}
			defer i.Close()
			p := pairs{i.Batch()}
			p.batch.many = many
			for n := range 2 * inboxLetters {
				text := letter(n / 2)
				if err := p.Deliver(t.Context(), alice, maildrop.Incoming{Key: fmt.Sprint(n / 2)}, strings.NewReader(text)); err != nil {
					return acknowledged, err
				}
				acknowledged = append(acknowledged, text)
			}
			return acknowledged, nil
		}
		var safe []string
		return faultfs.Find(faultfs.Config{New: inboxDisk(t), Max: 12}, func(f *faultfs.FS) {
			safe, _ = deliver(f) // until the crash
		}, func(f *faultfs.FS) error {
			if err := haveOnce(t, f, safe, false); err != nil {
				return err
			}
			all, err := deliver(f)
			if err != nil {
				return err
			}
			return haveOnce(t, f, all, true)
		})
	}
}

// haveOnce finds each of the texts once in the Maildir of alice, and, if that is
// all, nothing else but what is beside them.
func haveOnce(t testing.TB, f *faultfs.FS, texts []string, all bool) error {
	s, err := disk{f.Root()}.open()
	if err != nil {
		return err
	}
	defer s.Close()
	b, err := s.Open(t.Context(), alice)
	if errors.Is(err, maildrop.ErrNoDrop) && len(texts) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	defer b.Close()
	count := map[string]int{}
	for i := range b.Messages() {
		r, err := b.Get(t.Context(), i, -1)
		if err != nil {
			return err
		}
		p, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		count[withLF(string(p))]++
	}
	for _, text := range texts {
		if n := count[withLF(text)]; n != 1 {
			return fmt.Errorf("%d times: %.40q", n, text)
		}
	}
	if most := 2 * inboxLetters; all && len(b.Messages()) != most {
		return fmt.Errorf("%d messages instead of %d", len(b.Messages()), most)
	}
	return nil
}

func withLF(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// A message whose delivery is under way while a Sync runs is the next one's.
func TestBatchSyncInTheMiddle(t *testing.T) {
	t.Parallel()
	f := inboxDisk(t)()
	b := disk{f.Root()}.mustInbox(t).Batch()
	if err := b.Deliver(t.Context(), "", maildrop.Incoming{Key: "a"}, strings.NewReader(letter(0))); err != nil {
		t.Fatal(err)
	}
	early := readerFunc(func([]byte) (int, error) { return 0, cmp.Or(b.Sync(), io.EOF) })
	in := io.MultiReader(strings.NewReader(letter(1)), early)
	if err := b.Deliver(t.Context(), "", maildrop.Incoming{Key: "b"}, in); err != nil {
		t.Fatal(err)
	}
	if err := haveOnce(t, f.Crash(faultfs.None()), []string{letter(0)}, false); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := haveOnce(t, f.Crash(faultfs.None()), []string{letter(0), letter(1)}, false); err != nil {
		t.Fatal(err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// After a Sync that failed the messages are delivered once more, and then they
// are there once.
func TestBatchSyncFails(t *testing.T) {
	t.Parallel()
	t.Run("of new, file by file", func(t *testing.T) { syncFails(t, manyShare, faultfs.SyncDir, "/new") })
	t.Run("of new, disk", func(t *testing.T) { syncFails(t, 1, faultfs.SyncDir, "/new") })
	t.Run("of the disk", func(t *testing.T) { syncFails(t, 1, faultfs.SyncDisk, "/tmp") })
	t.Run("and a move", func(t *testing.T) { syncFails(t, 1, faultfs.Move, "") })
}

func syncFails(t *testing.T, many int, kind faultfs.Kind, path string) {
	f := inboxDisk(t)()
	b := disk{f.Root()}.mustInbox(t).Batch()
	b.many = many
	if err := b.Deliver(t.Context(), "", maildrop.Incoming{Key: "first"}, strings.NewReader(letter(9))); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	arm := false
	f.FailWhen(func(op faultfs.Op) error {
		if arm && op.Kind == kind && strings.HasSuffix(op.Path, path) {
			arm = kind != faultfs.Move
			return syscall.EIO
		}
		return nil
	})
	deliver := func(fail bool) error {
		arm = false
		for n := range 2 {
			if err := b.Deliver(t.Context(), "", maildrop.Incoming{Key: fmt.Sprint(n)}, strings.NewReader(letter(n))); err != nil {
				t.Fatal(err)
			}
		}
		arm = fail
		return b.Sync()
	}
	if err := deliver(true); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync gives %v", err)
	}
	if err := deliver(false); err != nil {
		t.Fatal(err)
	}
	if err := haveOnce(t, f.Crash(faultfs.None()), []string{letter(0), letter(1)}, false); err != nil {
		t.Fatal(err)
	}
}
