package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postwain/postwain/test/campaign"
)

// prover runs campaigns in turns.
type prover struct {
	campaigns []campaign.Campaign
	book      *ledger
	out       io.Writer
	now       func() time.Time
	commit    string
}

var (
	errBroken = errors.New("a promise was broken; the page and the ledger say how to see it again")
	errBlind  = errors.New("a mutant went unseen: its rig is blind")
)

// prove tries every campaign's mutants, and then gives each campaign a batch
// in turn, first those that had the least time, until ctx ends or all have
// reached their targets.
func (p *prover) prove(ctx context.Context) error {
	var failed []error
	var able []campaign.Campaign
	for _, c := range p.campaigns {
		if c.Needs != nil {
			if err := c.Needs(); err != nil {
				fmt.Fprintf(p.out, "%-40s CANNOT RUN: %v\n", c.Name, err)
				failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
				continue
			}
		}
		if err := p.tryMutants(ctx, c); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
		}
		able = append(able, c)
	}
	spent := map[string]time.Duration{}
	for ctx.Err() == nil {
		c, more := p.next(able, spent)
		if !more {
			break
		}
		began := p.now()
		err := p.batch(ctx, c, p.book.standing(c.Name).next)
		spent[c.Name] += p.now().Sub(began)
		if ctx.Err() != nil {
			break // the batch that was cut off counts for nothing
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
			able = without(able, c.Name)
		}
	}
	return errors.Join(failed...)
}

// repeat makes the batch of one seed again, for each campaign.
func (p *prover) repeat(ctx context.Context, seed uint64) error {
	var failed []error
	for _, c := range p.campaigns {
		if err := p.batch(ctx, c, seed); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(failed...)
}

// next is the campaign that has had the least time and is not done.
func (p *prover) next(able []campaign.Campaign, spent map[string]time.Duration) (best campaign.Campaign, found bool) {
	for _, c := range able {
		if p.book.standing(c.Name).count >= c.Target {
			continue
		}
		if !found || spent[c.Name] < spent[best.Name] {
			best, found = c, true
		}
	}
	return best, found
}

func without(list []campaign.Campaign, name string) []campaign.Campaign {
	var rest []campaign.Campaign
	for _, c := range list {
		if c.Name != name {
			rest = append(rest, c)
		}
	}
	return rest
}

func (p *prover) batch(ctx context.Context, c campaign.Campaign, seed uint64) error {
	began := p.now()
	r, err := c.Run(ctx, seed)
	if err != nil {
		return fmt.Errorf("seed %d: %w", seed, err)
	}
	e := entry{Campaign: c.Name, Seed: seed, Count: r.Count, Findings: r.Findings, Figures: r.Figures}
	if err := p.note(e, began); err != nil {
		return err
	}
	s := p.book.standing(c.Name)
	fmt.Fprintf(p.out, "%-40s seed %-6d %9d %s, %d of %d\n", c.Name, seed, r.Count, c.Unit, s.count, c.Target)
	for _, f := range r.Figures {
		fmt.Fprintf(p.out, "    %s: %s\n", f.Name, f.Value)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(p.out, "    BROKEN: %s\n", f)
	}
	if len(r.Findings) > 0 {
		return errBroken
	}
	return nil
}

func (p *prover) tryMutants(ctx context.Context, c campaign.Campaign) error {
	var blind error
	for _, m := range c.Mutants {
		began := p.now()
		r, err := m.Run(ctx)
		if ctx.Err() != nil {
			return blind
		}
		if err != nil {
			return fmt.Errorf("mutant %q: %w", m.Name, err)
		}
		e := entry{Campaign: c.Name, Mutant: m.Name, Count: r.Count}
		if len(r.Findings) > 0 { // that there is one is what counts
			e.Findings = []string{fmt.Sprintf("%.200s", r.Findings[0])}
		}
		if err := p.note(e, began); err != nil {
			return err
		}
		if len(r.Findings) == 0 {
			fmt.Fprintf(p.out, "%-40s mutant UNSEEN: %s\n", c.Name, m.Name)
			blind = errBlind
			continue
		}
		fmt.Fprintf(p.out, "%-40s mutant caught: %s\n", c.Name, m.Name)
	}
	return blind
}

func (p *prover) note(e entry, began time.Time) error {
	e.Began = began.UTC().Truncate(time.Second)
	e.Seconds = p.now().Sub(began).Round(time.Millisecond).Seconds()
	e.Commit = p.commit
	if len(e.Findings) > 3 {
		e.Findings = append(e.Findings[:3:3], fmt.Sprintf("and %d more", len(e.Findings)-3))
	}
	return p.book.add(e)
}
