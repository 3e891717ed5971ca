package storm

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

func TestLoops(t *testing.T) {
	t.Parallel()
	for _, l := range loops() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			tries := l.batch / 100
			r, err := l.run(t.Context(), 1, tries, l.judge)
			if err != nil {
				t.Fatal(err)
			}
			if r.Count != tries || len(r.Findings) > 0 {
				t.Errorf("%d of %d: %s", r.Count, tries, r.Findings)
			}
			for _, m := range l.mutants {
				if r, err := l.run(t.Context(), 1, 20_000, m.judge); err != nil || len(r.Findings) == 0 {
					t.Errorf("the mutant %q is not seen in %d tries, %v", m.name, r.Count, err)
				}
			}
		})
	}
}

// Every fuzz target of the tree is run by a campaign, and there is no other.
func TestTargetsAreThoseOfTheTree(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("grep", "-rhoE", "--include=*_test.go", `^func Fuzz\w+`, "../..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	inTree := bytes.Count(out, []byte("\n"))
	listed := len(native())
	if beside := 3; inTree != listed+beside { // FuzzAdmit, FuzzEscape and FuzzFirstLine read nothing of a peer
		t.Errorf("%d targets in the tree, %d listed and %d beside them", inTree, listed, beside)
	}
	for _, c := range native() {
		_, name, _ := strings.Cut(c.Name, " Fuzz")
		if !strings.Contains(string(out), "Fuzz"+name) {
			t.Errorf("%s: there is no such target", c.Name)
		}
	}
}
