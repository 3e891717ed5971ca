//go:build linux

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/postwain/postwain/test/rig"
)

// fetchReport collects what was measured of the fetchers.
type fetchReport struct {
	rows []comparison
	used map[string][]usage // by haul, one for every round
}

// measure lets the fetchers take turns at all rows whose name matches.
func (r *fetchReport) measure(b *bed, only *regexp.Regexp) error {
	r.used = map[string][]usage{}
	for _, c := range comparisons {
		if only.MatchString(c.name) {
			r.rows = append(r.rows, c)
		}
	}
	for range fetchRounds {
		for _, h := range hauls {
			if !slices.ContainsFunc(r.rows, func(c comparison) bool { return c.ours == h.name || c.theirs == h.name }) {
				continue
			}
			u, err := h.measure(b)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			fmt.Printf("%s: %.2f s, %.0f MiB\n", h.name, u.seconds, u.memory)
			r.used[h.name] = append(r.used[h.name], u)
		}
	}
	return nil
}

// values gives those of a haul that a row compares, sorted.
func (r *fetchReport) values(c comparison, haul string) []float64 {
	var all []float64
	for _, u := range r.used[haul] {
		all = append(all, c.value(u))
	}
	slices.Sort(all)
	return all
}

func (r *fetchReport) cells(c comparison) []string {
	ours := r.values(c, c.ours)
	cells := []string{c.name, spread(ours, c.unit), "", "", "", ""}
	ratio := 0.0
	if c.theirs != "" {
		theirs := r.values(c, c.theirs)
		cells[2] = c.label + ": " + spread(theirs, c.unit)
		ratio = median(ours) / median(theirs)
		cells[3] = fmt.Sprintf("%.2f × as much", ratio)
		if ratio < 1 && c.within == 0 {
			cells[3] = fmt.Sprintf("%.1f × less", 1/ratio)
		}
	}
	reached := true
	switch {
	case c.times > 0:
		cells[4], reached = fmt.Sprintf("≥ %g × less", c.times), ratio <= 1/c.times
	case c.within > 0:
		cells[4], reached = fmt.Sprintf("≤ %g × as much", c.within), ratio <= c.within
	case c.most > 0:
		cells[4], reached = fmt.Sprintf("≤ %g %s", c.most, c.unit), median(ours) <= c.most
	default:
		return cells
	}
	cells[5] = "missed"
	if reached {
		cells[5] = "reached"
	}
	return cells
}

var fetchColumns = []string{"", "postwain fetch", "beside", "ratio", "target", ""}

func (r *fetchReport) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n"+strings.Join(fetchColumns, "\t"))
	for _, c := range r.rows {
		fmt.Fprintln(w, strings.Join(r.cells(c), "\t"))
	}
	w.Flush()
	return b.String()
}

func (r *fetchReport) markdown() string {
	if len(r.rows) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
## Fetching

`+"`postwain fetch`"+` beside Debian's fetchers, on the same mailboxes of the same
Dovecot, in clear, into a Maildir on the same disk, in turns; medians of %d
rounds, with the least and the most. The mail stays on the server, and all that
came was compared with it. The round trip is that of a link that passes every
octet on half of it later, in either direction, and is not slower for that. The
plain loop is what the disk allows: a Go program that has the same messages in
memory writes each to a file, syncs it and renames it, %d at a time, and in the
end syncs the directory. Postwain, too, writes many files before it syncs, but then
has the disk synced once for all of them (syncfs). The loop runs alone, with both processors for itself, and
while the same mail comes over the same link from the same Dovecot to a client
that throws it away. fetchmail, which hands the mail to Dovecot by LMTP, and getmail6
fetch %d messages; their times are multiplied by %d. mpop syncs each file and no
directory.
The accounts are %d with %d messages each and one with %d, behind %d links
whose connections carry %d MB a second.
Memory is the most of resident memory.

| %s |
|%s
`, fetchRounds, loopWorkers, perSmall, perBig/perSmall, manyAccounts-1, perMany, perBig, manyServers, rateOfLinks>>20,
		strings.Join(fetchColumns, " | "), strings.Repeat("---|", len(fetchColumns)))
	for _, c := range r.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(c), " | "))
	}
	fmt.Fprintf(&b, "\n%s.\n", rig.Versions("fetchmail", "mpop", "getmail6"))
	return b.String()
}
