package differential

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// canonical is a stored message as a client holds it: a bare LF ends a line,
// every line ends in CRLF, and a CR elsewhere is content.
func canonical(text string) []byte {
	var out []byte
	for line := range strings.Lines(text) {
		if rest, ended := strings.CutSuffix(line, "\n"); ended {
			line = strings.TrimSuffix(rest, "\r")
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

// plainLetters are such as every program keeps as they are: a header, an empty
// line, lines of text that end in LF.
func plainLetters(r *rand.Rand, n int) []string {
	var all []string
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "From: sender@example.org\nTo: carol@example.org\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nMessage-ID: <%d.%d@example.org>\nSubject: letter %d\n\n", i, r.Uint64(), i)
		for range r.IntN(30) {
			b.WriteString([]string{"text", ".", "..", ".dot", "", strings.Repeat("long ", 15), "Subject: no header", "=20", "+OK", "-ERR"}[r.IntN(10)] + "\n")
		}
		b.WriteString("end\n")
		all = append(all, b.String())
	}
	return all
}

// nastyLetters are what disks hold as well.
func nastyLetters(r *rand.Rand, n int) []string {
	pieces := []string{"\r\n", "\n", "\r", ".", "..\r\n", ".\r\n", "\n.\n", "a", "Subject: x\n", "\x00", "\xff", "From x\n", "\n\n", "\r\r\n", "\t", "é"}
	var all []string
	for i := range n {
		var b bytes.Buffer
		fmt.Fprintf(&b, "X-Number: %d.%d\n", i, r.Uint64())
		if r.IntN(8) == 0 {
			b.WriteString(strings.Repeat([]string{"x", ".\r\n", "\r", "line\n"}[r.IntN(4)], 4090+r.IntN(12)))
		}
		for range r.IntN(20) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		all = append(all, b.String())
	}
	return all
}
