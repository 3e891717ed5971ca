package passwdfile

import (
	"fmt"
	"strings"
	"testing"
)

// Names that do not exist cost what names that exist do, each always the same,
// and as often: in a file with hashes of several programs the time of a refusal
// tells nothing (fault 84).
func TestDecoys(t *testing.T) {
	t.Parallel()
	hash := func(rounds int) string {
		return fmt.Sprintf("{SHA256-CRYPT}$5$rounds=%d$salt$%s\n", rounds, strings.Repeat("A", 43))
	}
	var file strings.Builder
	for i := range 100 {
		fmt.Fprintf(&file, "user%d:%s", i, hash(1000+1000*(i%4/3))) // three of four have 1000 rounds
	}
	f, _, _ := opened(t, file.String())
	var work int
	f.prove = func(s secret, _ string) bool { work = s.cost().n; return false }
	costs := func() map[string]int {
		all := map[string]int{}
		for i := range 2000 {
			name := fmt.Sprintf("nobody%d", i)
			ask(f, name, "x")
			all[name] = work
		}
		return all
	}
	first := costs()
	cheap := 0
	for _, n := range first {
		if n == 1000 {
			cheap++
		}
	}
	if cheap < 1400 || cheap > 1600 {
		t.Errorf("%d of 2000 are cheap, want about 1500", cheap)
	}
	moved := func(other map[string]int) (n int) {
		for name, c := range first {
			if other[name] != c {
				n++
			}
		}
		return n
	}
	if n := moved(costs()); n != 0 {
		t.Errorf("%d names cost something else the second time", n)
	}
	more, err := parse("users", file.String()+"late:"+hash(2000), f.seed)
	if err != nil {
		t.Fatal(err)
	}
	f.table.Store(more)
	f.seen.settled = true
	if n := moved(costs()); n > 40 {
		t.Errorf("one more user moved %d of 2000 names", n)
	}
}
