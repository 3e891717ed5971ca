package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

const alice = "alice@pop.example.org:995"

func mustJournal(t testing.TB, dir fsx.Dir) *journal {
	t.Helper()
	j, err := openJournal(dir, alice)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.close() })
	return j
}

func number(n int) uid { return uidOf(fmt.Sprint("uid ", n)) }

func storedRecord(n int) record {
	return record{kind: kindStored, uid: number(n), digest: digest(hashed32(n)), octets: int64(n), time: 1_700_000_000 + int64(n)}
}

func hashed32(n int) (d [32]byte) {
	binary.LittleEndian.PutUint64(d[:], uint64(n)*0x9E3779B97F4A7C15)
	return d
}

// everyKind has each kind of record, in an order in which they may come.
func everyKind() []record {
	return []record{
		{kind: kindMet},
		{kind: kindPlace, uid: placeOf("here")},
		{kind: kindKnown, uid: number(1), time: 1_700_000_000},
		{kind: kindBegin},
		{kind: kindSeen, uid: number(2), nonce: nonce{1, 2, 3}},
		{kind: kindStoring, uid: number(2)},
		storedRecord(2),
		storedRecord(3),
		{kind: kindFailed, uid: number(4), failure: failure{tries: 2, next: 1_700_000_500, size: 70, uid: "u-4", reason: "refused"}},
		{kind: kindTooLarge, uid: number(5), failure: failure{tries: 1, next: 1_700_000_600, size: 1 << 40, uid: "u-5", reason: "large", large: true}},
		{kind: kindDeleted, uid: number(2)},
		{kind: kindCommitted},
		{kind: kindSerial},
		{kind: kindNamed},
		{kind: kindRenewed},
		{kind: kindBegin},
		{kind: kindGone, uid: number(2)},
		{kind: kindListed, uid: number(3), time: 1_800_000_000},
		{kind: kindDeleted, uid: number(3)},
		{kind: kindBegin},
		{kind: kindAmbiguous, uid: number(6)},
		storedRecord(4),
		{kind: kindSettled},
		{kind: kindPlace, uid: placeOf("there")},
		{kind: kindTold, uid: number(3)},
		{kind: kindDeleted, uid: number(4)},
	}
}

func sameTable(a, b *table) bool {
	return maps.Equal(a.entries, b.entries) && a.met == b.met && a.serial == b.serial && a.named == b.named && a.renewed == b.renewed && a.place == b.place && a.epoch == b.epoch &&
		maps.EqualFunc(a.failures, b.failures, func(x, y *failure) bool { return *x == *y })
}

func applied(list []record) *table {
	t := newTable()
	for i := range list {
		t.apply(&list[i])
	}
	return &t
}

// journalStory writes the records that the journal does not have, some to a
// flush, and says how many are acknowledged.
func journalStory(dir fsx.Dir, list []record, perFlush int) (acknowledged int) {
	j, err := openJournal(dir, alice)
	if err != nil {
		return 0
	}
	defer j.close()
	for i := found(j, list, 0); i < len(list); i++ {
		j.note(list[i])
		if i%perFlush == perFlush-1 {
			if j.flush() != nil {
				return acknowledged
			}
			acknowledged = i + 1
		}
		if i == len(list)/2 {
			if j.syncs.Do(j.rewrite) != nil {
				return acknowledged
			}
			acknowledged = i + 1
		}
	}
	return acknowledged
}

// found says how many of the records, and not fewer than least, make the table
// of j; -1: no number does.
func found(j *journal, list []record, least int) int {
	for n := len(list); n >= least; n-- {
		if sameTable(&j.table, applied(list[:n])) {
			return n
		}
	}
	return -1
}

// judgeJournal finds in the journal what was written up to some record at or
// behind the last that was acknowledged.
func judgeJournal(dir fsx.Dir, list []record, acknowledged int) error {
	j, err := openJournal(dir, alice)
	if err != nil {
		return err
	}
	defer j.close()
	if found(j, list, acknowledged) >= 0 {
		return nil
	}
	return fmt.Errorf("%d records were acknowledged, and the journal has %d entries, %d failures", acknowledged, len(j.table.entries), len(j.table.failures))
}

func TestJournalCrash(t *testing.T) {
	t.Parallel()
	list := everyKind()
	for _, perFlush := range []int{1, 3, 7} {
		var acknowledged int
		faultfs.Explore(t, faultfs.Config{
			Max: 8, Depth: 1,
			Recover: func(f *faultfs.FS) {
				if j, err := openJournal(f.Root(), alice); err == nil {
					j.close()
				}
			},
		}, func(f *faultfs.FS) {
			acknowledged = journalStory(f.Root(), list, perFlush)
		}, func(f *faultfs.FS) error {
			return judgeJournal(f.Root(), list, acknowledged)
		})
	}
}

// A journal that is not synced is found out.
func TestJournalMutants(t *testing.T) {
	t.Parallel()
	list := everyKind()
	for _, skipped := range []faultfs.Kind{faultfs.SyncData, faultfs.Sync, faultfs.SyncDir} {
		var acknowledged int
		err := faultfs.Find(faultfs.Config{}, func(f *faultfs.FS) {
			f.FailWhen(func(op faultfs.Op) error {
				if op.Kind == skipped {
					return faultfs.ErrSkip
				}
				return nil
			})
			acknowledged = journalStory(f.Root(), list, 3)
		}, func(f *faultfs.FS) error {
			return judgeJournal(f.Root(), list, acknowledged)
		})
		if err == nil {
			t.Errorf("nobody has seen that %v does nothing", skipped)
		}
	}
}

// After an error of any one operation nothing that was acknowledged is lost in
// a crash, neither at once nor after the program was started again.
func TestJournalErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	list := everyKind()
	full := fsx.PathError("write", "x", syscall.ENOSPC)
	for _, cause := range []error{syscall.EIO, faultfs.Partial{N: 5, Err: full}} {
		clean := faultfs.New()
		journalStory(clean.Root(), list, 2)
		for n := 1; n <= len(clean.Ops()); n++ {
			f := faultfs.New()
			f.FailAt(n, cause)
			acknowledged := journalStory(f.Root(), list, 2)
			if again := journalStory(f.Root(), list, 2); again > 0 { // a new run goes on
				acknowledged = again
			}
			if err := judgeJournal(f.Crash(faultfs.None()).Root(), list, acknowledged); err != nil {
				t.Fatalf("after %v in operation %d: %v", cause, n, err)
			}
		}
	}
}

// A process that is killed at any operation, and one that goes on from there
// before the power fails.
func TestJournalKill(t *testing.T) {
	t.Parallel()
	list := everyKind()
	clean := faultfs.New()
	journalStory(clean.Root(), list, 2)
	for n := 1; n <= len(clean.Ops()); n++ {
		f := faultfs.New()
		killed, gone := false, false
		f.FailWhen(func(op faultfs.Op) error {
			if killed = killed || op.N == n; !killed || gone {
				return nil
			}
			switch op.Kind {
			case faultfs.Close: // the system does it
				return nil
			case faultfs.Sync, faultfs.SyncData, faultfs.SyncDir: // not done, which is less than failed
				return faultfs.ErrSkip
			}
			return syscall.EINTR
		})
		journalStory(f.Root(), list, 2)
		gone = true
		acknowledged := journalStory(f.Root(), list, 2)
		if err := judgeJournal(f.Crash(faultfs.None()).Root(), list, acknowledged); err != nil {
			t.Fatalf("killed at operation %d: %v", n, err)
		}
	}
}

// One journal goes on by itself after an error.
func TestJournalOutlivesErrors(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	j := mustJournal(t, f.Root())
	broken := true
	f.FailWhen(func(op faultfs.Op) error {
		if broken && op.Kind.Changes() {
			return syscall.EIO
		}
		return nil
	})
	j.note(storedRecord(1))
	if j.flush() == nil {
		t.Fatal("the disk is out of order, and a flush succeeds")
	}
	j.note(storedRecord(2))
	if j.flush() == nil {
		t.Fatal("the disk is out of order, and a flush succeeds")
	}
	broken = false
	j.note(storedRecord(3))
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	want := []record{storedRecord(1), storedRecord(2), storedRecord(3)}
	if err := judgeJournal(f.Crash(faultfs.None()).Root(), want, 3); err != nil {
		t.Error(err)
	}
}

// Whichever octet is changed, the journal is not believed, unless the last
// batch, which may have been cut, is all that is lost.
func TestJournalDamage(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	list := everyKind()
	journalStory(f.Root(), list, 2)
	j := mustJournal(t, f.Root())
	name := j.name + journalEnd
	whole := make([]byte, j.size)
	if err := readAt(j.file, whole, 0); err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(string(whole), batchMagic)
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 0x20
		tab := newTable()
		good, err := tab.load(strings.NewReader(string(bad)), int64(len(bad)), name, alice)
		switch {
		case i >= last:
			if err != nil || good != int64(last) {
				t.Fatalf("octet %d, in the last batch: %d are good, %v", i, good, err)
			}
		case !errors.Is(err, maildrop.ErrDamaged) || !strings.Contains(err.Error(), name):
			t.Fatalf("octet %d: %v", i, err)
		}
	}
	for n := range whole { // and wherever it is cut
		tab := newTable()
		_, err := tab.load(strings.NewReader(string(whole[:n])), int64(n), name, alice)
		if bad := n < len(title(alice)); bad != errors.Is(err, maildrop.ErrDamaged) || !bad && err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestJournalOfAnotherMailbox(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	mustJournal(t, f.Root()).close()
	if err := f.Root().Replace(fileName(alice)+journalEnd, fileName("bob")+journalEnd); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(f.Root(), "bob"); !errors.Is(err, maildrop.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestJournalLock(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	j := mustJournal(t, f.Root())
	_, err := openJournal(f.Root(), alice)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process") {
		t.Errorf("a second fetcher gets %v", err)
	}
	mustJournal2, err := openJournal(f.Root(), "bob@pop.example.org:995")
	if err != nil {
		t.Fatal(err)
	}
	mustJournal2.close()
	j.close()
	mustJournal(t, f.Root())
}

// Names of mailboxes cannot leave the directory and do not meet.
func TestJournalNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, mailbox := range []string{
		"", ".", "..", "../../etc/passwd", "a/b", `a\b`, "a:b", "a\x00b", "A", "a", "CON", "ä@example.org", strings.Repeat("x", 5000),
	} {
		name := fileName(mailbox)
		if fsx.CheckName(name) != nil || len(name) > 80 || strings.ContainsAny(name, "/\\:\x00 ") || name[0] == '.' {
			t.Errorf("%.20q becomes %q", mailbox, name)
		}
		if other, twice := seen[name]; twice {
			t.Errorf("%q and %q have one name", mailbox, other)
		}
		seen[name] = mailbox
	}
}

// Many records need few syncs, and the file does not grow for ever.
func TestJournalCost(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	j := mustJournal(t, f.Root())
	for n := range 20_000 {
		j.note(storedRecord(n), record{kind: kindDeleted, uid: number(n)})
	}
	j.note(record{kind: kindCommitted})
	for n := range 20_000 {
		j.note(record{kind: kindGone, uid: number(n)})
	}
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	syncs := 0
	for _, op := range f.Ops() {
		if op.Kind == faultfs.SyncData {
			syncs++
		}
	}
	if syncs > 4 {
		t.Errorf("%d syncs", syncs)
	}
	if err := j.compact(); err != nil {
		t.Fatal(err)
	}
	if j.size > 1000 {
		t.Errorf("%d octets for nothing", j.size)
	}
}

// A UID takes about a hundred octets of memory.
func TestJournalMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("200,000 UIDs")
	}
	const n = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tab := newTable()
	for i := range n {
		r := storedRecord(i)
		tab.apply(&r)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := float64(after.HeapAlloc-before.HeapAlloc) / n; per > 110 {
		t.Errorf("%.0f octets for a UID", per)
	} else {
		t.Logf("%.0f octets for a UID", per)
	}
	runtime.KeepAlive(tab)
}

func FuzzJournal(f *testing.F) {
	body := []byte(nil)
	for _, r := range everyKind() {
		body = r.append(body)
	}
	f.Add([]byte(body))
	f.Fuzz(func(t *testing.T, data []byte) {
		tab := newTable()
		tab.replay(data)
		file := title(alice) + string(data)
		tab = newTable()
		tab.load(strings.NewReader(file), int64(len(file)), "x", alice)
	})
}

// A destination is told when a fetcher before was killed, or its round did not
// end well, and only then.
func TestDoubt(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(1), exactly()
	doubt := false
	to.early = func(m sink.Message) (int, error) {
		doubt = m.Doubt
		return 0, nil
	}
	round := func(fail error) bool {
		doubt = false
		to.refuse = func(string, string) error { return fail }
		m.letters = append(m.letters, letter{uid: fmt.Sprintf("uid-%d-of-another", m.logins), text: text(m.logins)})
		once(f.Root(), m.account(to, Policy{Keep: true}))
		m.sessions.Wait()
		return doubt
	}
	for i, step := range []struct {
		fail  error
		doubt bool
	}{{nil, false}, {errors.New("disk full"), false}, {nil, true}, {nil, false}} {
		if round(step.fail) != step.doubt {
			t.Errorf("round %d: doubt is %t", i, !step.doubt)
		}
	}
	if _, err := openJournal(f.Root(), alice); err != nil { // and killed
		t.Fatal(err)
	}
	f = f.Crash(faultfs.All())
	if !round(nil) {
		t.Error("after a kill there is no doubt")
	}
}
