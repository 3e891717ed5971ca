package differential

import (
	"strings"
	"testing"
)

func TestOurs(t *testing.T) {
	t.Parallel()
	r, err := trial{drops: 32, sessions: 10}.run(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	t.Log(r.Count)
}

func TestMutants(t *testing.T) {
	t.Parallel()
	for name, m := range mutants() {
		m.drops, m.sessions = 32, 10
		r, err := m.run(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Findings) == 0 {
			t.Errorf("%s: not seen in %d commands", name, r.Count)
		}
		t.Logf("%s: %.300q", name, r.Findings)
	}
}

func TestDifferencesAreWritten(t *testing.T) {
	if _, err := parseKnown(listed); err != nil {
		t.Error(err)
	}
}

// What went wrong is told with as little as it takes.
func TestShrink(t *testing.T) {
	t.Parallel()
	m := mutants()["numbers may have a zero before"]
	drop := []letter{newLetter("a", "a\n"), newLetter("b", "b\n"), newLetter("c", "c\n")}
	var steps []step
	for _, line := range []string{"CAPA", "USER " + user, "PASS " + password, "STAT", "LIST", "NOOP", "RETR 01", "UIDL", "QUIT"} {
		steps = append(steps, step{line: line + "\r\n"})
	}
	least, err := m.shrink(drop, steps)
	if err != nil {
		t.Fatal(err)
	}
	if want := `with 1 messages (["c\r\n"]), ["USER carol\r\n" "PASS correct horse\r\n" "RETR 01\r\n"]: `; !strings.HasPrefix(least, want) {
		t.Errorf("%s", least)
	}
}
