package dot_test

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postwain/postwain/internal/dot"
)

// receiver reads messages, with the same buffers for all.
type receiver struct {
	parts [2][]byte // of the input, as they arrive
	br    *bufio.Reader
	buf   [64]byte
	m     []byte
	rest  []byte
}

func newReceiver() *receiver {
	r := &receiver{}
	r.br = bufio.NewReaderSize(r, 16)
	return r
}

func (r *receiver) Read(p []byte) (int, error) {
	for i := range r.parts {
		if len(r.parts[i]) > 0 {
			n := copy(p, r.parts[i])
			r.parts[i] = r.parts[i][n:]
			return n, nil
		}
	}
	return 0, io.EOF
}

// receive reads one message from in, which arrives in two parts, size octets
// at a time. What it returns is valid until the next call.
func (r *receiver) receive(in []byte, split, size int, strict bool) (m, rest []byte, err error) {
	r.parts = [2][]byte{in[:split], in[split:]}
	r.br.Reset(r)
	d := dot.NewReader(r.br)
	if strict {
		d = dot.NewStrictReader(r.br)
	}
	r.m, r.rest = r.m[:0], r.rest[:0]
	for err == nil {
		var n int
		n, err = d.Read(r.buf[:size])
		r.m = append(r.m, r.buf[:n]...)
	}
	for {
		n, e := r.br.Read(r.buf[:])
		r.rest = append(r.rest, r.buf[:n]...)
		if e != nil {
			return r.m, r.rest, err
		}
	}
}

func receive(in []byte, split, size int, strict bool) (m, rest []byte, err error) {
	return newReceiver().receive(in, split, size, strict)
}

func TestReaderExhaustive(t *testing.T) {
	t.Parallel()
	t.Run("splits", func(t *testing.T) { t.Parallel(); readAllWords(t, 8, 64) })
	t.Run("pairs", func(t *testing.T) { t.Parallel(); readAllWords(t, 6, 2) })
	t.Run("octets", func(t *testing.T) { t.Parallel(); readAllWords(t, 6, 1) })
}

// readAllWords receives every string of at most max octets, at every split.
func readAllWords(t *testing.T, max, size int) {
	const end = "\r\n.\r\nnext"
	r := newReceiver()
	in := make([]byte, 0, max+len(end))
	words(max, func(w []byte) {
		in = append(append(in[:0], w...), end...)
		want, bare, used, _ := unwire(in)
		wantErr := io.EOF
		if bare {
			wantErr = dot.ErrBareLineEnd
		}
		for split := range len(w) + 5 {
			got, rest, err := r.receive(in, split, size, false)
			if err != io.EOF || !bytes.Equal(got, want) || !bytes.Equal(rest, in[used:]) {
				t.Fatalf("%q split at %d: got %q, %v, rest %q", in, split, got, err, rest)
			}
			got, rest, err = r.receive(in, split, size, true)
			if err != wantErr || !bytes.Equal(rest, in[used:]) || !bare && !bytes.Equal(got, want) {
				t.Fatalf("strict %q split at %d: got %q, %v, rest %q", in, split, got, err, rest)
			}
		}
	})
}

func TestReaderEarlyEnd(t *testing.T) {
	t.Parallel()
	r := newReceiver()
	words(7, func(w []byte) {
		if _, _, _, whole := unwire(w); whole {
			return
		}
		for _, strict := range []bool{false, true} {
			if _, _, err := r.receive(w, 0, 64, strict); err != io.ErrUnexpectedEOF {
				t.Fatalf("%q (strict %v) ended in %v", w, strict, err)
			}
		}
	})
}

// What other programs may take for the end of a message is none, and a strict
// reader refuses it, with everything behind it (VU#302671).
func TestReaderSmuggling(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r\n.\n", "\r.\r\n", "\n.\r", "\r\r\n.\r\r\n", "\r\n\x00.\n"} {
		in := "Subject: a\r\n\r\nb" + end + "MAIL FROM:<x@example.org>\r\n.\r\nnext"
		got, rest, err := receive([]byte(in), 0, 64, true)
		if err != dot.ErrBareLineEnd || string(rest) != "next" || strings.Contains(string(got), "MAIL") {
			t.Errorf("%q: strict gives %q, %v and leaves %q", end, got, err, rest)
		}
		got, rest, err = receive([]byte(in), 0, 64, false)
		if err != io.EOF || string(rest) != "next" || !strings.HasSuffix(string(got), "MAIL FROM:<x@example.org>\r\n") {
			t.Errorf("%q: gives %q, %v and leaves %q", end, got, err, rest)
		}
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	br := bufio.NewReader(io.MultiReader(strings.NewReader("a\r\n.b"), iotest.ErrReader(errCut)))
	r := dot.NewReader(br)
	got, err := io.ReadAll(r)
	if err != errCut || string(got) != "a\r\nb" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := r.Read(make([]byte, 1)); err != errCut {
		t.Errorf("second Read = %v, want the same error", err)
	}
}

func TestReaderLongLine(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("x", 1<<20) + "\r\n"
	got, _, err := receive([]byte("."+want+".\r\n"), 7, 64, true)
	if err != io.EOF || string(got) != want {
		t.Errorf("a line of 1 MiB came back as %d octets, %v", len(got), err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.\r\nc"), 3, true)
	f.Fuzz(func(t *testing.T, in []byte, size int, strict bool) {
		size = min(max(size, 1), 64)
		want, bare, used, whole := unwire(in)
		got, rest, err := receive(in, 0, size, strict)
		switch {
		case !whole:
			if err != io.ErrUnexpectedEOF {
				t.Fatalf("early end gives %v", err)
			}
		case strict && bare:
			if err != dot.ErrBareLineEnd || !bytes.Equal(rest, in[used:]) {
				t.Fatalf("got %v, rest %q", err, rest)
			}
		case err != io.EOF || !bytes.Equal(got, want) || !bytes.Equal(rest, in[used:]):
			t.Fatalf("got %q, %v, rest %q", got, err, rest)
		}
	})
}

// letter is an ordinary message of about 8 KiB with the given line end.
func letter(end string) []byte {
	line := "The quick brown fox jumps over the lazy dog, again and again and again." + end
	return []byte("From: a@example.org" + end + "Subject: b" + end + end + strings.Repeat(line, 110) + "." + end)
}

// loan is a destination with a buffer that is always empty again.
type loan struct{ buf [64 << 10]byte }

func (l *loan) Write(p []byte) (int, error) { return copy(l.buf[:], p), nil }
func (l *loan) Room(int) ([]byte, error)    { return l.buf[:], nil }
func (l *loan) Fill(int)                    {}

func BenchmarkWriter(b *testing.B) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		b.Run(name, func(b *testing.B) {
			m := letter(end)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			w := new(loan)
			src := bytes.NewReader(m)
			for b.Loop() {
				src.Reset(m)
				d := dot.NewWriter(w)
				d.ReadFrom(src)
				d.Close()
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	for name, open := range map[string]func(*bufio.Reader) *dot.Reader{"lax": dot.NewReader, "strict": dot.NewStrictReader} {
		b.Run(name, func(b *testing.B) {
			m := wire(letter("\r\n"))
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			src := bytes.NewReader(m)
			br := bufio.NewReaderSize(src, 32<<10)
			buf := make([]byte, 32<<10)
			for b.Loop() {
				src.Reset(m)
				br.Reset(src)
				r := open(br)
				for {
					if _, err := r.Read(buf); err != nil {
						break
					}
				}
			}
		})
	}
}
