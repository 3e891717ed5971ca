//go:build !linux

package rivals

import "github.com/postwain/postwain/test/campaign"

// Campaigns are none: the rig mounts file systems of Linux.
func Campaigns() []campaign.Campaign { return nil }
