// Package model makes up work for the stores from a seed, on the file system in
// memory that crashes (internal/fsx/faultfs), crashes it there, and judges what
// every restart finds.
package model

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/test/campaign"
)

// Campaigns are the modelled crashes.
func Campaigns() []campaign.Campaign {
	return []campaign.Campaign{{
		Name: "modelled crashes, Maildir", Unit: "states", Target: 9_000_000,
		Run:     func(ctx context.Context, seed uint64) (campaign.Result, error) { return try(ctx, seed, tales, nil) },
		Mutants: mutants(),
	}}
}

const (
	tales  = 15 // of a batch
	points = 12 // at which one is crashed
	disks  = 24 // that each crash may leave
	depth  = 5  // of crashes in the recovery from a crash
)

// try tells so many tales of one seed, each with its faults, if it has any.
func try(ctx context.Context, seed uint64, tales int, forgets func(faultfs.Op) bool) (campaign.Result, error) {
	var r campaign.Result
	for i := range tales {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		own := rand.New(rand.NewPCG(seed, uint64(i)))
		t := newTale(own)
		t.forgets = forgets
		err := faultfs.Find(faultfs.Config{
			New: emptyDisk, Max: disks, Points: points, Depth: depth, Seed: own.Uint64(),
			Recover: restart,
		}, t.tell, func(f *faultfs.FS) error {
			r.Count++
			return t.judge(f)
		})
		if err != nil {
			r.Find("seed %d, tale %d (%s): %v", seed, i, t, err)
			return r, nil
		}
	}
	r.Figures = []campaign.Figure{{Name: "states of one tale", Value: fmt.Sprint(r.Count / int64(tales))}}
	return r, nil
}
