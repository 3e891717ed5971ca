package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory of many names is read whole, over several calls of the kernel.
func TestNamesOfLargeDirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	want := []string{"first"}
	if err := os.WriteFile(filepath.Join(path, "first"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		name := fmt.Sprintf("1700000000.M%dP1.host,S=%d,W=%d", i, i, i)
		if i%7 == 0 {
			name = fmt.Sprint(i)
		}
		want = append(want, name)
		if err := os.Link(filepath.Join(path, "first"), filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got []string
	for name, err := range d.Names() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("got %d names, want %d", len(got), len(want))
	}
}

// A pipe, a socket and a device are refused, and without waiting.
func TestOnlyRegularFiles(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(path, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// A relative path could not be parallel, and the absolute one may be too
	// long for a socket: go through the descriptor of the directory.
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	addr := &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/socket", dir.Fd())}
	if err := unix.Bind(fd, addr); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"pipe", "socket"} {
		for op, open := range map[string]func() (File, error){
			"Open":       func() (File, error) { return d.Open(name) },
			"OpenAppend": func() (File, error) { return d.OpenAppend(name, 0o600) },
			"OpenUpdate": func() (File, error) { return d.OpenUpdate(name, 0o600) },
		} {
			if _, err := open(); !errors.Is(err, ErrNotRegular) {
				t.Errorf("%s(%s): %v, want ErrNotRegular", op, name, err)
			}
		}
	}
}

// Quota and full disk are the same to a caller, and both keep their number.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		err := PathError("write", "x", errno)
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, errno) {
			t.Errorf("%v matches ErrNoSpace: %t, itself: %t", err, errors.Is(err, ErrNoSpace), errors.Is(err, errno))
		}
	}
	if errors.Is(PathError("write", "x", unix.EIO), ErrNoSpace) {
		t.Error("EIO matches ErrNoSpace")
	}
}

// fill stands in where a file system cannot preallocate.
func TestFill(t *testing.T) {
	t.Parallel()
	const size = 300<<10 + 1
	for name, hole := range map[string]int64{"update": 100 << 10, "append": 4} {
		path := t.TempDir()
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		open := d.OpenUpdate
		if name == "append" {
			open = d.OpenAppend
		}
		f, err := open("f", 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write([]byte("head")); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(hole); err != nil {
			t.Fatal(err)
		}
		of := f.(*osFile)
		if err := of.fill(of.fd, size); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(path, "f"), &st); err != nil {
			t.Fatal(err)
		}
		if st.Size != size || st.Blocks*512 < size {
			t.Errorf("%s: size %d, allocated %d, want %d", name, st.Size, st.Blocks*512, size)
		}
		got, err := os.ReadFile(filepath.Join(path, "f"))
		if err != nil {
			t.Fatal(err)
		}
		if want := append([]byte("head"), make([]byte, size-4)...); !slices.Equal(got, want) {
			t.Errorf("%s: contents changed", name)
		}
	}
}

// moveByLink stands in where a file system cannot rename without replacing.
func TestMoveByLink(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDir(unix.AT_FDCWD, path, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := moveByLink(d.fd, "a", d.fd, "b"); err != unix.EEXIST {
		t.Errorf("name taken: %v", err)
	}
	if err := moveByLink(d.fd, "a", d.fd, "c"); err != nil {
		t.Error(err)
	}
	var got []string
	for name := range d.Names() {
		data, err := os.ReadFile(filepath.Join(path, name))
		got = append(got, fmt.Sprint(name, "=", string(data), err))
	}
	slices.Sort(got)
	if want := []string{"b=b<nil>", "c=a<nil>"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A call on a file that is being closed gets this file or none, although
// descriptors are given out again at once.
func TestCloseWhileReading(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for _, name := range []string{"mine", "other"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 300 {
		f, err := d.Open("mine")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					buf := make([]byte, 4)
					_, err := f.ReadAt(buf, 0)
					if errors.Is(err, fs.ErrClosed) {
						return
					}
					if err != nil || string(buf) != "mine" {
						t.Errorf("%q, %v", buf, err)
						return
					}
				}
			})
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if g, err := d.Open("other"); err != nil {
			t.Error(err)
		} else {
			g.Close()
		}
		wg.Wait()
	}
}

func BenchmarkNames(b *testing.B) {
	for _, n := range []int{0, 100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := b.TempDir()
			for i := range n {
				name := fmt.Sprintf("17000000%05d.M123456P12345Q%032x,S=12345,W=12345", i, i)
				if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
					b.Fatal(err)
				}
			}
			d, err := Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			b.ReportAllocs()
			for b.Loop() {
				count := 0
				for _, err := range d.Names() {
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				if count != n {
					b.Fatalf("%d names, want %d", count, n)
				}
			}
		})
	}
}

func BenchmarkOpenReadClose(b *testing.B) {
	path := b.TempDir()
	if err := os.WriteFile(filepath.Join(path, "m"), make([]byte, 4<<10), 0o600); err != nil {
		b.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	buf := make([]byte, 32<<10)
	b.ReportAllocs()
	for b.Loop() {
		f, err := d.Open("m")
		if err != nil {
			b.Fatal(err)
		}
		f.Read(buf)
		f.Close()
	}
}
