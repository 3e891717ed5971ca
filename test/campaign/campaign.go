// Package campaign says what a rig has to offer so that it can be run for as
// long as somebody has patience: numbered tries that can be repeated, and
// mutants that show that the rig sees what it looks for.
package campaign

import (
	"context"
	"fmt"
)

// Campaign tries one promise again and again, each time with another seed.
type Campaign struct {
	// Name tells what is tried, as "power cut, ext4".
	Name string
	// Unit is what is counted, as "images".
	Unit string
	// Target is the count at which the campaign has said enough.
	Target int64
	// Needs says what the machine lacks for the campaign: nil if nothing. A nil
	// function needs nothing.
	Needs func() error
	// Run makes one batch of tries, which are the same for the same seed as far
	// as the machine allows it, and takes between some seconds and two minutes.
	// An error means that the rig itself failed, or that ctx has ended; then
	// the batch counts for nothing.
	Run func(ctx context.Context, seed uint64) (Result, error)
	// Mutants are faults built into the program on purpose.
	Mutants []Mutant
}

// Result is what a batch found.
type Result struct {
	// Count is how many tries were made.
	Count int64
	// Findings are the promises that were broken, each with what it takes to see
	// it again. None is what everybody hopes for.
	Findings []string
	// Figures are measurements beside the count.
	Figures []Figure
}

// Find adds a finding.
func (r *Result) Find(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// Figure is something measured, as "login, 99 of 100" with "4.1 ms".
type Figure struct{ Name, Value string }

// Mutant is a fault built in on purpose, which the campaign has to find.
type Mutant struct {
	// Name tells what is wrong with the mutant, as "no sync of the file".
	Name string
	// Run makes tries with the mutant until one has findings, or until it has
	// made as many as should have been enough. A result without findings means
	// that the rig is blind.
	Run func(ctx context.Context) (Result, error)
}
