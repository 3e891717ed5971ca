package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

// Another program renames files all the time. No message is missed or doubled,
// in any session, and each can be read and removed (faults 23, 24).
func TestForeignRenamer(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(testing.TB) disk{
		"os": osDisk, "fault": func(t testing.TB) disk { return memDisk(t, faultfs.New()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := make(t)
			const n = 400
			want := map[string]string{}
			for i := range n {
				uid := fmt.Sprintf("17%08d.M1P1.mx", i)
				want[uid] = letter(i)
				name := uid
				if i%2 == 0 {
					name = fmt.Sprintf("%s,S=%d,W=%d", uid, len(letter(i)), len(letter(i)))
				}
				d.plant(t, "new", name, letter(i))
			}
			var stop atomic.Bool
			done := renamer(t, d, &stop)
			s := d.mustOpen(t)
			for round := range 8 {
				b := mustBox(t, s)
				list := b.Messages()
				if len(list) != len(want) {
					t.Fatalf("round %d: %d messages, not %d", round, len(list), len(want))
				}
				for i := round; i < len(list); i += 37 {
					if text, err := get(t, b, i); err != nil || text != want[list[i].UID] {
						t.Fatalf("round %d: message %s is %q, %v", round, list[i].UID, text, err)
					}
				}
				for i := range 5 {
					delete(want, list[i].UID)
				}
				if err := b.Commit(t.Context(), []int{0, 1, 2, 3, 4}); err != nil {
					t.Fatal(err)
				}
				b.Close()
			}
			stop.Store(true)
			if renames := <-done; renames < 1000 {
				t.Logf("only %d renames", renames)
			}
		})
	}
}

// renamer moves the messages of alice to cur and changes their flags until stop.
func renamer(t *testing.T, d disk, stop *atomic.Bool) chan int {
	from, to := d.mailbox(t, "new"), d.mailbox(t, "cur")
	done := make(chan int, 1)
	go func() {
		n := 0
		for dirs := []fsx.Dir{from, to}; !stop.Load(); {
			for _, dir := range dirs {
				for name, err := range dir.Names() {
					if err != nil || stop.Load() {
						break
					}
					flags := ":2,S"
					if strings.HasSuffix(name, flags) {
						flags = ":2,"
					}
					base := name[:baseLen(name)]
					if dir.Move(name, to, base+flags) == nil {
						n++
					}
				}
			}
		}
		done <- n
	}()
	return done
}

// A move to cur or another flag in mid session changes nothing (fault 24), and
// a message that another program removes leaves the others as they are (25).
func TestForeignChangesInSession(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	for _, name := range []string{"1700000001.a", "1700000002.b", "1700000003.c"} {
		d.plant(t, "new", name, name+"\n")
	}
	s := d.mustOpen(t)
	b := mustBox(t, s)
	dir, cur := d.mailbox(t, "new"), d.mailbox(t, "cur")
	if err := errors.Join(dir.Move("1700000001.a", cur, "1700000001.a:2,S"), dir.Remove("1700000002.b")); err != nil {
		t.Fatal(err)
	}
	if text, err := get(t, b, 0); err != nil || text != "1700000001.a\n" {
		t.Errorf("a moved message is %q, %v", text, err)
	}
	if _, err := get(t, b, 1); !errors.Is(err, maildrop.ErrGone) {
		t.Errorf("a removed message gives %v", err)
	}
	if err := b.Commit(t.Context(), []int{0, 1}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if got := uidsOf(mustBox(t, s)); !slices.Equal(got, []string{"1700000003.c"}) {
		t.Errorf("%q are left", got)
	}
}

// A file that is rewritten in place is never sent under the old size, and the
// next session lists it right (fault 26).
func TestForeignRewrite(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "new", "1700000001.a", "one\ntwo\n")
	s := d.mustOpen(t)
	b := mustBox(t, s)
	f, err := d.mailbox(t, "new").OpenUpdate("1700000001.a", 0o600)
	if err == nil {
		_, err = f.WriteAt([]byte("three\nfour\nfive\n"), 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := get(t, b, 0); !errors.Is(err, maildrop.ErrDamaged) {
		t.Errorf("a rewritten message is %q, %v", text, err)
	}
	b.Close()
	b = mustBox(t, s)
	if text, err := get(t, b, 0); err != nil || b.Messages()[0].Size != 19 {
		t.Errorf("the next session lists %d octets and gives %q, %v", b.Messages()[0].Size, text, err)
	}
}

// Sizes in names: ours is a promise, a foreign one a hint that is corrected
// (fault 28, DESIGN "Sizes").
func TestSizesInNames(t *testing.T) {
	t.Parallel()
	our := namer{pid: 1}
	for _, c := range []struct {
		name       string
		listed     int64
		err        error
		nextListed int64
	}{
		{"1700000001.a,S=4,W=6", 6, nil, 6},
		{"1700000001.a,S=4,W=7", 7, nil, 6},
		{"1700000001.a,W=5", 5, nil, 6},
		{"1700000001.a,S=4,W=3", 6, nil, 6},
		{"1700000001.a,S=99", 6, nil, 6},
		{"1700000001.a,S=3,W=6", 6, maildrop.ErrDamaged, 6},
		{fileName(our.next(time.Now(), random()), 4, 6), 6, nil, 6},
		{fileName(our.next(time.Now(), random()), 4, 7), 7, maildrop.ErrDamaged, 7},
		{fileName(our.next(time.Now(), random()), 5, 7), 7, maildrop.ErrDamaged, 7},
	} {
		d := memDisk(t, faultfs.New())
		d.plant(t, "new", c.name, "a\nb\n")
		s := d.mustOpen(t)
		b := mustBox(t, s)
		text, err := get(t, b, 0)
		if b.Messages()[0].Size != c.listed || !errors.Is(err, c.err) || err == nil && text != "a\nb\n" {
			t.Errorf("%s: %d octets, %q, %v", c.name, b.Messages()[0].Size, text, err)
		}
		b.Close()
		for range 2 {
			if got := mustBox(t, s).(*box); got.list.msgs[0].Size != c.nextListed {
				t.Errorf("%s: the next session lists %d octets", c.name, got.list.msgs[0].Size)
			} else {
				got.Close()
			}
			s.Close()
			s = d.mustOpen(t)
		}
	}
}

// Names of any octets give UIDs that are valid, unique and stable (fault 35).
func TestAbsurdNames(t *testing.T) {
	t.Parallel()
	d := osDisk(t)
	for i, name := range []string{
		"new\nline", "esc\x1b[2J", "\xff\xfe", strings.Repeat("x", 255), strings.Repeat("y", 250) + ":2,S", "a b", ",", ",S=1", ":2,S",
		"x;2,S", "x2!2,S", "same,S=5", "same,S=4", "same", "-rf", "~", "%00", "'", `"`,
	} {
		sub := "new"
		if i%2 == 0 {
			sub = "cur"
		}
		d.plant(t, sub, name, fmt.Sprintf("%d\n", i))
	}
	read := func() map[string]string {
		s := d.mustOpen(t)
		b := mustBox(t, s)
		texts := map[string]string{}
		for i, m := range b.Messages() {
			text, err := get(t, b, i)
			if err != nil && !errors.Is(err, maildrop.ErrDamaged) {
				t.Error(err)
			}
			if texts[m.UID] != "" || !validUID(m.UID) {
				t.Errorf("the UID %q is not valid or not alone", m.UID)
			}
			texts[m.UID] = text
		}
		b.Close()
		s.Close()
		return texts
	}
	first := read()
	if len(first) != 19 {
		t.Errorf("%d messages, not 19", len(first))
	}
	d.lose(t, indexName)
	for uid, text := range read() {
		if first[uid] != text {
			t.Errorf("the UID %q was of %q and is of %q", uid, first[uid], text)
		}
	}
}

// Of messages with one unique name each keeps its UID when the others go, and
// nobody gets a UID that another had (fault 27).
func TestSameUniqueName(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "new", "dup", "1\n")
	d.plant(t, "cur", "dup:2,", "2\n")
	d.plant(t, "new", "dup,S=2", "3\n")
	d.plant(t, "new", "dup,S=2,W=3", "4\n")
	s := d.mustOpen(t)
	known := map[string]string{} // text by UID
	for left := 4; left > 0; left-- {
		b := mustBox(t, s)
		if len(b.Messages()) != left {
			t.Fatalf("%d messages, not %d", len(b.Messages()), left)
		}
		for i, m := range b.Messages() {
			text, err := get(t, b, i)
			if old, ok := known[m.UID]; err != nil || ok && old != text || !ok && left < 4 {
				t.Errorf("with %d left: %q is %q (%v), was %q", left, m.UID, text, err, old)
			}
			known[m.UID] = text
		}
		if err := b.Commit(t.Context(), []int{0}); err != nil {
			t.Fatal(err)
		}
		b.Close()
		s.Close()
		s = d.mustOpen(t)
	}
	d.plant(t, "new", "dup,S=1", "5\n")
	if m := mustBox(t, s).Messages(); len(m) != 1 || known[m[0].UID] != "" {
		t.Errorf("a UID is given again: %v", m)
	}
}

// One file with two names is one message, and both names go (fault 24).
func TestTwoNames(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "new", "a", "1\n")
	if err := d.mailbox(t, "new").Link("a", d.mailbox(t, "cur"), "a:2,"); err != nil {
		t.Fatal(err)
	}
	s := d.mustOpen(t)
	b := mustBox(t, s)
	if len(b.Messages()) != 1 {
		t.Fatalf("%d messages", len(b.Messages()))
	}
	if err := b.Commit(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if b = mustBox(t, s); len(b.Messages()) != 0 {
		t.Error("it is still there")
	}
}

// Links, pipes and directories are not followed, waited for or shown (fault 32).
func TestNotMessages(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	d := memDisk(t, f)
	d.plant(t, "new", "1700000001.good", "good\n")
	for name, mode := range map[string]fs.FileMode{
		"link": fs.ModeSymlink | 0o777, "pipe": fs.ModeNamedPipe | 0o600, "device": fs.ModeDevice | 0o600,
		"sized,S=1,W=2": fs.ModeNamedPipe | 0o600, "1700000002.sized,S=1,W=2": fs.ModeSymlink | 0o777,
	} {
		if err := f.Plant("mail/example.org/alice/new/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	b := mustBox(t, d.mustOpen(t))
	for i, m := range b.Messages() {
		text, err := get(t, b, i)
		if m.UID == "1700000001.good" && text != "good\n" || m.UID != "1700000001.good" && !errors.Is(err, maildrop.ErrDamaged) {
			t.Errorf("%s: %q, %v", m.UID, text, err)
		}
	}
	for _, planted := range []string{"mail/example.org/bob", "mail/linked.example"} {
		if err := f.Plant(planted, fs.ModeSymlink|0o777); err != nil {
			t.Fatal(err)
		}
	}
	s := disk{f.Root()}.mustOpen(t, func(o *Options) { o.State = dig(t, d.root, "mail") })
	for _, account := range []string{bob, "x@linked.example"} {
		if b, err := s.Open(t.Context(), account); err == nil {
			t.Errorf("%s opens, with %d messages", account, len(b.Messages()))
		}
	}
}

// The uids file is never replaced by another (DESIGN §4).
func TestLostUIDs(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	s := d.mustOpen(t)
	if err := s.Deliver(t.Context(), alice, maildrop.Incoming{UID: "imported"}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d.lose(t, uidsName)
		if _, err := s.Open(t.Context(), alice); !errors.Is(err, maildrop.ErrDamaged) || !strings.Contains(err.Error(), "example.org/alice/"+uidsName) {
			t.Errorf("without the file: %v", err)
		}
		s.Close()
		s = d.mustOpen(t)
	}
	d.plant(t, "", uidsName, "rubbish\n")
	if _, err := s.Open(t.Context(), alice); !errors.Is(err, maildrop.ErrDamaged) {
		t.Errorf("with a damaged file: %v", err)
	}
}

// Another server's lock is respected, and a lock file that was replaced is not
// taken for the lock (faults 20, 47).
func TestLockBetweenServers(t *testing.T) {
	t.Parallel()
	d := osDisk(t)
	d.mailbox(t, "")
	other, err := fsx.MakeDirs(d.root, 0o700, "other")
	if err != nil {
		t.Fatal(err)
	}
	a := d.mustOpen(t, func(o *Options) { o.pid = 4711 })
	b := d.mustOpen(t, func(o *Options) { o.State = other })
	held := mustBox(t, a)
	if _, err := b.Open(t.Context(), alice); !errors.Is(err, maildrop.ErrInUse) || !strings.Contains(err.Error(), "4711") {
		t.Errorf("another server gets %v", err)
	}
	held.Close()
	mustBox(t, b).Close()
	if _, err := d.open(); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("another server on the same state gets %v", err)
	}
}

// Leftovers in tmp go after 36 hours of steady time, not when a clock jumps,
// and never while a delivery writes them (faults 29, 45).
func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := faultfs.New()
		d := memDisk(t, f)
		s := d.mustOpen(t)
		d.plant(t, "tmp", "leftover", "x")
		pr, pw := io.Pipe()
		delivered := make(chan error)
		go func() { delivered <- s.Deliver(t.Context(), alice, maildrop.Incoming{}, pr) }()
		if _, err := pw.Write([]byte("Subject: slow\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		left := func() (names []string) {
			mustBox(t, s).Close()
			for name := range d.mailbox(t, "tmp").Names() {
				names = append(names, name)
			}
			return names
		}
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 2}, {35 * time.Hour, 2}, {2 * time.Hour, 2}, {30 * time.Minute, 2}, {31 * time.Minute, 1}, {48 * time.Hour, 1}} {
			time.Sleep(step.wait)
			if names := left(); len(names) != step.want {
				t.Errorf("after %v: %q", step.wait, names)
			}
		}
		pw.Close()
		if err := <-delivered; err != nil {
			t.Error(err)
		}
		if b := mustBox(t, s); len(b.Messages()) != 1 {
			t.Error("the slow message is not there")
		}
	})
}
