package spool

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

func TestTake(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, inMemory - 1, inMemory, inMemory + 1, 3*inMemory + 7} {
		text := strings.Repeat("0123456789abcde", size/15+1)[:size]
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data+EOF": iotest.DataErrReader,
		} {
			f := faultfs.New()
			m, err := Take(t.Context(), f.Root(), wrap(strings.NewReader(text)))
			if err != nil {
				t.Fatal(err)
			}
			for name := range f.Root().Names() {
				t.Errorf("%d octets: a file has a name: %s", size, name)
			}
			for range 2 {
				if p, err := io.ReadAll(m.Reader()); err != nil || string(p) != text || m.Size() != int64(size) {
					t.Errorf("%s, %d octets: got %d, Size() = %d, %v", name, size, len(p), m.Size(), err)
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if octets, inodes := f.Used(); octets != 0 || inodes != 1 {
				t.Errorf("%d octets: %d octets and %d inodes are left", size, octets, inodes)
			}
		}
	}
}

// Where the file cannot be removed while it is open, Close does it.
func TestNameIsKept(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	n := 0
	f.FailWhen(func(op faultfs.Op) error {
		if op.Kind == faultfs.Remove && n == 0 {
			n++
			return errors.New("file is open")
		}
		return nil
	})
	m, err := Take(t.Context(), f.Root(), strings.NewReader(strings.Repeat("x", inMemory+1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if octets, inodes := f.Used(); octets != 0 || inodes != 1 {
		t.Errorf("%d octets and %d inodes are left", octets, inodes)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, n := range []int{0, 1, inMemory, inMemory + 1, 2 * inMemory} {
		f := faultfs.New()
		r := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(broken))
		if _, err := Take(t.Context(), f.Root(), r); err != broken {
			t.Errorf("after %d octets: %v", n, err)
		}
		if octets, inodes := f.Used(); octets != 0 || inodes != 1 {
			t.Errorf("%d octets and %d inodes are left", octets, inodes)
		}
	}
	f := faultfs.New()
	f.SetCapacity(2*inMemory, 0)
	if _, err := Take(t.Context(), f.Root(), strings.NewReader(strings.Repeat("x", 3*inMemory))); !errors.Is(err, fsx.ErrNoSpace) {
		t.Errorf("on a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, n := range []int{1, 2 * inMemory} {
		if _, err := Take(ctx, f.Root(), strings.NewReader(strings.Repeat("x", n))); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, %d octets: %v", n, err)
		}
	}
}

// Without a directory the system's is used.
func TestSystemDirectory(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 2*inMemory)
	m, err := Take(t.Context(), nil, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := io.ReadAll(m.Reader()); err != nil || string(p) != text {
		t.Errorf("%d octets, %v", len(p), err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
