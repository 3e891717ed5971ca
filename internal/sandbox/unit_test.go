package sandbox

import (
	"os/exec"
	"testing"
)

// The unit lets the service do little: systemd says 1.5 of 10 or below.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("NOT TESTED: there is no systemd-analyze")
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager",
		"../../contrib/systemd/postwain.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
