package swarm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/postwain/postwain/test/campaign"
)

// Campaigns are the swarms and the testers of TLS.
func Campaigns() []campaign.Campaign {
	crowded := siege{crowd: 10_000, deaf: 50, logins: 1000, within: 50 * time.Millisecond, weigh: true}
	flooded := siege{flooders: 64, logins: 300}
	return []campaign.Campaign{
		{
			Name: "swarm of idle and slow connections", Unit: "honest logins", Target: 10_000,
			Needs: needs, Run: crowded.run,
			Mutants: []campaign.Mutant{{Name: "a server that stops for a moment now and then", Run: siege{crowd: 200, logins: 200, within: crowded.within, pauses: true}.once}},
		},
		{
			Name: "flood of handshakes", Unit: "honest logins", Target: 10_000,
			Needs: needs, Run: flooded.run,
			Mutants: []campaign.Mutant{{Name: "a server that has room for nobody but the flood", Run: siege{flooders: 64, logins: 100, within: 5 * time.Second, pauses: true, pause: 6 * time.Second}.once}},
		},
		{
			Name: "testers of TLS", Unit: "runs", Target: 20,
			Needs: func() error { return errors.Join(needs(), found("sslscan"), found("testssl")) },
			Run:   scan, Mutants: []campaign.Mutant{{Name: "TLS 1.0 and CBC", Run: scanOld}},
		},
		{
			Name: "injections behind STLS", Unit: "injections", Target: 300, Needs: needs,
			Run: inject, Mutants: []campaign.Mutant{{Name: "what was read before TLS is obeyed in it", Run: injectOld}},
		},
	}
}

func needs() error {
	if os.Geteuid() != 0 {
		return errors.New("root, so that the mail belongs to its own user")
	}
	return found("taskset")
}

func found(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}
