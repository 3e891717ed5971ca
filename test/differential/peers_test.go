//go:build interop && linux

package differential

import "testing"

func TestPeers(t *testing.T) {
	r, err := peersTrial{commands: 500, explained: listed}.run(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	t.Log(r.Count, r.Figures)
}
