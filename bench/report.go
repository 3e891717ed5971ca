//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// report collects what was measured.
type report struct {
	rounds  int
	machine string
	names   []string // of the contestants, ours first and then Dovecot
	results []result
	fetch   fetchReport
	limits  []limit
}

// result is a row with the values of every round, one list per contestant.
type result struct {
	row
	values [][]float64
}

// measure lets the contestants take turns at a row. The first round is not
// counted.
func (r *report) measure(b *bed, w row) error {
	if w.prepare != nil {
		if err := w.prepare(b); err != nil {
			return err
		}
	}
	res := result{row: w, values: make([][]float64, len(b.contestant))}
	for round := range max(r.rounds, w.rounds) + 1 {
		for i, c := range b.contestant {
			v, err := w.measure(b, c)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				res.values[i] = append(res.values[i], v)
			}
		}
	}
	for _, v := range res.values {
		slices.Sort(v)
	}
	r.results = append(r.results, res)
	fmt.Println(strings.Join(res.cells(), " | "))
	return nil
}

// median of sorted values.
func median(v []float64) float64 { return (v[(len(v)-1)/2] + v[len(v)/2]) / 2 }

// times is how many times better than Dovecot Postwain is.
func (r result) times() float64 {
	ours, theirs := median(r.values[0]), median(r.values[1])
	if r.more {
		return ours / theirs
	}
	return theirs / ours
}

func (r result) target() string {
	if r.ratio > 0 {
		return fmt.Sprintf("≥ %g ×", r.ratio)
	}
	return fmt.Sprintf("≤ %g %s", r.most, r.unit)
}

func (r result) reached() bool {
	if r.ratio > 0 {
		return r.times() >= r.ratio
	}
	return median(r.values[0]) <= r.most
}

func (r result) cells() []string {
	verdict := "missed"
	if r.reached() {
		verdict = "reached"
	}
	cells := []string{r.name}
	for _, v := range r.values {
		cells = append(cells, spread(v, r.unit))
	}
	return append(cells, fmt.Sprintf("%.1f ×", r.times()), r.target(), verdict)
}

// spread shows the median, and the least and the most in parentheses.
func spread(v []float64, unit string) string {
	return fmt.Sprintf("%s %s (%s–%s)", short(median(v)), unit, short(v[0]), short(v[len(v)-1]))
}

func short(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func (r *report) columns() []string {
	return append(append([]string{""}, r.names...), "better by", "target", "")
}

func (r *report) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n"+strings.Join(r.columns(), "\t"))
	for _, res := range r.results {
		fmt.Fprintln(w, strings.Join(res.cells(), "\t"))
	}
	w.Flush()
	b.WriteString(r.fetch.text())
	fmt.Fprintln(w, "\nthe machine itself")
	for _, l := range r.limits {
		fmt.Fprintf(w, "%s\t%s\n", l.name, l.value)
	}
	w.Flush()
	return b.String()
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Postwain beside Debian's Dovecot in its high-performance login mode (processes
that are kept and serve many sessions), on the same mail, in turns, by
`+"`make bench`"+`. The values are medians of %d rounds, with the least and the most
in parentheses; of the deliveries, where the disk decides, they are of at least
11. The disk is an ext4 as mkfs.ext4 makes it, new for each run, in a file on
the machine's own. Processor time is that of all processes of the server. A TLS
session makes a full TLS 1.3 handshake with an ECDSA P-256 certificate. Every
message that was read was compared with what is stored; every delivery that was
acknowledged was synced to the disk and counted there.

%s

| %s |
|%s
`, r.rounds, r.machine, strings.Join(r.columns(), " | "), strings.Repeat("---|", len(r.columns())))
	for _, res := range r.results {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(res.cells(), " | "))
	}
	b.WriteString(r.fetch.markdown())
	b.WriteString("\n## The machine\n\nWhat the machine itself can do:\n\n| | |\n|---|---|\n")
	for _, l := range r.limits {
		fmt.Fprintf(&b, "| %s | %s |\n", l.name, l.value)
	}
	return b.String()
}
