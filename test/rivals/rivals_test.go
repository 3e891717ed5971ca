//go:build interop && linux

package rivals

import "testing"

func TestListings(t *testing.T) {
	for _, c := range Campaigns() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Needs(); err != nil {
				t.Fatal(err)
			}
			for _, m := range c.Mutants {
				if r, err := m.Run(t.Context()); err != nil || len(r.Findings) == 0 {
					t.Errorf("the mutant %q is not seen, %v", m.Name, err)
				}
			}
		})
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			r, err := trial{kind: kind, listings: 300}.run(t.Context(), 1)
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
