package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Step is how far one part of the work is.
type Step struct {
	Name                string // of the part
	Done, Total         int    // messages
	Octets, TotalOctets int64  // TotalOctets is 0 if nobody knows
}

// Display shows steps. Its methods may be called by several goroutines.
type Display interface {
	// Show shows a step in the place of the last one with its name.
	Show(s Step)
	// Hide says that the part of that name is over.
	Hide(name string)
	// Say writes a line that stays. It is escaped.
	Say(line string)
	// Close takes down what does not stay.
	Close()
}

// part is a step, and since when it has been going on.
type part struct {
	Step
	start time.Time
}

// parts are the steps that are going on, in the order in which they began.
type parts []part

func (all *parts) set(s Step, now time.Time) *part {
	i := slices.IndexFunc(*all, func(p part) bool { return p.Name == s.Name })
	if i < 0 {
		*all = append(*all, part{start: now})
		i = len(*all) - 1
	}
	(*all)[i].Step = s
	return &(*all)[i]
}

func (all *parts) remove(name string) (removed part, ok bool) {
	i := slices.IndexFunc(*all, func(p part) bool { return p.Name == name })
	if i < 0 {
		return part{}, false
	}
	removed = (*all)[i]
	*all = slices.Delete(*all, i, i+1)
	return removed, true
}

// text is a part in words: how much is done, how fast, and how long it will
// take at that speed.
func (p *part) text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s/%s messages  %s", Escape(p.Name), Count(p.Done), Count(p.Total), Octets(p.Octets))
	if p.TotalOctets > 0 {
		fmt.Fprintf(&b, " of %s", Octets(p.TotalOctets))
	}
	took := now.Sub(p.start)
	if took < time.Second || p.Octets <= 0 {
		return b.String()
	}
	rate := float64(p.Octets) / took.Seconds()
	fmt.Fprintf(&b, "  %s/s", Octets(int64(rate)))
	if left := float64(p.TotalOctets - p.Octets); left > 0 && left/rate < 1e6 {
		fmt.Fprintf(&b, "  %s left", Clock(time.Duration(left/rate*float64(time.Second))))
	}
	return b.String()
}

// share is how much of the part is done, from 0 to 1.
func (p *part) share() float64 {
	share := 0.0
	switch {
	case p.TotalOctets > 0:
		share = float64(p.Octets) / float64(p.TotalOctets)
	case p.Total > 0:
		share = float64(p.Done) / float64(p.Total)
	}
	return min(max(share, 0), 1)
}

// Lines is a Display for files and pipes: it writes a line for a step that
// goes on for long, every half minute.
type Lines struct {
	mu    sync.Mutex
	w     io.Writer
	parts parts
	told  map[string]time.Time
}

const pause = 30 * time.Second

// NewLines gives a Display that writes to w.
func NewLines(w io.Writer) *Lines { return &Lines{w: w, told: make(map[string]time.Time)} }

// Show implements Display.
func (l *Lines) Show(s Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	p := l.parts.set(s, now)
	if last, ok := l.told[s.Name]; !ok {
		l.told[s.Name] = now
	} else if now.Sub(last) >= pause {
		l.told[s.Name] = now
		fmt.Fprintln(l.w, p.text(now))
	}
}

// Hide implements Display.
func (l *Lines) Hide(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parts.remove(name)
	delete(l.told, name)
}

// Say implements Display.
func (l *Lines) Say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, Escape(line))
}

// Close implements Display.
func (l *Lines) Close() {}
