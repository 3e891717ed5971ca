package spool

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTakeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := func(what string) {
		t.Helper()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", what, left, err)
		}
	}
	for _, size := range []int{0, 1, inMemory, 3*inMemory + 7} {
		text := strings.Repeat("0123456789abcde", size/15+1)[:size]
		f, err := TakeFile(t.Context(), dir, iotest.DataErrReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := io.ReadAll(f); err != nil || string(p) != text {
			t.Errorf("%d octets: got %d, %v", size, len(p), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		empty("stored")

		broken := errors.New("broken")
		if _, err := TakeFile(t.Context(), dir, io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))); err != broken {
			t.Errorf("after %d octets: %v", size, err)
		}
		empty("broken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := TakeFile(ctx, dir, strings.NewReader("x")); err != context.Canceled {
		t.Error(err)
	}
	empty("cancelled")
	if _, err := TakeFile(t.Context(), filepath.Join(dir, "none"), strings.NewReader("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
