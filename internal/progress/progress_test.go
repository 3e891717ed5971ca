package progress

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hostile is a text with everything that a terminal might obey (faults 106):
// ESC, OSC, C1 as an octet and as a character, bidi, NUL, DEL, line ends.
const hostile = "a\x1b[2Jb\x1b]0;title\x07c\x9b2Jd\u009b2Je\u202ef\u2066g\x00h\x7fi\r\nj\u2028k\u200bl\U000e0001m\xffé"

// plain reports the first octet that may not reach a terminal.
func plain(s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' || c >= 0x7F {
			return fmt.Errorf("octet %#x at %d of %q", c, i, s)
		}
	}
	return nil
}

func TestEscape(t *testing.T) {
	t.Parallel()
	want := `a\x1b[2Jb\x1b]0;title\x07c\x9b2Jd\u009b2Je\u202ef\u2066g\x00h\x7fi\x0d\x0aj\u2028k\u200bl\U000e0001m\xff\u00e9`
	if got := Escape(hostile); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Escape(want); got != want {
		t.Errorf("escaped twice: %s", got)
	}
	if got := Escape(strings.Repeat("x", 5000)); len(got) != maxText+3 {
		t.Errorf("%d octets", len(got))
	}
}

func FuzzEscape(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, s string) {
		if got := Escape(s); plain(got) != nil || strings.Contains(got, "\n") {
			t.Error(plain(got))
		}
	})
}

func TestHuman(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9951: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		45_600_000: "46 MB", 1 << 62: "4.6 EB",
	} {
		if got := Octets(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0:00", 1499 * time.Millisecond: "0:01", 1500 * time.Millisecond: "0:02", 59 * time.Second: "0:59",
		3599 * time.Second: "59:59", 3661 * time.Second: "1:01:01",
	} {
		if got := Clock(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := Table([][]string{{"account", "fetched", "octets"}, {"helpdesk", "1,000", "3.4 MB"}, {"\x1b[2J", "0", ""}})
	want := "account   fetched  octets\nhelpdesk    1,000  3.4 MB\n\\x1b[2J         0\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

// screen is as much of a terminal as Terminal needs. Anything else fails.
type screen struct {
	t        *testing.T
	mu       sync.Mutex
	writes   int
	lines    []string
	row, col int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for i := 0; i < len(p); i++ {
		for s.row >= len(s.lines) {
			s.lines = append(s.lines, "")
		}
		switch c := p[i]; {
		case c == '\r':
			s.col = 0
		case c == '\n':
			s.row, s.col = s.row+1, 0
		case c == 0x1b && p[i+1] == '[':
			end := i + 2 + bytes.IndexAny(p[i+2:], "AJK")
			s.order(string(p[i+2:end]), p[end])
			i = end
		case c >= ' ' && c < 0x7F:
			line := s.lines[s.row]
			s.lines[s.row] = line[:s.col] + string(c) + line[min(s.col+1, len(line)):]
			s.col++
		default:
			s.t.Errorf("octet %#x reaches the terminal", c)
		}
	}
	return len(p), nil
}

func (s *screen) order(arg string, order byte) {
	switch order {
	case 'A':
		n, _ := strconv.Atoi(arg)
		s.row -= n
	case 'K':
		s.lines[s.row] = s.lines[s.row][:s.col]
	case 'J':
		s.lines[s.row] = s.lines[s.row][:s.col]
		s.lines = s.lines[:s.row+1]
	}
}

func (s *screen) want(lines ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.lines, "\n"); got != strings.Join(lines, "\n") {
		s.t.Errorf("screen:\n%s\nwant:\n%s", got, strings.Join(lines, "\n"))
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &screen{t: t}
		d := NewTerminal(s, func() (int, int) { return 100, 24 })
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		d.Show(Step{Name: "helpdesk", Total: 1000, TotalOctets: 4_000_000})
		d.Show(Step{Name: "\x1b[2Jevil\u202e", Total: 2})
		pass(frame)
		s.want("helpdesk  0/1,000 messages  0 B of 4.0 MB                                    [....................]",
			`\x1b[2Jevil\u202e  0/2 messages  0 B                                         [....................]`)
		pass(2*time.Second - frame)
		d.Show(Step{Name: "helpdesk", Done: 250, Total: 1000, Octets: 1_000_000, TotalOctets: 4_000_000})
		pass(frame)
		s.want("helpdesk  250/1,000 messages  1.0 MB of 4.0 MB  476 kB/s  0:06 left          [#####...............]",
			`\x1b[2Jevil\u202e  0/2 messages  0 B                                         [....................]`)
		d.Say("helpdesk: message 7: \x1b]0;x\x07refused")
		d.Hide("helpdesk")
		pass(frame)
		s.want(`helpdesk: message 7: \x1b]0;x\x07refused`, `\x1b[2Jevil\u202e  0/2 messages  0 B                                         [....................]`)
		d.Close()
		d.Close()
		s.want(`helpdesk: message 7: \x1b]0;x\x07refused`, "")
	})
}

// A thousand changes in a second are ten drawings.
func TestTerminalDrawsTenTimesASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &screen{t: t}
		d := NewTerminal(s, func() (int, int) { return 20, 24 })
		for i := range 1000 {
			d.Show(Step{Name: "a", Done: i, Total: 1000})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		d.Close()
		if s.writes > 11 || s.writes < 10 {
			t.Errorf("%d drawings", s.writes)
		}
		for _, line := range s.lines {
			if len(line) > 19 {
				t.Errorf("%q does not fit", line)
			}
		}
	})
}

// Many mailboxes are one line, in which those that are over count.
func TestTerminalSum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &screen{t: t}
		d := NewTerminal(s, func() (int, int) { return 96, 24 })
		for i := range 100 {
			d.Show(Step{Name: strconv.Itoa(i), Done: 5, Total: 10, Octets: 500, TotalOctets: 1000})
		}
		d.Hide("7")
		time.Sleep(time.Second + 2*frame)
		synctest.Wait()
		s.want("99 mailboxes  500/1,000 messages  50 kB of 100 kB  45 kB/s  0:01 left    [##########..........]")
		d.Close()
		s.want("")
	})
}

func TestLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		d := NewLines(&b)
		for i := range 60 {
			d.Show(Step{Name: "a\x1b", Done: i, Total: 100, Octets: int64(i) * 1000, TotalOctets: 100_000})
			time.Sleep(time.Second)
		}
		d.Say("b\x1b")
		d.Hide("a\x1b")
		d.Close()
		want := "a\\x1b  30/100 messages  30 kB of 100 kB  1.0 kB/s  1:10 left\nb\\x1b\n"
		if b.String() != want {
			t.Errorf("got\n%s", b.String())
		}
	})
}
