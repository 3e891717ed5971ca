//go:build !linux

package swarm

import "github.com/postwain/postwain/test/campaign"

// Campaigns are none: the rig needs /proc and signals of Linux.
func Campaigns() []campaign.Campaign { return nil }
