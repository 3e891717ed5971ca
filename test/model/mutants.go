package model

import (
	"context"
	"path"
	"strings"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/test/campaign"
)

// mutants forget syncs.
func mutants() []campaign.Mutant {
	inMail := func(op faultfs.Op) bool { return strings.HasPrefix(op.Path, "mail") }
	return []campaign.Mutant{
		mutant("no sync of the message", func(op faultfs.Op) bool {
			return op.Kind == faultfs.Sync && path.Base(path.Dir(op.Path)) == "tmp"
		}),
		mutant("no sync of directories", func(op faultfs.Op) bool { return op.Kind == faultfs.SyncDir && inMail(op) }),
		mutant("no sync of the commit journal", func(op faultfs.Op) bool {
			return (op.Kind == faultfs.Sync || op.Kind == faultfs.SyncData) && strings.HasPrefix(op.Path, "state")
		}),
		mutant("no sync of postwain-uids", func(op faultfs.Op) bool {
			return (op.Kind == faultfs.Sync || op.Kind == faultfs.SyncData) && path.Base(op.Path) == "postwain-uids"
		}),
	}
}

func mutant(name string, forgets func(faultfs.Op) bool) campaign.Mutant {
	return campaign.Mutant{Name: name, Run: func(ctx context.Context) (campaign.Result, error) {
		return try(ctx, 1, 20, forgets)
	}}
}
