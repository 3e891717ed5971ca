//go:build !linux

package differential

import "github.com/postwain/postwain/test/campaign"

// strangers are none: the rig runs daemons as only Linux lets it.
func strangers() []campaign.Campaign { return nil }
