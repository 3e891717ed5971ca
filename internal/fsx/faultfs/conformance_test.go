package faultfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// A disk is one of the two things that must mean the same.
type disk struct {
	root fsx.Dir
	link func(t *testing.T, name string) // plants a link to "target"
}

// TestConformance runs the same table on the disk of the system and on faultfs,
// so that what is proved on the one is true of the other.
func TestConformance(t *testing.T) {
	t.Parallel()
	disks := map[string]func(t *testing.T) disk{"os": osDisk, "faultfs": memDisk}
	for name, makeDisk := range disks {
		for _, c := range slices.Concat(dirCases, fileCases) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, makeDisk(t))
			})
		}
	}
}

func osDisk(t *testing.T) disk {
	path := t.TempDir()
	root, err := fsx.Open(path)
	no(t, err)
	t.Cleanup(func() { no(t, root.Close()) })
	return disk{root, func(t *testing.T, name string) {
		no(t, os.Symlink("target", filepath.Join(path, name)))
	}}
}

func memDisk(*testing.T) disk {
	s := faultfs.New()
	return disk{s.Root(), func(t *testing.T, name string) {
		no(t, s.Plant(name, fs.ModeSymlink|0o777))
	}}
}

type conformCase struct {
	name string
	run  func(t *testing.T, d disk)
}

var dirCases = []conformCase{
	{"bad names", func(t *testing.T, d disk) {
		put(t, d.root, "ok", "")
		no(t, d.root.Mkdir("sub", 0o700))
		for _, bad := range []string{"", ".", "..", "/", "a/b", "/etc", "../ok", "sub/..", "ok/", "a\x00", "\x00"} {
			for op, err := range everyCall(d.root, bad) {
				is(t, op+" "+bad, err, fsx.ErrName)
				var pe *fs.PathError
				if !errors.As(err, &pe) {
					t.Errorf("%s: %T is not an *fs.PathError", op, err)
				}
			}
		}
	}},
	{"odd names", func(t *testing.T, d disk) {
		for _, name := range []string{"...", " ", "a\nb", "\x1b[31m", "\xff\xfe", strings.Repeat("x", 255)} {
			put(t, d.root, name, name)
			if got := get(t, d.root, name); got != name {
				t.Errorf("%q holds %q", name, got)
			}
		}
	}},
	{"missing", func(t *testing.T, d disk) {
		for op, err := range everyCall(d.root, "missing") {
			if !strings.HasPrefix(op, "to:") && !strings.HasPrefix(op, "make:") {
				is(t, op, err, fs.ErrNotExist)
			}
		}
	}},
	{"links are not followed", func(t *testing.T, d disk) {
		no(t, d.root.Mkdir("target", 0o700))
		d.link(t, "todir")
		_, err := d.root.Dir("todir")
		is(t, "Dir of a link to a directory", err, syscall.ENOTDIR)
		_, err = d.root.Open("todir")
		is(t, "Open of a link to a directory", err, fsx.ErrNotRegular)
	}},
	{"links to files are not followed", func(t *testing.T, d disk) {
		put(t, d.root, "target", "secret")
		d.link(t, "l")
		notRegular(t, d.root, "l")
		_, err := d.root.Create("l", 0o600)
		is(t, "Create", err, fs.ErrExist)
		info, err := d.root.Stat("l")
		no(t, err)
		if info.Mode.Type() != fs.ModeSymlink {
			t.Errorf("Stat gives %v", info.Mode)
		}
		no(t, d.root.Remove("l"))
		if get(t, d.root, "target") != "secret" {
			t.Error("Remove went through the link")
		}
	}},
	{"dangling links are not followed", func(t *testing.T, d disk) {
		d.link(t, "l")
		notRegular(t, d.root, "l")
		_, err := d.root.Stat("target")
		is(t, "what the link points to", err, fs.ErrNotExist)
	}},
	{"directories", func(t *testing.T, d disk) {
		no(t, d.root.Mkdir("sub", 0o700))
		is(t, "Mkdir again", d.root.Mkdir("sub", 0o700), fs.ErrExist)
		notRegular(t, d.root, "sub")
		_, err := d.root.Create("sub", 0o600)
		is(t, "Create", err, fs.ErrExist)
		is(t, "Remove", d.root.Remove("sub"), fsx.ErrNotRegular)
		is(t, "Link", d.root.Link("sub", d.root, "x"), fs.ErrPermission)
		put(t, d.root, "f", "")
		is(t, "Replace", d.root.Replace("f", "sub"), fsx.ErrNotRegular)
		_, err = d.root.Dir("f")
		is(t, "Dir of a file", err, syscall.ENOTDIR)
		sub, err := d.root.Dir("sub")
		no(t, err)
		put(t, sub, "f", "below")
		no(t, sub.Sync())
		if err := sub.SyncDisk(); err != nil {
			is(t, "SyncDisk", err, errors.ErrUnsupported)
		}
		info, err := d.root.Stat("sub")
		no(t, err)
		self, err := sub.Self()
		no(t, err)
		if !info.Mode.IsDir() || info.Mode.Perm() != 0o700 || self.Inode != info.Inode {
			t.Errorf("Stat %+v, Self %+v", info, self)
		}
		no(t, sub.Close())
		_, err = sub.Open("f")
		is(t, "Open in a closed directory", err, fs.ErrClosed)
		is(t, "Sync of a closed directory", sub.Sync(), fs.ErrClosed)
		is(t, "SyncDisk of a closed directory", sub.SyncDisk(), fs.ErrClosed)
		is(t, "Close twice", sub.Close(), fs.ErrClosed)
	}},
	{"link", func(t *testing.T, d disk) {
		put(t, d.root, "a", "1")
		put(t, d.root, "b", "2")
		no(t, d.root.Link("a", d.root, "c"))
		is(t, "name taken", d.root.Link("a", d.root, "b"), fs.ErrExist)
		is(t, "itself", d.root.Link("a", d.root, "a"), fs.ErrExist)
		a, err := d.root.Stat("a")
		no(t, err)
		c, err := d.root.Stat("c")
		no(t, err)
		if a.Links != 2 || a.Inode != c.Inode || get(t, d.root, "b") != "2" {
			t.Errorf("%+v %+v", a, c)
		}
		no(t, d.root.Remove("a"))
		if get(t, d.root, "c") != "1" {
			t.Error("the second name went with the first")
		}
	}},
	{"move", func(t *testing.T, d disk) {
		no(t, d.root.Mkdir("new", 0o700))
		sub, err := d.root.Dir("new")
		no(t, err)
		defer sub.Close()
		put(t, d.root, "a", "1")
		put(t, sub, "b", "2")
		before, err := d.root.Stat("a")
		no(t, err)
		is(t, "name taken", d.root.Move("a", sub, "b"), fs.ErrExist)
		is(t, "itself", d.root.Move("a", d.root, "a"), fs.ErrExist)
		if get(t, d.root, "a") != "1" || get(t, sub, "b") != "2" {
			t.Error("a refused Move moved")
		}
		no(t, d.root.Move("a", sub, "c"))
		after, err := sub.Stat("c")
		no(t, err)
		if after.Inode != before.Inode || after.Links != 1 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		same(t, names(t, d.root), "new")
		same(t, names(t, sub), "b", "c")
	}},
	{"replace", func(t *testing.T, d disk) {
		put(t, d.root, "a", "1")
		put(t, d.root, "b", "2")
		old, err := d.root.Open("b")
		no(t, err)
		defer old.Close()
		no(t, d.root.Replace("a", "b"))
		same(t, names(t, d.root), "b")
		if get(t, d.root, "b") != "1" || all(t, old) != "2" {
			t.Error("wrong contents")
		}
		no(t, d.root.Replace("b", "fresh"))
		no(t, d.root.Link("fresh", d.root, "twin"))
		no(t, d.root.Replace("fresh", "twin")) // POSIX: nothing happens
		same(t, names(t, d.root), "fresh", "twin")
	}},
	{"removed but open", func(t *testing.T, d disk) {
		f, err := d.root.Create("a", 0o600)
		no(t, err)
		_, err = f.Write([]byte("12"))
		no(t, err)
		no(t, d.root.Remove("a"))
		_, err = f.WriteAt([]byte("3"), 2)
		no(t, err)
		info, err := f.Stat()
		no(t, err)
		if info.Links != 0 || info.Size != 3 {
			t.Errorf("%+v", info)
		}
		no(t, f.Close())
		same(t, names(t, d.root))
	}},
	{"times of a directory", func(t *testing.T, d disk) {
		put(t, d.root, "a", "1")
		no(t, d.root.Mkdir("clock", 0o700))
		clock, err := d.root.Dir("clock")
		no(t, err)
		defer clock.Close()
		changed(t, d.root, clock, true, "Create", func() { put(t, d.root, "b", "2") })
		changed(t, d.root, clock, true, "Link", func() { no(t, d.root.Link("a", d.root, "c")) })
		changed(t, d.root, clock, true, "Move", func() { no(t, d.root.Move("c", d.root, "d")) })
		changed(t, d.root, clock, true, "Replace", func() { no(t, d.root.Replace("b", "d")) })
		changed(t, d.root, clock, true, "Remove", func() { no(t, d.root.Remove("d")) })
		changed(t, d.root, clock, true, "Mkdir", func() { no(t, d.root.Mkdir("e", 0o700)) })
		changed(t, d.root, clock, false, "writing in place", func() {
			f, err := d.root.OpenUpdate("a", 0)
			no(t, err)
			_, err = f.Write([]byte("x"))
			no(t, errors.Join(err, f.Close()))
		})
		changed(t, d.root, clock, false, "a failed Link", func() { d.root.Link("a", d.root, "a") })
	}},
	{"another disk", func(t *testing.T, d disk) {
		put(t, d.root, "a", "1")
		is(t, "Link", d.root.Link("a", otherDir{d.root}, "b"), syscall.EXDEV)
		is(t, "Move", d.root.Move("a", otherDir{d.root}, "b"), syscall.EXDEV)
	}},
	{"names", func(t *testing.T, d disk) {
		same(t, names(t, d.root))
		var want []string
		for _, c := range "abcdefghij" {
			put(t, d.root, string(c), "")
			want = append(want, string(c))
		}
		same(t, names(t, d.root), want...)
		for range d.root.Names() {
			break // must not hang or leak
		}
		same(t, names(t, d.root), want...)
	}},
	{"MakeDirs", func(t *testing.T, d disk) {
		for range 2 {
			sub, err := fsx.MakeDirs(d.root, 0o700, "a", "b", "c")
			no(t, err)
			self, err := sub.Self()
			no(t, err)
			if !self.Mode.IsDir() {
				t.Error("no directory")
			}
			no(t, sub.Close())
		}
		put(t, d.root, "f", "")
		_, err := fsx.MakeDirs(d.root, 0o700, "f", "x")
		is(t, "through a file", err, syscall.ENOTDIR)
		_, err = fsx.MakeDirs(d.root, 0o700, "a", "..", "x")
		is(t, "upwards", err, fsx.ErrName)
		_, err = fsx.MakeDirs(d.root, 0o700)
		is(t, "nothing", err, fsx.ErrName)
		d.link(t, "l")
		_, err = fsx.MakeDirs(d.root, 0o700, "l", "x")
		is(t, "through a link", err, syscall.ENOTDIR)
	}},
	{"WriteFile", func(t *testing.T, d disk) {
		put(t, d.root, "f.tmp", "what a crash left, and long")
		for _, data := range []string{"first", "second", ""} {
			no(t, fsx.WriteFile(d.root, "f", []byte(data), 0o600))
			if got := get(t, d.root, "f"); got != data {
				t.Errorf("holds %q, want %q", got, data)
			}
			same(t, names(t, d.root), "f")
		}
		is(t, "a path", fsx.WriteFile(d.root, "a/b", nil, 0o600), fsx.ErrName)
		is(t, "no name", fsx.WriteFile(d.root, "", nil, 0o600), fsx.ErrName)
		no(t, d.root.Mkdir("dir", 0o700))
		is(t, "a directory", fsx.WriteFile(d.root, "dir", nil, 0o600), fsx.ErrNotRegular)
		same(t, names(t, d.root), "dir", "f")
	}},
}

var fileCases = []conformCase{
	{"create and read", func(t *testing.T, d disk) {
		f, err := d.root.Create("a", 0o640)
		no(t, err)
		defer f.Close()
		_, err = d.root.Create("a", 0o600)
		is(t, "Create again", err, fs.ErrExist)
		n, err := f.Write([]byte("hello "))
		no(t, err)
		if n != 6 {
			t.Errorf("Write gave %d", n)
		}
		_, err = io.WriteString(f, "world")
		no(t, err)
		no(t, f.Sync())
		no(t, f.SyncData())
		info, err := f.Stat()
		no(t, err)
		named, err := d.root.Stat("a")
		no(t, err)
		if info != named || info.Size != 11 || info.Links != 1 || info.Mode != 0o640 {
			t.Errorf("of the file %+v, of the name %+v", info, named)
		}
		if got := get(t, d.root, "a"); got != "hello world" {
			t.Errorf("%q", got)
		}
	}},
	{"read", func(t *testing.T, d disk) {
		put(t, d.root, "a", "0123456789")
		f, err := d.root.Open("a")
		no(t, err)
		defer f.Close()
		buf := make([]byte, 4)
		for _, want := range []string{"0123", "4567", "89"} {
			n, err := f.Read(buf)
			no(t, err)
			if string(buf[:n]) != want {
				t.Errorf("Read %q, want %q", buf[:n], want)
			}
		}
		n, err := f.Read(buf)
		if n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
		n, err = f.Read(nil)
		if n != 0 || err != nil {
			t.Errorf("nothing at the end: %d, %v", n, err)
		}
		n, err = f.ReadAt(buf, 8)
		if n != 2 || err != io.EOF || string(buf[:n]) != "89" {
			t.Errorf("ReadAt over the end: %d, %v", n, err)
		}
		n, err = f.ReadAt(buf, 100)
		if n != 0 || err != io.EOF {
			t.Errorf("ReadAt behind the end: %d, %v", n, err)
		}
		_, err = f.ReadAt(buf, -1)
		is(t, "ReadAt before the start", err, syscall.EINVAL)
	}},
	{"read only", func(t *testing.T, d disk) {
		put(t, d.root, "a", "1")
		f, err := d.root.Open("a")
		no(t, err)
		defer f.Close()
		_, err = f.Write([]byte("x"))
		is(t, "Write", err, syscall.EBADF)
		_, err = f.WriteAt([]byte("x"), 0)
		is(t, "WriteAt", err, syscall.EBADF)
		if f.Truncate(0) == nil {
			t.Error("Truncate went through")
		}
		is(t, "Allocate", f.Allocate(10), syscall.EBADF)
		no(t, f.Sync())
	}},
	{"append", func(t *testing.T, d disk) {
		f, err := d.root.OpenAppend("a", 0o600)
		no(t, err)
		defer f.Close()
		g, err := d.root.OpenAppend("a", 0o600)
		no(t, err)
		defer g.Close()
		for _, w := range []io.Writer{f, g, f} {
			_, err := io.WriteString(w, "ab")
			no(t, err)
		}
		_, err = f.WriteAt([]byte("x"), 0)
		is(t, "WriteAt", err, errors.ErrUnsupported)
		buf := make([]byte, 6)
		_, err = g.ReadAt(buf, 0)
		no(t, err)
		if string(buf) != "ababab" {
			t.Errorf("%q", buf)
		}
		no(t, f.Truncate(1))
		_, err = g.Write([]byte("z"))
		no(t, err)
		if got := get(t, d.root, "a"); got != "az" {
			t.Errorf("%q", got)
		}
	}},
	{"update", func(t *testing.T, d disk) {
		f, err := d.root.OpenUpdate("a", 0o600)
		no(t, err)
		_, err = f.WriteAt([]byte("tail"), 6)
		no(t, err)
		_, err = f.WriteAt([]byte("x"), -1)
		is(t, "before the start", err, syscall.EINVAL)
		no(t, f.Close())
		f, err = d.root.OpenUpdate("a", 0o600)
		no(t, err)
		_, err = f.Write([]byte("he"))
		no(t, err)
		no(t, f.Close())
		if got := get(t, d.root, "a"); got != "he\x00\x00\x00\x00tail" {
			t.Errorf("%q", got)
		}
	}},
	{"truncate", func(t *testing.T, d disk) {
		f, err := d.root.Create("a", 0o600)
		no(t, err)
		defer f.Close()
		_, err = f.Write([]byte("secret"))
		no(t, err)
		no(t, f.Truncate(2))
		no(t, f.Truncate(4))
		if got := get(t, d.root, "a"); got != "se\x00\x00" {
			t.Errorf("%q", got)
		}
		is(t, "negative", f.Truncate(-1), syscall.EINVAL)
	}},
	{"allocate", func(t *testing.T, d disk) {
		f, err := d.root.Create("a", 0o600)
		no(t, err)
		defer f.Close()
		_, err = f.Write([]byte("kept"))
		no(t, err)
		no(t, f.Allocate(8))
		no(t, f.Allocate(3)) // never shrinks
		if got := get(t, d.root, "a"); got != "kept\x00\x00\x00\x00" {
			t.Errorf("%q", got)
		}
	}},
	{"lock", func(t *testing.T, d disk) {
		f, err := d.root.OpenUpdate("lock", 0o600)
		no(t, err)
		g, err := d.root.OpenUpdate("lock", 0o600)
		no(t, err)
		locked(t, f, true)
		locked(t, f, true) // has it
		locked(t, g, false)
		no(t, f.Close())
		locked(t, g, true)
		h, err := d.root.Open("lock")
		no(t, err)
		locked(t, h, false)
		no(t, g.Close())
		locked(t, h, true)
		no(t, h.Close())
	}},
	{"modification time", func(t *testing.T, d disk) {
		put(t, d.root, "a", "1")
		f, err := d.root.OpenUpdate("a", 0o600)
		no(t, err)
		defer f.Close()
		want := time.Unix(1_000_000_000, 123_000)
		no(t, f.SetModTime(want))
		info, err := d.root.Stat("a")
		no(t, err)
		if !info.ModTime.Equal(want) || info.Changed.Before(want.AddDate(1, 0, 0)) {
			t.Errorf("mtime %v, ctime %v", info.ModTime, info.Changed)
		}
	}},
	{"closed", func(t *testing.T, d disk) {
		f, err := d.root.Create("a", 0o600)
		no(t, err)
		no(t, f.Close())
		is(t, "Close", f.Close(), fs.ErrClosed)
		_, err = f.Write([]byte("x"))
		is(t, "Write", err, fs.ErrClosed)
		_, err = f.ReadAt(make([]byte, 1), 0)
		is(t, "ReadAt", err, fs.ErrClosed)
		is(t, "Sync", f.Sync(), fs.ErrClosed)
		_, err = f.TryLock()
		is(t, "TryLock", err, fs.ErrClosed)
	}},
	{"file outlives its directory handle", func(t *testing.T, d disk) {
		no(t, d.root.Mkdir("sub", 0o700))
		sub, err := d.root.Dir("sub")
		no(t, err)
		f, err := sub.Create("a", 0o600)
		no(t, err)
		no(t, sub.Close())
		_, err = f.Write(bytes.Repeat([]byte("x"), 100_000))
		no(t, err)
		no(t, f.Close())
	}},
}
