package maildrop

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// wire is the slow definition: what a client holds.
func wire(p []byte) []byte {
	var out []byte
	for i, c := range p {
		if c == '\n' && (i == 0 || p[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(p) > 0 && p[len(p)-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return out
}

func TestOctets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{"", 0}, {"\n", 2}, {"\r\n", 2}, {"\r", 3}, {"a", 3}, {"a\r", 4}, {"a\n", 3}, {"\r\r\n", 3},
		{"\n\r", 5}, {"\n\n", 4}, {".", 3}, {".\r\n", 3}, {"a\x00b\n", 5}, {"a\r\nb\nc", 9},
	} {
		got, err := Octets(strings.NewReader(tt.in))
		if got != tt.want || err != nil {
			t.Errorf("Octets(%q) = %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
}

// twoParts gives its parts in one Read each.
type twoParts [2][]byte

func (p *twoParts) Read(b []byte) (int, error) {
	for i := range p {
		if len(p[i]) > 0 {
			n := copy(b, p[i])
			p[i] = p[i][n:]
			return n, nil
		}
	}
	return 0, io.EOF
}

// Every text of up to 8 octets, split at every point.
func TestOctetsExhaustive(t *testing.T) {
	t.Parallel()
	const alphabet = "a.\r\n"
	var try func(p []byte)
	try = func(p []byte) {
		want := int64(len(wire(p)))
		for i := range len(p) + 1 {
			var c octets
			c.add(p[:i])
			c.add(p[i:])
			if got := c.end(); got != want {
				t.Fatalf("%q + %q: %d, want %d", p[:i], p[i:], got, want)
			}
		}
		if len(p) < 8 {
			for i := range len(alphabet) {
				try(append(p[:len(p):len(p)], alphabet[i]))
			}
		}
	}
	try(nil)
}

// CR and LF on both sides of the buffer's end.
func TestOctetsAtBufferEnd(t *testing.T) {
	t.Parallel()
	for size := 64<<10 - 2; size <= 64<<10+2; size++ {
		for _, end := range []string{"", "\n", "\r\n", "\r", "\r\r\n", "\n\r"} {
			p := append(bytes.Repeat([]byte("x"), size-len(end)), end+"tail\r\n"...)
			got, err := Octets(bytes.NewReader(p))
			if want := int64(len(wire(p))); got != want || err != nil {
				t.Errorf("%d octets with %q at the end: %d, %v; want %d", size, end, got, err, want)
			}
		}
	}
}

func TestOctetsError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, err := range []error{broken, io.ErrUnexpectedEOF} {
		if _, got := Octets(io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(err))); got != err {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	got, err := Octets(iotest.DataErrReader(strings.NewReader("a\nb")))
	if got != 6 || err != nil {
		t.Errorf("data beside io.EOF: %d, %v; want 6", got, err)
	}
	if _, err := Octets(stuck{}); err != io.ErrNoProgress {
		t.Errorf("a stuck reader: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func FuzzOctets(f *testing.F) {
	f.Add([]byte("a\r\nb\n\rc\r\r\n"), 3)
	f.Fuzz(func(t *testing.T, p []byte, i int) {
		i = min(max(i, 0), len(p))
		got, err := Octets(&twoParts{p[:i], p[i:]})
		if want := int64(len(wire(p))); got != want || err != nil {
			t.Fatalf("got %d, %v; want %d", got, err, want)
		}
	})
}

func BenchmarkOctets(b *testing.B) {
	for _, end := range []string{"\n", "\r\n"} {
		p := bytes.Repeat([]byte(strings.Repeat("x", 72)+end), 64<<10)
		b.Run(map[string]string{"\n": "LF", "\r\n": "CRLF"}[end], func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			r := bytes.NewReader(p)
			for b.Loop() {
				r.Reset(p)
				if _, err := Octets(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
