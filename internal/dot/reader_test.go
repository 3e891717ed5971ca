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

// receive reads one message from in, which arrives in two parts, into a buffer
// of size octets at a time.
func receive(in []byte, split, size int, strict bool) (m []byte, err error, rest []byte) {
	br := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(in[:split]), bytes.NewReader(in[split:])), 16)
	r := dot.NewReader(br)
	if strict {
		r = dot.NewStrictReader(br)
	}
	buf := make([]byte, size)
	for {
		n, e := r.Read(buf)
		m = append(m, buf[:n]...)
		if e != nil {
			rest, _ = io.ReadAll(br)
			return m, e, rest
		}
	}
}

func TestReaderExhaustive(t *testing.T) {
	t.Parallel()
	const end = "\r\n.\r\nnext"
	words(7, func(w []byte) {
		in := append(append([]byte(nil), w...), end...)
		want, bare, used, _ := unwire(in)
		for split := range len(w) + len(end) {
			for _, size := range []int{1, 2, 64} {
				if got, err, rest := receive(in, split, size, false); err != io.EOF ||
					!bytes.Equal(got, want) || !bytes.Equal(rest, in[used:]) {
					t.Fatalf("%q split at %d, size %d: got %q, %v, rest %q", in, split, size, got, err, rest)
				}
				wantErr := io.EOF
				if bare {
					wantErr = dot.ErrBareLineEnd
				}
				got, err, rest := receive(in, split, size, true)
				if err != wantErr || !bytes.Equal(rest, in[used:]) || !bare && !bytes.Equal(got, want) {
					t.Fatalf("strict %q split at %d, size %d: got %q, %v, rest %q", in, split, size, got, err, rest)
				}
			}
		}
	})
}

func TestReaderEarlyEnd(t *testing.T) {
	t.Parallel()
	words(6, func(w []byte) {
		if _, _, _, whole := unwire(w); whole {
			return
		}
		for _, strict := range []bool{false, true} {
			if _, err, _ := receive(w, 0, 64, strict); err != io.ErrUnexpectedEOF {
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
		if _, err, rest := receive([]byte(in), 0, 64, true); err != dot.ErrBareLineEnd || string(rest) != "next" {
			t.Errorf("%q: strict gives %v and leaves %q", end, err, rest)
		}
		got, err, rest := receive([]byte(in), 0, 64, false)
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
	got, err, _ := receive([]byte("."+want+".\r\n"), 7, 4096, true)
	if err != io.EOF || string(got) != want {
		t.Errorf("a line of 1 MiB came back as %d octets, %v", len(got), err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.\r\nc"), 3, true)
	f.Fuzz(func(t *testing.T, in []byte, size int, strict bool) {
		size = min(max(size, 1), 64)
		want, bare, used, whole := unwire(in)
		got, err, rest := receive(in, 0, size, strict)
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

func BenchmarkWriter(b *testing.B) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		b.Run(name, func(b *testing.B) {
			m := letter(end)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			w := bufio.NewWriterSize(io.Discard, 32<<10)
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
