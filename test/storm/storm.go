// Package storm throws made-up input at everything that reads from a wire: by
// Go's fuzzer, which learns what the code branches on, and by plain loops over
// a grammar, which are many times faster and know what a protocol looks like.
package storm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/postwain/postwain/test/campaign"
)

// Campaigns are the loops, and a campaign for each fuzz target on a wire.
func Campaigns() []campaign.Campaign {
	var all []campaign.Campaign
	for _, l := range loops() {
		all = append(all, l.campaign())
	}
	return append(all, native()...)
}

// loop judges one reader of a wire.
type loop struct {
	name   string
	batch  int64 // tries of one batch
	target int64
	// judge gives input of w to the reader and returns what is wrong with what
	// the reader made of it.
	judge func(w *words) error
	// mutants are readers with a fault.
	mutants []mutant
}

type mutant struct {
	name  string
	judge func(w *words) error
}

// longest is how long one try may take.
const longest = time.Second

func (l loop) campaign() campaign.Campaign {
	c := campaign.Campaign{Name: "made-up input, " + l.name, Unit: "inputs", Target: l.target,
		Run: func(ctx context.Context, seed uint64) (campaign.Result, error) {
			return l.run(ctx, seed, l.batch, l.judge)
		}}
	for _, m := range l.mutants {
		c.Mutants = append(c.Mutants, campaign.Mutant{Name: m.name, Run: func(ctx context.Context) (campaign.Result, error) {
			return l.run(ctx, 1, 20_000, m.judge)
		}})
	}
	return c
}

// octetsPerTry is what a try may allocate on the average.
const octetsPerTry = 256 << 10

// run makes tries until one of them fails. Each has a stream of its own, so
// that the last one can be had without those before it.
func (l loop) run(ctx context.Context, seed uint64, tries int64, judge func(*words) error) (campaign.Result, error) {
	var r campaign.Result
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	w := &words{}
	for ; r.Count < tries; r.Count++ {
		if r.Count%1024 == 0 && ctx.Err() != nil {
			return r, ctx.Err()
		}
		w.PCG.Seed(seed, uint64(r.Count))
		w.rand = rand.New(&w.PCG)
		start := time.Now()
		err := try(judge, w)
		if took := time.Since(start); err == nil && took > longest {
			err = fmt.Errorf("it took %v", took)
		}
		if err != nil {
			r.Find("%s, seed %d, try %d: %v", l.name, seed, r.Count, err)
			return r, nil
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(tries); each > octetsPerTry {
		r.Find("%s, seed %d: %d octets allocated for each input", l.name, seed, each)
	}
	rate := float64(tries) / time.Since(began).Seconds()
	r.Figures = []campaign.Figure{{Name: l.name, Value: fmt.Sprintf("%.0f inputs/s", rate)}}
	return r, nil
}

// try turns a panic into what it is here: a finding.
func try(judge func(*words) error, w *words) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return judge(w)
}
