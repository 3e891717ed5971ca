package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/test/campaign"
)

const head = `# What has been proved

This page is written by ` + "`make prove`" + `: every campaign of every rig, with the tries that it has made so far beside
the number that was set out to be reached. Each batch of tries has a seed of its own and a line in
` + "[`proof.jsonl`](proof.jsonl)" + `; tries of batches in which anything was found do not count. [PROMISES.md](PROMISES.md) says
what is promised.

` + "```" + `
make prove FOR=30m                                           # go on with all campaigns for half an hour
go run ./test/prove -only '^power cut, ext4$' -for 2h        # or with some
go run ./test/prove -only '^power cut, ext4$' -seed 17       # see one batch again
` + "```" + `

`

// proof is the page.
func proof(book *ledger, all []campaign.Campaign) string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString(table(book, all))
	b.WriteString(mutants(book, all))
	b.WriteString(figures(book, all))
	b.WriteString(findings(book, all))
	return b.String()
}

// table shows where the campaigns stand.
func table(book *ledger, all []campaign.Campaign) string {
	var b strings.Builder
	b.WriteString("| Campaign | Done | Target | Part | Batches | Machine time | Last run |\n|---|--:|--:|--:|--:|--:|---|\n")
	for _, c := range all {
		s := book.standing(c.Name)
		day := "never"
		if !s.last.IsZero() {
			day = s.last.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %d | %s | %s |\n", c.Name, grouped(s.count), c.Unit, grouped(c.Target),
			part(s.count, c.Target), s.batches, time.Duration(s.seconds*float64(time.Second)).Round(time.Second), day)
	}
	return b.String()
}

func mutants(book *ledger, all []campaign.Campaign) string {
	var b strings.Builder
	b.WriteString("\n## Mutants\n\nFaults built in on purpose. Each run starts with them; one that goes unseen fails it.\n\n" +
		"| Campaign | Mutant | | After |\n|---|---|---|--:|\n")
	for _, c := range all {
		s := book.standing(c.Name)
		for _, m := range c.Mutants {
			e, tried := s.mutants[m.Name]
			verdict := "caught"
			switch {
			case !tried:
				verdict = "not tried yet"
			case len(e.Findings) == 0:
				verdict = "**unseen**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s %s |\n", c.Name, m.Name, verdict, grouped(e.Count), c.Unit)
		}
	}
	return b.String()
}

func figures(book *ledger, all []campaign.Campaign) string {
	var b strings.Builder
	b.WriteString("\n## Figures of the last batch\n\n| Campaign | Figure | Value |\n|---|---|--:|\n")
	for _, c := range all {
		for _, f := range book.standing(c.Name).figures {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Name, cell(f.Name), cell(f.Value))
		}
	}
	return b.String()
}

func findings(book *ledger, all []campaign.Campaign) string {
	var b strings.Builder
	b.WriteString("\n## Broken promises\n\n")
	none := true
	for _, c := range all {
		open := book.standing(c.Name).findings
		seeds := make([]uint64, 0, len(open))
		for seed := range open {
			seeds = append(seeds, seed)
		}
		slices.Sort(seeds)
		for _, seed := range seeds {
			none = false
			for _, f := range open[seed] {
				fmt.Fprintf(&b, "- %s, seed %d: %s\n", c.Name, seed, cell(f))
			}
		}
	}
	if none {
		b.WriteString("None that has not been repaired.\n")
	}
	return b.String()
}

// cell is text that keeps to its place in a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}

func part(count, target int64) string {
	return fmt.Sprintf("%.1f %%", min(100, 100*float64(count)/float64(target)))
}

// grouped is a number as people read it: 1,000,000.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
