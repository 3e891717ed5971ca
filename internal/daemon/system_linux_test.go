package daemon

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestCgroupLimit(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("self", "0::/system.slice/postwain.service\n")
	put("system.slice/postwain.service/memory.max", "max\n")
	self := filepath.Join(root, "self")
	if got := cgroupLimit(root, self); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
	put("system.slice/memory.max", "536870912\n")
	if got := cgroupLimit(root, self); got != 512<<20 {
		t.Errorf("got %d", got)
	}
	put("system.slice/postwain.service/memory.max", "67108864\n")
	if got := cgroupLimit(root, self); got != 64<<20 {
		t.Errorf("got %d", got)
	}
	if got := cgroupLimit(root, filepath.Join(root, "none")); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
}
