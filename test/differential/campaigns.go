package differential

import (
	"context"
	"maps"
	"slices"

	"github.com/postwain/postwain/test/campaign"
)

// Campaigns are our server in itself, and all servers of this machine.
func Campaigns() []campaign.Campaign {
	own := campaign.Campaign{
		Name: "differences from the RFCs, and from one way to another", Unit: "commands", Target: 10_000_000,
		Run: trial{drops: 800, sessions: 20}.run,
	}
	all := mutants()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		m.drops, m.sessions = 40, 10
		own.Mutants = append(own.Mutants, campaign.Mutant{Name: name, Run: func(ctx context.Context) (campaign.Result, error) {
			return m.run(ctx, 1)
		}})
	}
	return append([]campaign.Campaign{own}, strangers()...)
}
