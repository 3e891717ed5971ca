//go:build interop && linux

package swarm

import (
	"testing"
	"time"
)

// Honest users get through a small crowd and a small flood; a small machine is
// given a second.
func TestSiege(t *testing.T) {
	for name, s := range map[string]siege{
		"crowd": {crowd: 1000, deaf: 50, logins: 100, within: time.Second, weigh: true},
		"flood": {flooders: 16, logins: 50, within: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := s.run(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) > 0 {
				t.Errorf("%s", r.Findings)
			}
			t.Log(r.Figures)
		})
	}
}

func TestTesters(t *testing.T) {
	r, err := scan(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 {
		t.Errorf("%s", r.Findings)
	}
	t.Log(r.Figures)
}

func TestInjections(t *testing.T) {
	r, err := inject(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 {
		t.Errorf("%s", r.Findings)
	}
	t.Log(r.Count)
}

func TestMutants(t *testing.T) {
	for _, c := range Campaigns() {
		for _, m := range c.Mutants {
			t.Run(m.Name, func(t *testing.T) {
				r, err := m.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Findings) == 0 {
					t.Error("is not seen")
				}
			})
		}
	}
}
