package faultfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// MaxVariable is the environment variable that overrides Config.Max: more disks
// for each crash in a long run.
const MaxVariable = "POSTWAIN_FAULTFS_MAX"

// Config says how far [Explore] goes.
type Config struct {
	// New makes the file system that each run starts on, with what is there
	// before. Nil means [New].
	New func() *FS
	// Max is how many disks are tried for each crash; 0 means 24.
	Max int
	// Points is at how many operations a run is crashed, chosen by Seed; 0
	// means at all that change something. Besides, it is crashed at its end.
	Points int
	// Recover is what a restart does on what a crash left, before check. Like
	// run it must take failing operations without complaint: with Depth it
	// is crashed too.
	Recover func(*FS)
	// Depth is how many times in a row Recover is crashed: from each disk start
	// 2 + Max/8 walks of Depth crashes at random operations, each leaving a
	// random one of its disks, each of which is checked.
	Depth int
	// Seed chooses samples; the same seed gives the same ones.
	Seed uint64
}

// Explore crashes run at each operation, and after its end, and fails the test
// if check finds fault with a disk that may be left. The message tells the
// operations up to the crash, the choice and the disk.
//
// run does the work on a new file system. It is called once for each crash, is
// told of the crash by operations that fail with [ErrCrashed], and then must
// return; check may know from it, by variables around both that run sets anew
// each time, what was promised before the crash. The operations of run should
// be the same each time: then each is crashed.
func Explore(t testing.TB, c Config, run func(*FS), check func(*FS) error) {
	t.Helper()
	if err := Find(c, run, check); err != nil {
		t.Fatal(err)
	}
}

// Find is Explore that returns the fault. A test of a test uses it, to show
// that a fault put in is found.
func Find(c Config, run func(*FS), check func(*FS) error) error {
	if c.New == nil {
		c.New = New
	}
	if c.Max == 0 {
		c.Max = 24
	}
	if v := os.Getenv(MaxVariable); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%s: %w", MaxVariable, err)
		}
		c.Max = n
	}
	x := explorer{Config: c, check: check, random: rand.New(rand.NewPCG(c.Seed, 1))}
	return x.explore(run)
}

type explorer struct {
	Config
	check  func(*FS) error
	random *rand.Rand
}

// explore crashes run wherever it is to be crashed.
func (x *explorer) explore(run func(*FS)) error {
	uncut := x.New()
	run(uncut)
	for _, n := range x.sample(uncut.points()) {
		s := crashed(x.New, run, n)
		for _, choice := range s.Choices(x.Max, x.Seed+uint64(n)) {
			if err := x.restart(s, choice, x.Depth, 2+x.Max/8); err != nil {
				return s.explain(n, choice, err)
			}
		}
	}
	return nil
}

// crashed returns what run does to a file system that crashes at operation n.
func crashed(start func() *FS, run func(*FS), n int) *FS {
	s := start()
	s.CrashAt(n)
	run(s)
	return s
}

// restart judges a disk that a crash of s may leave, and then what is left of
// it on so many walks when recovery is crashed.
func (x *explorer) restart(s *FS, choice Choice, depth, walks int) error {
	left := s.Crash(choice)
	if x.Recover != nil {
		x.Recover(left)
	}
	points := left.points()
	if err := x.check(left); err != nil {
		return fmt.Errorf("%w\nthe disk then:\n%s", err, s.Crash(choice).Tree())
	}
	if x.Recover == nil || depth == 0 {
		return nil
	}
	start := func() *FS { return s.Crash(choice) }
	for range walks {
		n := points[x.random.IntN(len(points))]
		again := crashed(start, x.Recover, n)
		choices := again.Choices(x.Max, x.random.Uint64())
		next := choices[x.random.IntN(len(choices))]
		if err := x.restart(again, next, depth-1, 1); err != nil {
			return fmt.Errorf("then in the recovery: %w", again.explain(n, next, err))
		}
	}
	return nil
}

// points returns the operations so far to crash at: all that change something,
// and one behind the last.
func (s *FS) points() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var points []int
	for _, op := range s.ops {
		if op.Kind.Changes() {
			points = append(points, op.N)
		}
	}
	return append(points, s.count+1)
}

// sample keeps as many of the points as Config wants, and the last.
func (x *explorer) sample(points []int) []int {
	last := len(points) - 1
	if x.Points == 0 || last <= x.Points {
		return points
	}
	x.random.Shuffle(last, func(i, j int) { points[i], points[j] = points[j], points[i] })
	return append(points[:x.Points], points[last])
}

// explain adds to err how s came to its crash at operation n and what it left:
// the last operations that changed something, and what of them was unsynced.
func (s *FS) explain(n int, choice Choice, err error) error {
	const shown = 30
	var lines []string
	for _, op := range s.Ops() {
		if op.N <= n && (op.Kind.Changes() || op.Err != nil) {
			lines = append(lines, op.String())
		}
	}
	var b strings.Builder
	if skip := len(lines) - shown; skip > 0 {
		fmt.Fprintf(&b, "  (%d more)\n", skip)
		lines = lines[skip:]
	}
	for _, line := range lines {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("of these unsynced:\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.log {
		b.WriteString("  " + e.String() + "\n")
	}
	return fmt.Errorf("crash at operation %d, leaving %s: %w\nthe operations before:\n%s", n, choice, err, &b)
}
