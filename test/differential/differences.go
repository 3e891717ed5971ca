package differential

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

// listed is differences.txt: a line for each difference that is known: whose it
// is, three patterns (in which state, at what, how) and what decides.
//
//go:embed differences.txt
var listed string

// difference is one between the model and a server.
type difference struct{ server, state, kind, how string }

func (d difference) String() string {
	return strings.Join([]string{d.server, d.state, d.kind, d.how}, " | ")
}

// known are the differences that are written down.
type known []difference

func parseKnown(text string) (known, error) {
	var all known
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 5 || !strings.Contains(f[4], "RFC ") || strings.Contains(f[0], ours) {
			return nil, fmt.Errorf("differential: differences.txt: %q has not the servers of others, three patterns and a clause", line)
		}
		d := difference{strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), strings.TrimSpace(f[2]), strings.TrimSpace(f[3])}
		if _, err := d.covers(difference{server: strings.Split(d.server, ",")[0]}); err != nil {
			return nil, fmt.Errorf("differential: differences.txt: %q: %w", line, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// ours is the name of our server, whose differences are faults.
const ours = "postwain"

// covers reports whether p, a line of the file, is about d.
func (p difference) covers(d difference) (bool, error) {
	if d.server == ours || p.server != "others" && !slices.Contains(strings.Split(p.server, ","), d.server) {
		return false, nil
	}
	for _, f := range [][2]string{{p.state, d.state}, {p.kind, d.kind}, {p.how, d.how}} {
		if ok, err := path.Match(f[0], f[1]); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (k known) has(d difference) bool {
	for _, p := range k {
		if ok, err := p.covers(d); ok && err == nil {
			return true
		}
	}
	return false
}
