package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/test/campaign"
)

func open(t *testing.T, name string) *ledger {
	t.Helper()
	book, err := openLedger(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.close() })
	return book
}

func counting(name string, target int64, run func(seed uint64) campaign.Result) campaign.Campaign {
	return campaign.Campaign{Name: name, Unit: "tries", Target: target,
		Run: func(_ context.Context, seed uint64) (campaign.Result, error) { return run(seed), nil }}
}

func newProver(book *ledger, list ...campaign.Campaign) *prover {
	return &prover{campaigns: list, book: book, out: io.Discard, now: time.Now, commit: "abc"}
}

func TestARunGoesOnWhereTheLastOneEnded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ledger")
	var seeds []uint64
	c := counting("counts", 30, func(seed uint64) campaign.Result {
		seeds = append(seeds, seed)
		return campaign.Result{Count: 10}
	})
	book := open(t, name)
	if err := newProver(book, c).repeat(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	torn, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"campaign":"cou`); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	book = open(t, name)
	if err := newProver(book, c).prove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(seeds) != 3 || seeds[1] != 2 || seeds[2] != 3 {
		t.Errorf("seeds %v, wants 1 2 3 and no more, as the target is reached", seeds)
	}
	if s := open(t, name).standing("counts"); s.count != 30 || s.batches != 3 {
		t.Errorf("the ledger counts %d in %d batches, wants 30 in 3", s.count, s.batches)
	}
}

func TestAFindingFailsTheRunAndLeavesWhenItsSeedIsClean(t *testing.T) {
	book := open(t, filepath.Join(t.TempDir(), "ledger"))
	broken := true
	c := counting("breaks", 20, func(uint64) campaign.Result {
		r := campaign.Result{Count: 20}
		if broken {
			r.Find("a message | is gone")
		}
		return r
	})
	if err := newProver(book, c).prove(t.Context()); !errors.Is(err, errBroken) {
		t.Fatalf("prove says %v", err)
	}
	if page := proof(book, []campaign.Campaign{c}); !strings.Contains(page, `breaks, seed 1: a message \| is gone`) || !strings.Contains(page, "| 0 tries |") {
		t.Errorf("the page hides it:\n%s", page)
	}
	broken = false
	if err := newProver(book, c).repeat(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if page := proof(book, []campaign.Campaign{c}); strings.Contains(page, "is gone") || !strings.Contains(page, "| 20 tries | 20 | 100.0 % |") {
		t.Errorf("the page keeps it:\n%s", page)
	}
}

func TestAnUnseenMutantFailsTheRun(t *testing.T) {
	book := open(t, filepath.Join(t.TempDir(), "ledger"))
	c := counting("sees", 1, func(uint64) campaign.Result { return campaign.Result{Count: 1} })
	seen := campaign.Mutant{Name: "seen", Run: func(context.Context) (campaign.Result, error) {
		return campaign.Result{Count: 1, Findings: []string{"it"}}, nil
	}}
	unseen := campaign.Mutant{Name: "unseen", Run: func(context.Context) (campaign.Result, error) {
		return campaign.Result{Count: 9}, nil
	}}
	c.Mutants = []campaign.Mutant{seen, unseen}
	if err := newProver(book, c).prove(t.Context()); !errors.Is(err, errBlind) {
		t.Errorf("prove says %v", err)
	}
	page := proof(book, []campaign.Campaign{c})
	if !strings.Contains(page, "| sees | seen | caught |") || !strings.Contains(page, "| sees | unseen | **unseen** |") {
		t.Errorf("the page:\n%s", page)
	}
}

func TestACampaignThatCannotRunFailsTheRun(t *testing.T) {
	book := open(t, filepath.Join(t.TempDir(), "ledger"))
	lacks := errors.New("no loop devices")
	c := counting("needs", 1, func(uint64) campaign.Result { t.Error("it ran"); return campaign.Result{} })
	c.Needs = func() error { return lacks }
	if err := newProver(book, c).prove(t.Context()); !errors.Is(err, lacks) {
		t.Errorf("prove says %v", err)
	}
}

func TestABatchThatIsCutOffCountsForNothing(t *testing.T) {
	book := open(t, filepath.Join(t.TempDir(), "ledger"))
	ctx, cancel := context.WithCancel(t.Context())
	c := campaign.Campaign{Name: "long", Unit: "tries", Target: 9, Run: func(ctx context.Context, _ uint64) (campaign.Result, error) {
		cancel()
		<-ctx.Done()
		return campaign.Result{}, ctx.Err()
	}}
	if err := newProver(book, c).prove(ctx); err != nil {
		t.Fatal(err)
	}
	if len(book.entries) != 0 {
		t.Errorf("the ledger has %v", book.entries)
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range campaigns() {
		if seen[c.Name] || c.Target <= 0 || c.Unit == "" {
			t.Errorf("campaign %q: target %d, unit %q, or there are two", c.Name, c.Target, c.Unit)
		}
		seen[c.Name] = true
	}
}
