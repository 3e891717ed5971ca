package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/postwain/postwain/test/campaign"
)

// entry is a line of the ledger: a batch, or a mutant.
type entry struct {
	Campaign string            `json:"campaign"`
	Seed     uint64            `json:"seed,omitempty"`   // of a batch, from 1 on
	Mutant   string            `json:"mutant,omitempty"` // or the mutant that was tried
	Count    int64             `json:"count"`
	Findings []string          `json:"findings,omitempty"`
	Figures  []campaign.Figure `json:"figures,omitempty"`
	Seconds  float64           `json:"seconds"`
	Began    time.Time         `json:"began"`
	Commit   string            `json:"commit,omitempty"`
}

// ledger is what has been proved so far: a file of one entry a line, to which
// every batch adds its own, so that a run may end at any time.
type ledger struct {
	file    *os.File
	entries []entry
}

// openLedger reads the ledger and cuts off a line that was being written when
// the run before this one ended.
func openLedger(name string) (*ledger, error) {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	l := &ledger{}
	lines := bufio.NewScanner(bytes.NewReader(whole))
	lines.Buffer(nil, len(whole)+1)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		l.entries = append(l.entries, e)
	}
	if l.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	if err := l.file.Truncate(int64(len(whole))); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	if _, err := l.file.Seek(0, 2); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	return l, nil
}

func (l *ledger) add(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	l.entries = append(l.entries, e)
	return nil
}

func (l *ledger) close() error { return l.file.Close() }

// standing is what the ledger knows of one campaign.
type standing struct {
	count    int64 // tries of batches without findings
	batches  int
	seconds  float64
	next     uint64 // the seed that has not been tried yet
	last     time.Time
	findings map[uint64][]string // by the seed that still has them
	figures  []campaign.Figure
	mutants  map[string]entry // the last try of each
}

// standing adds up a campaign's entries. A seed that was tried again stands as
// it went the last time: that is how a repaired fault leaves the page.
func (l *ledger) standing(name string) standing {
	s := standing{next: 1, findings: map[uint64][]string{}, mutants: map[string]entry{}}
	latest := map[uint64]entry{}
	for _, e := range l.entries {
		switch {
		case e.Campaign != name:
		case e.Mutant != "":
			s.mutants[e.Mutant] = e
		default:
			latest[e.Seed] = e
			s.seconds += e.Seconds
			s.next = max(s.next, e.Seed+1)
			s.last = e.Began
			s.figures = e.Figures
		}
	}
	for seed, e := range latest {
		if len(e.Findings) > 0 {
			s.findings[seed] = e.Findings
			continue
		}
		s.count += e.Count
		s.batches++
	}
	return s
}
