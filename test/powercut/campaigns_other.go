//go:build !linux

package powercut

import "github.com/postwain/postwain/test/campaign"

// Campaigns are none: the rig mounts file systems as only Linux does.
func Campaigns() []campaign.Campaign { return nil }
