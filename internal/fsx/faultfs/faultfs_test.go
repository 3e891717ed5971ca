package faultfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// outcomes gives what read finds on each disk that a crash now may leave.
func outcomes(s *faultfs.FS, read func(d fsx.Dir) string) []string {
	seen := map[string]bool{}
	for left := range s.Crashes(200, 1) {
		seen[read(left.Root())] = true
	}
	var list []string
	for o := range seen {
		list = append(list, o)
	}
	slices.Sort(list)
	return list
}

// held reads the files named and tells "-" for one that is not there.
func held(names ...string) func(fsx.Dir) string {
	return func(d fsx.Dir) string {
		var list []string
		for _, name := range names {
			data, err := read(d, name)
			if errors.Is(err, fs.ErrNotExist) {
				data = "-"
			} else if err != nil {
				data = err.Error()
			}
			list = append(list, data)
		}
		return strings.Join(list, " ")
	}
}

func open(t *testing.T, d fsx.Dir, name string) fsx.File {
	t.Helper()
	f, err := d.OpenUpdate(name, 0o600)
	no(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestModel pins down what a crash may leave, as the package comment says.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(t *testing.T, d fsx.Dir)
		read func(fsx.Dir) string
		want []string
	}{
		{"file and name unsynced", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
		}, held("a"), []string{"", "-", "\x00", "x"}},
		{"name unsynced", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			no(t, open(t, d, "a").Sync())
		}, held("a"), []string{"-", "x"}},
		{"file unsynced", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			no(t, d.Sync())
		}, held("a"), []string{"", "\x00", "x"}},
		{"both synced", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			no(t, open(t, d, "a").SyncData())
			no(t, d.Sync())
		}, held("a"), []string{"x"}},
		{"disk synced, then a name", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			no(t, d.SyncDisk())
			no(t, d.Link("a", d, "b"))
		}, held("a", "b"), []string{"x -", "x x"}},
		{"two writes", func(t *testing.T, d fsx.Dir) {
			f := open(t, d, "a")
			no(t, d.Sync())
			for i, s := range []string{"x", "y"} {
				_, err := f.WriteAt([]byte(s), int64(i))
				no(t, err)
			}
		}, held("a"), []string{"", "\x00", "\x00\x00", "\x00y", "x", "x\x00", "xy"}},
		{"overwritten", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "old")
			f := open(t, d, "a")
			no(t, errors.Join(f.Sync(), d.Sync()))
			_, err := f.WriteAt([]byte("new"), 0)
			no(t, err)
		}, func(d fsx.Dir) string {
			s, err := read(d, "a")
			no(t, err)
			return map[bool]string{true: "whole", false: "torn"}[s == "old" || s == "new"] + fmt.Sprint(len(s))
		}, []string{"torn3", "whole3"}},
		{"truncated", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "abc")
			f := open(t, d, "a")
			no(t, errors.Join(f.Sync(), d.Sync(), f.Truncate(1)))
		}, held("a"), []string{"a", "abc"}},
		{"renamed without sync", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "old")
			no(t, open(t, d, "a").Sync())
			put(t, d, "b", "n")
			no(t, d.Sync())
			no(t, d.Replace("b", "a"))
		}, held("a", "b"), []string{" -", "\x00 -", "n -", "old ", "old \x00", "old n"}},
		{"renamed with sync", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "old")
			put(t, d, "b", "new")
			no(t, errors.Join(open(t, d, "a").Sync(), open(t, d, "b").Sync(), d.Sync(), d.Replace("b", "a")))
		}, held("a", "b"), []string{"new -", "old new"}},
		{"removed", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			put(t, d, "b", "y")
			no(t, errors.Join(open(t, d, "a").Sync(), open(t, d, "b").Sync(), d.Sync(), d.Remove("a"), d.Remove("b")))
		}, held("a", "b"), []string{"- -", "- y", "x -", "x y"}},
		{"removed and made again", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "1")
			no(t, errors.Join(open(t, d, "a").Sync(), d.Sync(), d.Remove("a")))
			put(t, d, "a", "2")
			no(t, open(t, d, "a").Sync())
		}, held("a"), []string{"-", "1", "2"}},
		{"moved within", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			no(t, errors.Join(open(t, d, "a").Sync(), d.Sync(), d.Move("a", d, "b")))
		}, held("a", "b"), []string{"- x", "x -", "x x"}},
		{"moved within and synced", func(t *testing.T, d fsx.Dir) {
			put(t, d, "a", "x")
			no(t, errors.Join(open(t, d, "a").Sync(), d.Move("a", d, "b"), d.Sync()))
		}, held("a", "b"), []string{"- x"}},
		{"file lost with its directory", func(t *testing.T, d fsx.Dir) {
			no(t, d.Mkdir("sub", 0o700))
			sub, err := d.Dir("sub")
			no(t, err)
			put(t, sub, "a", "x")
			no(t, errors.Join(open(t, sub, "a").Sync(), sub.Sync()))
		}, subHeld, []string{"no sub", "x"}},
		{"directory made durable", func(t *testing.T, d fsx.Dir) {
			sub, err := fsx.MakeDirs(d, 0o700, "sub")
			no(t, err)
			put(t, sub, "a", "x")
			no(t, errors.Join(open(t, sub, "a").Sync(), sub.Sync()))
		}, subHeld, []string{"x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := faultfs.New()
			c.do(t, s.Root())
			slices.Sort(c.want)
			if got := outcomes(s, c.read); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func subHeld(d fsx.Dir) string {
	sub, err := d.Dir("sub")
	if err != nil {
		return "no sub"
	}
	return held("a")(sub)
}

// A move between directories is never lost, and each sync does its half.
func TestModelMove(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sync string
		want []string
	}{
		{"", []string{"- x", "x -", "x x"}},
		{"from", []string{"- x", "x -", "x x"}},
		{"to", []string{"- x", "x x"}},
		{"from to", []string{"- x", "x x"}},
		{"to from", []string{"- x"}},
	} {
		t.Run(c.sync, func(t *testing.T) {
			t.Parallel()
			s := faultfs.New()
			dirs := map[string]fsx.Dir{}
			for _, name := range []string{"from", "to"} {
				var err error
				dirs[name], err = fsx.MakeDirs(s.Root(), 0o700, name)
				no(t, err)
			}
			put(t, dirs["from"], "a", "x")
			no(t, errors.Join(open(t, dirs["from"], "a").Sync(), dirs["from"].Sync()))
			no(t, dirs["from"].Move("a", dirs["to"], "b"))
			for name := range strings.FieldsSeq(c.sync) {
				no(t, dirs[name].Sync())
			}
			got := outcomes(s, func(d fsx.Dir) string {
				from, err := d.Dir("from")
				no(t, err)
				to, err := d.Dir("to")
				no(t, err)
				return held("a")(from) + " " + held("b")(to)
			})
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// A failed sync loses what it should have made durable, for good, while
// programs go on seeing it: a second sync proves nothing.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	d := s.Root()
	put(t, d, "a", "old")
	f := open(t, d, "a")
	no(t, errors.Join(f.Sync(), d.Sync()))
	_, err := f.WriteAt([]byte("new"), 0)
	no(t, err)
	put(t, d, "b", "")
	failNext(s, syscall.EIO)
	is(t, "Sync", f.Sync(), syscall.EIO)
	failNext(s, syscall.EIO)
	is(t, "Sync of the directory", d.Sync(), syscall.EIO)
	no(t, errors.Join(f.Sync(), d.Sync()))
	if got := held("a", "b")(d); got != "new " {
		t.Errorf("programs see %q", got)
	}
	if got := outcomes(s, held("a", "b")); !slices.Equal(got, []string{"old -"}) {
		t.Errorf("a crash leaves %q", got)
	}
}

// failNext makes the next operation fail.
func failNext(s *faultfs.FS, err error) { s.FailAt(len(s.Ops())+1, err) }

func TestFailures(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	d := s.Root()
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.EIO, syscall.EDQUOT, syscall.ENOSPC, syscall.EINTR} {
		failNext(s, errno)
		_, err := d.Create("a", 0o600)
		is(t, "Create", err, errno)
		full := errno == syscall.EDQUOT || errno == syscall.ENOSPC
		if errors.Is(err, fsx.ErrNoSpace) != full {
			t.Errorf("%v matches ErrNoSpace: %t", err, !full)
		}
	}
	same(t, names(t, d))
	f := open(t, d, "a")
	failNext(s, faultfs.Partial{N: 2, Err: syscall.ENOSPC})
	n, err := f.Write([]byte("abcd"))
	if n != 2 || !errors.Is(err, fsx.ErrNoSpace) || get(t, d, "a") != "ab" {
		t.Errorf("a write in part: %d, %v, %q", n, err, get(t, d, "a"))
	}
	failNext(s, syscall.EIO)
	for _, err := range d.Names() {
		is(t, "Names", err, syscall.EIO)
	}
	failNext(s, syscall.EIO)
	is(t, "Close", f.Close(), syscall.EIO)
	is(t, "Close", f.Close(), fs.ErrClosed)
}

// From the crash on nothing works, for nobody; the disk stays, locks do not.
func TestCrashAt(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	d := s.Root()
	f := open(t, d, "a")
	locked(t, f, true)
	no(t, d.Sync())
	s.CrashAt(len(s.Ops()) + 1)
	_, err := f.Write([]byte("x"))
	is(t, "Write", err, faultfs.ErrCrashed)
	is(t, "Sync", d.Sync(), faultfs.ErrCrashed)
	_, err = s.Foreign().Open("a")
	is(t, "Open by another program", err, faultfs.ErrCrashed)

	before, after := s.Crash(faultfs.None()), s.Crash(faultfs.All())
	for _, left := range []*faultfs.FS{before, after} {
		g := open(t, left.Root(), "a")
		locked(t, g, true)
		if got := get(t, left.Root(), "a"); got != "" {
			t.Errorf("%s: %q", left.Origin(), got)
		}
		put(t, left.Root(), "b", "")
	}
}

func TestInodeNumbers(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	d := s.Root()
	inode := func(d fsx.Dir, name string) uint64 {
		info, err := d.Stat(name)
		no(t, err)
		return info.Inode
	}
	put(t, d, "a", "")
	put(t, d, "b", "")
	put(t, d, "c", "")
	no(t, errors.Join(d.Link("c", d, "c2"), d.Sync(), d.Remove("b"), d.Sync()))
	a, c := inode(d, "a"), inode(d, "c")
	left := s.Crash(faultfs.None()).Root()
	if inode(left, "a") != a || inode(left, "c") != c || inode(left, "c2") != c {
		t.Error("numbers changed over a crash")
	}
	put(t, left, "n", "")
	if n := inode(left, "n"); n == a || n == c || n > c {
		t.Errorf("a new file has number %d beside %d and %d: the free one was not given out again", n, a, c)
	}
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	d := s.Root()
	s.SetCapacity(10, 4)
	f := open(t, d, "reserved")
	no(t, f.Allocate(4))
	g := open(t, d, "other")
	n, err := g.Write([]byte("1234567"))
	if n != 6 || !errors.Is(err, fsx.ErrNoSpace) {
		t.Errorf("a write on a disk that fills up: %d, %v", n, err)
	}
	_, err = f.WriteAt([]byte("full"), 0)
	no(t, err)
	_, err = f.WriteAt([]byte("more"), 4)
	is(t, "behind the reserved space", err, fsx.ErrNoSpace)
	is(t, "Allocate", f.Allocate(5), fsx.ErrNoSpace)
	put(t, d, "last", "")
	is(t, "Mkdir", d.Mkdir("dir", 0o700), fsx.ErrNoSpace)
	_, err = d.Create("file", 0o600)
	is(t, "Create", err, fsx.ErrNoSpace)

	no(t, d.Remove("other"))
	is(t, "while the removed file is open", d.Mkdir("dir", 0o700), fsx.ErrNoSpace)
	no(t, g.Close())
	no(t, d.Mkdir("dir", 0o700))
	if octets, inodes := s.Used(); octets != 4 || inodes != 4 {
		t.Errorf("%d octets and %d inodes in use", octets, inodes)
	}
	no(t, errors.Join(f.Sync(), d.Sync()))
	if octets, inodes := s.Crash(faultfs.None()).Used(); octets != 4 || inodes != 4 {
		t.Errorf("after a crash %d octets and %d inodes in use", octets, inodes)
	}
}

// Renaming while a directory is read can hide a name or show it twice, and the
// hook can bring that about.
func TestNamesWhileRenaming(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for i := range 40 {
		s := faultfs.New()
		d := s.Root()
		old := fmt.Sprint("a:", i, ":2,")
		for _, name := range []string{old, "b", "c", "d"} {
			put(t, d, name, "")
		}
		reads := 0
		s.Before(func(op faultfs.Op) {
			if reads++; reads == 3 { // two names are read
				no(t, s.Foreign().Move(old, s.Foreign(), old+"S"))
			}
		})
		count := 0
		for name, err := range d.Names() {
			no(t, err)
			if name[0] == 'a' {
				count++
			}
		}
		seen[count] = true
	}
	if !seen[0] || !seen[1] || !seen[2] {
		t.Errorf("of a renamed name so many were seen: %v", seen)
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	other := s.Foreign()
	s.FailWhen(func(faultfs.Op) error { return syscall.EIO })
	s.Before(func(op faultfs.Op) { put(t, other, fmt.Sprint("f", op.N), "x") })
	_, err := s.Root().Open("f1")
	is(t, "Open", err, syscall.EIO)
	same(t, names(t, other), "f1")
	if ops := s.Ops(); len(ops) != 1 || ops[0].String() != "   1 open f1: input/output error" {
		t.Errorf("%v", ops)
	}
	if got := outcomes(s, held("f1")); !slices.Equal(got, []string{"", "\x00", "-", "x"}) {
		t.Errorf("a crash leaves %q of another program's file", got)
	}
}

// A directory that cannot have looked as it does has a time that nobody saw.
func TestTimesAfterCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testTimesAfterCrash)
}

func testTimesAfterCrash(t *testing.T) {
	s := faultfs.New()
	d := s.Root()
	empty, err := d.Self()
	no(t, err)
	time.Sleep(time.Second)
	put(t, d, "a", "")
	one, err := d.Self()
	no(t, err)
	time.Sleep(time.Second)
	put(t, d, "b", "")
	two, err := d.Self()
	no(t, err)
	for left := range s.Crashes(100, 1) {
		info, err := left.Root().Self()
		no(t, err)
		var want time.Time
		switch list := names(t, left.Root()); {
		case len(list) == 0:
			want = empty.ModTime
		case slices.Equal(list, []string{"a"}):
			want = one.ModTime
		case len(list) == 2:
			want = two.ModTime
		default:
			if info.ModTime.Equal(two.ModTime) || info.ModTime.Equal(one.ModTime) {
				t.Errorf("%v: b alone at a time when it was not", left.Origin())
			}
			continue
		}
		if !info.ModTime.Equal(want) {
			t.Errorf("%v: time is %v, want %v", left.Origin(), info.ModTime, want)
		}
	}
}

func TestChoices(t *testing.T) {
	t.Parallel()
	s := faultfs.New()
	if n := len(s.Choices(100, 1)); n != 1 {
		t.Errorf("%d choices where nothing is unsynced", n)
	}
	for i := range 20 {
		put(t, s.Root(), fmt.Sprint(i), "contents")
	}
	for _, limit := range []int{0, 2, 10, 1000} {
		list := s.Choices(limit, 7)
		if len(list) > max(2, limit) || len(list) < min(2, limit) {
			t.Errorf("%d choices, at most %d wanted", len(list), limit)
		}
		if list[0].String() != faultfs.None().String() || list[1].String() != faultfs.All().String() {
			t.Errorf("of %d: %v and %v first", limit, list[0], list[1])
		}
		again := s.Choices(limit, 7)
		for i := range list {
			if a, b := s.Crash(list[i]).Tree(), s.Crash(again[i]).Tree(); list[i].String() != again[i].String() || a != b {
				t.Fatalf("the same seed gives %v and %v", list[i], again[i])
			}
		}
	}
}
