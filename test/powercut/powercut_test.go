//go:build interop && linux

package powercut

import (
	"testing"
)

func TestPowerCuts(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			if err := needs(kind); err != nil {
				t.Fatal(err)
			}
			r, err := trial{kind: kind, tales: 2, images: 60}.run(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if r.Count < 50 || len(r.Findings) > 0 {
				t.Errorf("%d images: %q", r.Count, r.Findings)
			}
			t.Log(r.Count, r.Figures)
		})
	}
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
					t.Errorf("not seen in %d images", r.Count)
				}
				t.Logf("%d images: %.400q", r.Count, r.Findings)
			})
		}
	}
}
