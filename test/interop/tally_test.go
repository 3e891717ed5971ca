//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tally is what has become of the messages of some trials.
type tally struct {
	trials, strikes, messages int

	lost    int // not in the destination although the fetcher says that it is done
	doubled int // surplus copies in the destination
	damaged int // files in the destination that are no copy of a message
	left    int // to be deleted, and still on the server
	hung    int // runs that came to no end
}

func (t *tally) add(other tally) {
	t.trials += other.trials
	t.strikes += other.strikes
	t.messages += other.messages
	t.lost += other.lost
	t.doubled += other.doubled
	t.damaged += other.damaged
	t.left += other.left
	t.hung += other.hung
}

func (t tally) exact() bool { return t.lost+t.doubled+t.damaged+t.left+t.hung == 0 }

// String gives the faults, and those that nobody should have even if there are
// none.
func (t tally) String() string {
	text := fmt.Sprintf("%d lost, %d doubled", t.lost, t.doubled)
	for _, fault := range []struct {
		n    int
		name string
	}{{t.damaged, "damaged"}, {t.left, "not deleted"}, {t.hung, "times hung"}} {
		if fault.n > 0 {
			text += fmt.Sprintf(", %d %s", fault.n, fault.name)
		}
	}
	return text
}

// numberLine names a numbered letter in its header.
const numberLine = "X-Number: "

// numbered makes the letter with a number, different from all others: a few KB
// with lines that a codec can trip over.
func numbered(i int) stored {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	var b strings.Builder
	fmt.Fprintf(&b, "%sletter %d\nMessage-ID: <%d@example.net>\n%s%d\n\n", header, i, i, numberLine, i)
	for range 5 + r.IntN(150) {
		if r.IntN(20) == 0 {
			b.WriteByte('.')
		}
		b.WriteString(strings.Repeat("text ", r.IntN(14)))
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "end of %d\n", i)
	return stored{fmt.Sprintf("%d.M%dP1.host", 1700000000+i, i), []byte(b.String())}
}

func numberedLetters(n int) []stored {
	all := make([]stored, n)
	for i := range all {
		all[i] = numbered(i)
	}
	return all
}

// count compares what came with what was there. A fetcher may put header lines
// on top of a message.
func count(letters, came, onServer []stored, keep bool) tally {
	t := tally{trials: 1, messages: len(letters)}
	copies := make([]int, len(letters))
	for _, m := range came {
		i, ok := numberOf(m.data)
		if !ok || i >= len(letters) || !isCopy(m.data, letters[i].data) {
			t.damaged++
			continue
		}
		copies[i]++
	}
	for _, n := range copies {
		switch {
		case n == 0:
			t.lost++
		case n > 1:
			t.doubled += n - 1
		}
	}
	if !keep {
		t.left = len(onServer)
	}
	return t
}

// numberOf reads the number of a letter.
func numberOf(data []byte) (int, bool) {
	_, rest, ok := bytes.Cut(data, []byte(numberLine))
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte("\n"))
	i, err := strconv.Atoi(string(bytes.TrimSuffix(digits, []byte("\r"))))
	return i, ok && err == nil && i >= 0
}

// isCopy reports whether data is the letter below nothing but header lines.
func isCopy(data, letter []byte) bool {
	added, ok := bytes.CutSuffix(crlf(data), crlf(letter))
	return ok && (len(added) == 0 || bytes.HasSuffix(added, []byte("\r\n")) && !bytes.Contains(added, []byte("\r\n\r\n")))
}

// TestTally shows that nothing escapes the count.
func TestTally(t *testing.T) {
	t.Parallel()
	letters := numberedLetters(3)
	topped := stored{"topped", append([]byte("Received: by us\r\n"), crlf(letters[1].data)...)}
	short := stored{"short", letters[2].data[:len(letters[2].data)-9]}
	for _, c := range []struct {
		name           string
		came, onServer []stored
		keep           bool
		want           tally
	}{
		{"all", letters, nil, false, tally{}},
		{"none", nil, nil, false, tally{lost: 3}},
		{"kept", letters, letters, true, tally{}},
		{"left", letters, letters[:1], false, tally{left: 1}},
		{"doubled", append([]stored{letters[1], letters[1]}, letters...), nil, false, tally{doubled: 2}},
		{"with a header line", []stored{letters[0], topped, letters[2]}, nil, false, tally{}},
		{"cut short", []stored{letters[0], letters[1], short}, nil, false, tally{lost: 1, damaged: 1}},
		{"cut short, then whole", append([]stored{short}, letters...), nil, false, tally{damaged: 1}},
		{"empty file", append([]stored{{"empty", nil}}, letters...), nil, false, tally{damaged: 1}},
		{"glued", append([]stored{{"glued", slices.Concat(letters[0].data, letters[1].data)}}, letters...), nil, false, tally{damaged: 1}},
	} {
		c.want.trials, c.want.messages = 1, 3
		if got := count(letters, c.came, c.onServer, c.keep); got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}
