//go:build !linux

package inject

import "github.com/postwain/postwain/test/campaign"

// Campaigns are none: the rig runs daemons as only Linux lets it.
func Campaigns() []campaign.Campaign { return nil }
