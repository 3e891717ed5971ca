package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Terminal is a Display that redraws its lines in place, ten times a second at
// most. Where there are more than fit it draws one for all.
type Terminal struct {
	w    io.Writer
	size func() (columns, rows int)

	mu      sync.Mutex
	parts   parts
	over    Step      // the sum of the parts that are over
	start   time.Time // of the first part
	lines   int       // on the screen; the cursor is at the end of the last
	changed bool
	drawn   time.Time
	closed  bool
	stop    chan struct{}
	ended   chan struct{}
}

const (
	frame    = 100 * time.Millisecond
	maxLines = 10
	barWidth = 22
)

// NewTerminal gives a Display on the terminal w. size is asked for the size of
// the terminal, in characters, before each drawing.
func NewTerminal(w io.Writer, size func() (columns, rows int)) *Terminal {
	t := &Terminal{w: w, size: size, stop: make(chan struct{}), ended: make(chan struct{})}
	go t.run()
	return t
}

// run draws what has changed, and each second what time alone changes.
func (t *Terminal) run() {
	defer close(t.ended)
	tick := time.NewTicker(frame)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
		}
		t.mu.Lock()
		if t.changed || len(t.parts) > 0 && time.Since(t.drawn) >= time.Second {
			t.draw("")
		}
		t.mu.Unlock()
	}
}

// Show implements Display.
func (t *Terminal) Show(s Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.start.IsZero() {
		t.start = now
	}
	t.parts.set(s, now)
	t.changed = true
}

// Hide implements Display.
func (t *Terminal) Hide(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.parts.remove(name); ok {
		t.over.add(p.Step)
		t.changed = true
	}
}

func (s *Step) add(other Step) {
	s.Done += other.Done
	s.Total += other.Total
	s.Octets += other.Octets
	s.TotalOctets += max(other.TotalOctets, other.Octets)
}

// Say implements Display.
func (t *Terminal) Say(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draw(Escape(line) + "\n")
}

// Close implements Display.
func (t *Terminal) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	t.mu.Unlock()
	close(t.stop)
	<-t.ended
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = nil
	t.draw("")
}

// draw writes above, which stays, and below it the lines of now, all in one
// piece: a line is overwritten and then cleared behind its end, so that
// nothing flickers.
func (t *Terminal) draw(above string) {
	t.changed, t.drawn = false, time.Now()
	lines := t.frame()
	if above == "" && len(lines) == 0 && t.lines == 0 {
		return
	}
	var b strings.Builder
	if t.lines > 0 {
		b.WriteByte('\r')
	}
	if t.lines > 1 {
		fmt.Fprintf(&b, "\x1b[%dA", t.lines-1)
	}
	if above != "" {
		b.WriteString(strings.ReplaceAll(above, "\n", "\x1b[K\n"))
	}
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line + "\x1b[K")
	}
	if len(lines) < t.lines {
		if len(lines) > 0 {
			b.WriteString("\x1b[J")
		} else {
			b.WriteString("\r\x1b[J")
		}
	}
	t.lines = len(lines)
	_, _ = io.WriteString(t.w, b.String())
}

// frame gives the lines to draw, each shorter than the terminal is wide.
func (t *Terminal) frame() []string {
	if len(t.parts) == 0 {
		return nil
	}
	columns, rows := t.size()
	shown := t.parts
	if len(shown) > min(maxLines, rows-1) {
		sum := part{Step: t.over, start: t.start}
		for _, p := range t.parts {
			sum.add(p.Step)
		}
		sum.Name = Count(len(t.parts)) + " mailboxes"
		shown = parts{sum}
	}
	now := time.Now()
	lines := make([]string, len(shown))
	for i := range shown {
		lines[i] = fit(shown[i].text(now), shown[i].share(), columns-1)
	}
	return lines
}

// fit cuts text to a width, or puts a bar at its end if there is room.
func fit(text string, share float64, width int) string {
	if len(text) > width {
		return text[:max(width, 0)]
	}
	space := width - len(text) - barWidth
	if space < 2 {
		return text
	}
	const inner = barWidth - 2
	full := int(share * inner)
	return text + strings.Repeat(" ", space) + "[" + strings.Repeat("#", full) + strings.Repeat(".", inner-full) + "]"
}
