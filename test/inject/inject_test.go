//go:build interop && linux

package inject

import "testing"

func TestEnds(t *testing.T) {
	for name, trial := range map[string]trial{"kill": {ends: 20, end: kill}, "stop": {ends: 6, end: stop}, "starve": {ends: 5, end: starve}, "call": {ends: 10, end: killAt}} {
		t.Run(name, func(t *testing.T) {
			r, err := trial.run(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) > 0 {
				t.Errorf("%q", r.Findings)
			}
			t.Log(r.Figures)
		})
	}
}

func TestHauls(t *testing.T) {
	for name, h := range map[string]hauls{"remove": {kills: 20}, "keep": {kills: 20, keep: true}} {
		t.Run(name, func(t *testing.T) {
			r, err := h.run(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) > 0 {
				t.Errorf("%q", r.Findings)
			}
			t.Log(r.Count, r.Figures)
		})
	}
}

func TestErrors(t *testing.T) {
	if err := needsTracer(); err != nil {
		t.Fatal(err)
	}
	r, err := sickness{}.run(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Count < 500 || len(r.Findings) > 0 {
		t.Errorf("%d errors: %q", r.Count, r.Findings)
	}
	t.Log(r.Count, r.Figures)
}

func TestStarts(t *testing.T) {
	r, err := beginning{}.run(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Count < 30 || len(r.Findings) > 0 {
		t.Errorf("%d errors: %q", r.Count, r.Findings)
	}
	t.Log(r.Count, r.Figures)
}

func TestMutants(t *testing.T) {
	for _, c := range Campaigns() {
		for _, m := range c.Mutants {
			t.Run(c.Name+", "+m.Name, func(t *testing.T) {
				r, err := m.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Findings) == 0 {
					t.Error("is not seen")
				}
				t.Logf("%q", r.Findings)
			})
		}
	}
}
