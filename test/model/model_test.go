package model

import "testing"

func TestModelledCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		r, err := try(t.Context(), seed, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Count < 100 || len(r.Findings) > 0 {
			t.Errorf("seed %d, %d states: %s", seed, r.Count, r.Findings)
		}
	}
}

func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	for _, c := range Campaigns() {
		for _, m := range c.Mutants {
			r, err := m.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) == 0 {
				t.Errorf("%s: the mutant %q is not seen in %d states", c.Name, m.Name, r.Count)
			}
		}
	}
}
