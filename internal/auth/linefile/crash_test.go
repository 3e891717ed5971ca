package linefile

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// scene adds lines to a file, one by one, up to the edit that fails.
type scene struct{ added int }

func (s *scene) run(f *faultfs.FS) {
	s.added = 0
	for n := range 4 {
		err := edit(f.Root(), "users", 1<<20, func(_ string, lines []string) ([]string, error) {
			return append(lines, fmt.Sprintf("user%d:%s", n, strings.Repeat("x", 300))), nil
		}, func(string, fs.FileMode) error { return nil })
		if err != nil {
			return
		}
		s.added++
	}
}

// judge wants all lines that were added, perhaps the next one, and whole ones.
func (s *scene) judge(f *faultfs.FS) error {
	var seen []string
	err := edit(f.Foreign(), "users", 1<<20, func(_ string, lines []string) ([]string, error) {
		seen = lines
		return nil, errors.New("nothing is to be changed")
	}, nil)
	if seen == nil && s.added > 0 {
		return fmt.Errorf("the file cannot be read: %w", err)
	}
	if len(seen) != s.added && len(seen) != s.added+1 {
		return fmt.Errorf("%d lines, where %d were added", len(seen), s.added)
	}
	for n, line := range seen {
		if line != fmt.Sprintf("user%d:%s", n, strings.Repeat("x", 300)) {
			return fmt.Errorf("line %d is %q", n, line)
		}
	}
	return nil
}

// A password that was changed stays changed, and no power cut leaves half a file.
func TestCrash(t *testing.T) {
	t.Parallel()
	var s scene
	faultfs.Explore(t, faultfs.Config{}, s.run, s.judge)
}

// Without its syncs an edit is lost or cut: the test above would see it.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, kind := range []faultfs.Kind{faultfs.Sync, faultfs.SyncDir} {
		forgetful := func() *faultfs.FS {
			f := faultfs.New()
			f.FailWhen(func(op faultfs.Op) error {
				if op.Kind == kind {
					return faultfs.ErrSkip
				}
				return nil
			})
			return f
		}
		var s scene
		if faultfs.Find(faultfs.Config{New: forgetful}, s.run, s.judge) == nil {
			t.Errorf("nobody has seen that there is no %s", kind)
		}
	}
}
