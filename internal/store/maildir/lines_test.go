package maildir

import (
	"bytes"
	"testing"

	"github.com/postwain/postwain/maildrop"
)

// words calls f with every word over {a . CR LF} of up to max letters.
func words(max int, f func(w []byte)) {
	const alphabet = "a.\r\n"
	var extend func(w []byte)
	extend = func(w []byte) {
		f(w)
		if len(w) < max {
			for i := range alphabet {
				extend(append(w[:len(w):len(w)], alphabet[i]))
			}
		}
	}
	extend(nil)
}

// wire is the form a client gets, written as slowly and plainly as possible.
func wire(m []byte) []byte {
	var out []byte
	for i, c := range m {
		if c == '\n' && (i == 0 || m[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(m) > 0 && m[len(m)-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return out
}

// unix runs unixLines over the parts of m that cuts separate.
func unix(m []byte, cuts ...int) []byte {
	var u unixLines
	var out []byte
	from := 0
	for _, to := range append(cuts, len(m)) {
		out = append(out, u.convert(append([]byte{'?'}, m[from:to]...))...)
		from = to
	}
	return append(out, u.end()...)
}

// No message changes its wire form by the way it is stored, wherever the
// parts in which it comes are cut, and none keeps a CRLF that need not be.
func TestUnixLinesExhaustive(t *testing.T) {
	t.Parallel()
	words(7, func(m []byte) {
		whole := unix(m)
		if got, want := wire(whole), wire(m); !bytes.Equal(got, want) {
			t.Fatalf("%q is stored as %q and goes out as %q, not %q", m, whole, got, want)
		}
		for i := 1; i < len(whole); i++ {
			if whole[i] == '\n' && whole[i-1] == '\r' && (i < 2 || whole[i-2] != '\r') {
				t.Fatalf("%q is stored as %q", m, whole)
			}
		}
		for i := range m {
			for j := i; j < len(m); j++ {
				if got := unix(m, i, j); !bytes.Equal(got, whole) {
					t.Fatalf("%q cut at %d and %d is stored as %q, not %q", m, i, j, got, whole)
				}
			}
		}
	})
}

func TestCounterExhaustive(t *testing.T) {
	t.Parallel()
	words(7, func(m []byte) {
		want, err := maildrop.Octets(bytes.NewReader(m))
		if err != nil || want != int64(len(wire(m))) {
			t.Fatalf("Octets(%q) = %d, %v", m, want, err)
		}
		for i := range len(m) + 1 {
			var c counter
			c.add(m[:i])
			c.add(m[i:])
			if c.octets() != want || c.bytes != int64(len(m)) {
				t.Fatalf("%q cut at %d: %d octets, %d bytes; want %d", m, i, c.octets(), c.bytes, want)
			}
		}
	})
}
