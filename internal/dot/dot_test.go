package dot_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postwain/postwain/internal/dot"
)

// words calls f with every string over {a . CR LF} of at most max octets. The
// slice is valid during the call.
func words(max int, f func(w []byte)) {
	const alphabet = "a.\r\n"
	var grow func(w []byte)
	grow = func(w []byte) {
		f(w)
		if len(w) == max {
			return
		}
		for i := range len(alphabet) {
			grow(append(w, alphabet[i]))
		}
	}
	grow(make([]byte, 0, max))
}

// canonical is what a receiver of the stored message m holds: the naive
// reference of the codec, octet by octet.
func canonical(m []byte) []byte {
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

// wire is the reference of what a sender of m sends.
func wire(m []byte) []byte {
	var out []byte
	start := true
	for _, c := range canonical(m) {
		if start && c == '.' {
			out = append(out, '.')
		}
		out = append(out, c)
		start = c == '\n'
	}
	return append(out, ".\r\n"...)
}

// unwire is the reference of what a receiver makes of in: the message, whether
// it had a bare line end, and how much of in it used; ok is false if in ends
// before the message does.
func unwire(in []byte) (m []byte, bare bool, used int, ok bool) {
	rest := in
	for {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found {
			return nil, false, 0, false
		}
		rest = after
		if string(line) == "." {
			return m, bare, len(in) - len(rest), true
		}
		line = bytes.TrimPrefix(line, []byte("."))
		bare = bare || bytes.ContainsAny(line, "\r\n")
		m = append(append(m, line...), "\r\n"...)
	}
}

func TestWriterExhaustive(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	words(8, func(m []byte) {
		want, size := wire(m), int64(len(canonical(m)))
		for split := range len(m) + 1 {
			out.Reset()
			d := dot.NewWriter(&out)
			d.Write(m[:split])
			d.Write(m[split:])
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) || d.Octets() != size {
				t.Fatalf("%q split at %d: got %q (%d octets), want %q (%d)", m, split, out.Bytes(), d.Octets(), want, size)
			}
		}
	})
}

// tight lends as little room as it may, or less.
type tight struct {
	bytes.Buffer
	room [7]byte
	n    int
}

func (l *tight) Room(int) ([]byte, error) {
	l.n = l.n%len(l.room) + 1
	return l.room[:max(l.n, 2)], nil
}

func (l *tight) Fill(n int) { l.Write(l.room[:n]) }

// Wherever the lent buffer ends, the output is the same.
func TestWriterLender(t *testing.T) {
	t.Parallel()
	words(8, func(m []byte) {
		for first := range 7 {
			out := &tight{n: first}
			d := dot.NewWriter(out)
			d.Write(m)
			if err := d.Close(); err != nil || !bytes.Equal(out.Bytes(), wire(m)) || d.Octets() != int64(len(canonical(m))) {
				t.Fatalf("%q: got %q (%d octets), %v", m, out.Bytes(), d.Octets(), err)
			}
		}
	})
}

func TestWriterReadFrom(t *testing.T) {
	t.Parallel()
	readers := map[string]func(io.Reader) io.Reader{
		"whole":    func(r io.Reader) io.Reader { return r },
		"one":      iotest.OneByteReader,
		"data+EOF": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		words(5, func(m []byte) {
			var out bytes.Buffer
			d := dot.NewWriter(&out)
			n, err := d.ReadFrom(wrap(bytes.NewReader(m)))
			if err != nil || n != int64(len(m)) {
				t.Fatalf("%s %q: ReadFrom = %d, %v", name, m, n, err)
			}
			if err := d.Close(); err != nil || !bytes.Equal(out.Bytes(), wire(m)) {
				t.Fatalf("%s %q: got %q, %v", name, m, out.Bytes(), err)
			}
		})
	}
}

// cutWriter takes n octets and then fails.
type cutWriter struct {
	n   int
	out bytes.Buffer
}

var errCut = errors.New("cut")

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) > c.n {
		p = p[:c.n]
	}
	c.n -= len(p)
	c.out.Write(p)
	if c.n == 0 {
		return len(p), errCut
	}
	return len(p), nil
}

func TestNoEndDotAfterError(t *testing.T) {
	t.Parallel()
	message := []byte("a\n.b\r\nc\n")
	whole := wire(message)

	for k := range len(message) {
		var out bytes.Buffer
		d := dot.NewWriter(&out)
		r := io.MultiReader(bytes.NewReader(message[:k]), iotest.ErrReader(errCut))
		if _, err := d.ReadFrom(r); err != errCut {
			t.Fatalf("source cut at %d: ReadFrom = %v", k, err)
		}
		if _, err := d.Write([]byte("more")); err != errCut {
			t.Fatalf("source cut at %d: Write = %v", k, err)
		}
		if err := d.Close(); err != errCut || bytes.HasSuffix(out.Bytes(), []byte(".\r\n")) {
			t.Fatalf("source cut at %d: Close = %v after %q", k, err, out.Bytes())
		}
	}
	for k := range len(whole) {
		w := &cutWriter{n: k}
		d := dot.NewWriter(w)
		d.Write(message)
		if err := d.Close(); err != errCut || !bytes.Equal(w.out.Bytes(), whole[:k]) {
			t.Fatalf("destination cut at %d: Close = %v after %q", k, err, w.out.Bytes())
		}
	}
}

func TestWriterAfterClose(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := dot.NewWriter(&out)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("Write after Close succeeded")
	}
	if err := d.Close(); err == nil || out.String() != ".\r\n" {
		t.Errorf("second Close = %v, output %q", err, out.String())
	}
}

func TestReadFromStuckReader(t *testing.T) {
	t.Parallel()
	d := dot.NewWriter(io.Discard)
	if _, err := d.ReadFrom(stuck{}); err != io.ErrNoProgress {
		t.Errorf("ReadFrom = %v, want io.ErrNoProgress", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// headOf is the reference of Head.
func headOf(m []byte, lines int) []byte {
	var out []byte
	body := false
	for len(m) > 0 && (!body || lines > 0) {
		line, rest := m, []byte(nil)
		if j := bytes.IndexByte(m, '\n'); j >= 0 {
			line, rest = m[:j+1], m[j+1:]
		}
		if body {
			lines--
		} else {
			body = string(line) == "\n" || string(line) == "\r\n"
		}
		out, m = append(out, line...), rest
	}
	return out
}

func TestHeadExhaustive(t *testing.T) {
	t.Parallel()
	buf := make([]byte, 16)
	words(7, func(m []byte) {
		for lines := -1; lines < 4; lines++ {
			want := headOf(m, lines)
			for split := range len(m) + 1 {
				r := dot.Head(&receiver{parts: [2][]byte{m[:split], m[split:]}}, lines)
				got, err := buf[:0], error(nil)
				for err == nil {
					var n int
					n, err = r.Read(buf[len(got):])
					got = buf[:len(got)+n]
				}
				if err == io.EOF {
					err = nil
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d lines of %q split at %d: got %q, %v, want %q", lines, m, split, got, err, want)
				}
			}
		}
	})
}

func TestHeadPassesErrorsOn(t *testing.T) {
	t.Parallel()
	r := io.MultiReader(strings.NewReader("A: b\n\nbody"), iotest.ErrReader(errCut))
	got, err := io.ReadAll(dot.Head(r, 5))
	if err != errCut || string(got) != "A: b\n\nbody" {
		t.Errorf("got %q, %v", got, err)
	}
	r = io.MultiReader(strings.NewReader("A: b\n\nbody"), iotest.ErrReader(errCut))
	if got, err = io.ReadAll(dot.Head(r, 0)); err != nil || string(got) != "A: b\n\n" {
		t.Errorf("an error behind what is wanted: got %q, %v", got, err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(".\n..\r\n.\r\r\n\x00\xff."), 3)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, m []byte, split int) {
		split = min(max(split, 0), len(m))
		var out bytes.Buffer
		d := dot.NewWriter(&out)
		d.Write(m[:split])
		d.ReadFrom(bytes.NewReader(m[split:]))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		want := canonical(m)
		if d.Octets() != int64(len(want)) {
			t.Fatalf("%q: %d octets, want %d", m, d.Octets(), len(want))
		}
		out.WriteString("next")
		br := bufio.NewReaderSize(&out, 16)
		got, err := io.ReadAll(dot.NewReader(br))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q came back as %q, %v", m, got, err)
		}
		if rest, _ := io.ReadAll(br); string(rest) != "next" {
			t.Fatalf("%q: left %q behind the message", m, rest)
		}
	})
}
