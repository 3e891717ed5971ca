package differential

import "testing"

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
