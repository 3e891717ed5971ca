package main

import (
	"slices"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/differential"
	"github.com/postwain/postwain/test/inject"
	"github.com/postwain/postwain/test/model"
	"github.com/postwain/postwain/test/powercut"
	"github.com/postwain/postwain/test/rivals"
	"github.com/postwain/postwain/test/simulation"
	"github.com/postwain/postwain/test/storm"
	"github.com/postwain/postwain/test/swarm"
)

// campaigns are those of all rigs, in the order of the page.
func campaigns() []campaign.Campaign {
	return slices.Concat(
		model.Campaigns(),
		powercut.Campaigns(),
		simulation.Campaigns(),
		rivals.Campaigns(),
		inject.Campaigns(),
		differential.Campaigns(),
		storm.Campaigns(),
		swarm.Campaigns(),
	)
}
