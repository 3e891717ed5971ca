//go:build interop

package interop

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/postwain/postwain/test/rig"
)

// page is what docs/EXACTLY-ONCE.md shows.
type page struct {
	machine      string
	fetchers     proof
	destinations proof // of ours
}

// proof collects the tallies of some fetchers.
type proof struct {
	fetchers []string
	rows     []proofRow
}

type proofRow struct {
	trouble, mode string
	tallies       map[string]tally // by fetcher
}

func (p *proof) set(fetcher, trouble, mode string, t tally) {
	for _, r := range p.rows {
		if r.trouble == trouble && r.mode == mode {
			r.tallies[fetcher] = t
			return
		}
	}
	p.rows = append(p.rows, proofRow{trouble, mode, map[string]tally{fetcher: t}})
}

// table gives the rows as cells.
func (p *proof) table() [][]string {
	all := [][]string{append([]string{"", ""}, p.fetchers...)}
	for _, r := range p.rows {
		cells := []string{r.trouble, r.mode}
		for _, f := range p.fetchers {
			t, ok := r.tallies[f]
			switch {
			case !ok:
				cells = append(cells, "—")
				continue
			case t.messages == 0:
				cells = append(cells, "gives up by itself")
				continue
			}
			cells = append(cells, fmt.Sprintf("%v (%d × in %d)", t, t.strikes, t.messages))
		}
		all = append(all, cells)
	}
	return all
}

func (p *proof) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nwhat has become of the messages (strikes × in messages)")
	for _, cells := range p.table() {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	return b.String()
}

func (p *proof) markdown() string {
	var b strings.Builder
	for i, cells := range p.table() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(cells)))
		}
	}
	return b.String()
}

func (p *page) markdown() string {
	return fmt.Sprintf(pageText, lettersPerTrial, strikesPerTrial, lettersPerStep, patience,
		p.fetchers.markdown(), p.destinations.markdown(), *strikes, p.machine, rig.Versions("fetchmail", "mpop", "getmail6"))
}

const pageText = `# Exactly once

What becomes of mail when a fetcher is killed, its link is cut, its server dies
or its disk fills up. ` + "`make prove-fetch`" + ` plays it with Debian's fetchers and
with ` + "`postwain fetch`" + `, and writes this page; ` + "`make interop`" + ` plays a short form.

In each trial a mailbox of %d different messages of up to 8 KB lies on Debian's
Dovecot, and the fetcher brings it into a Maildir: to delete what it fetched, or
to keep it on the server. It is struck up to %d times, by a cut link once, and
started again after each. Then it is left alone until it says that nothing is
left, and run once more. What has come is compared with what was there, octet for octet.

- *fetcher killed*: SIGKILL at a moment drawn from the time of a whole run.
- *link cut*: the connection ends at an octet drawn from all that pass in a
  whole run, in one direction or the other.
- *server killed*: SIGKILL for the process of the session, at a drawn moment.
- *disk full*: Maildir and the fetcher's memory lie on a small ext4 that has room
  for a part of the messages; then there is room again.
- *killed at each step*: in front of the first system call that leaves a trace
  outside the process (a file opened, written, synced, renamed or removed, octets
  sent), the second, and so on to the last, each time with a new mailbox of %d
  messages.

*lost* are messages that have not come although the fetcher says that it is
done, *doubled* are surplus copies, *damaged* are files that are no copy of any
message. *not deleted* are messages that stay on the server for ever though they
were to be deleted. *gives up by itself*: it fails although nobody disturbs it.
*times hung*: the fetcher came to no end within %v and was
killed. In parentheses is how often it was struck, and among how many messages.

fetchmail has no delivery of its own and hands the mail to Dovecot by LMTP; the
others write the Maildir themselves. Here processes die and the machine lives on.
What a power cut leaves is proved elsewhere, by the tests that crash the file
system at every operation.

%s
Of postwain with other destinations. Nobody can ask an LMTP server or a command
whether it has a message: there the one in flight may come twice.

%s
` + "`make prove-fetch STRIKES=%d`" + `. %s %s.
`
