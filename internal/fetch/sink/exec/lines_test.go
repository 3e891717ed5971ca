package exec

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// From what becomes of a message its wire form can be told, wherever the parts
// are cut in which it comes.
func TestUnixLines(t *testing.T) {
	t.Parallel()
	words(7, func(w []byte) {
		var first []byte
		for _, r := range []io.Reader{bytes.NewReader(w), iotest.OneByteReader(bytes.NewReader(w)), iotest.DataErrReader(bytes.NewReader(w))} {
			got, err := io.ReadAll(&unixLines{r: r})
			if err != nil || !bytes.Equal(wire(got), wire(w)) {
				t.Fatalf("%q becomes %q, %v", w, got, err)
			}
			if first == nil {
				first = got
			}
			if !bytes.Equal(first, got) {
				t.Fatalf("%q becomes %q or %q", w, first, got)
			}
		}
		if lines := bytes.ReplaceAll(w, []byte("\r\n"), []byte("\n")); !bytes.Contains(lines, []byte("\r")) && !bytes.Equal(first, lines) {
			t.Fatalf("%q becomes %q", w, first)
		}
	})
}

// words calls f with every string over {a . CR LF} of at most max octets.
func words(max int, f func(w []byte)) {
	var grow func(w []byte)
	grow = func(w []byte) {
		f(w)
		if len(w) < max {
			for _, c := range []byte("a.\r\n") {
				grow(append(w, c))
			}
		}
	}
	grow(make([]byte, 0, max))
}

// wire is what a receiver holds of a message: lines that end in CRLF.
func wire(p []byte) []byte {
	var out []byte
	for i, c := range p {
		if c == '\n' && (i == 0 || p[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(p) > 0 && p[len(p)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}
