package pop3_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/postwain/postwain/pop3"
)

func TestWriterReplies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want string
		send func(w *pop3.Writer)
	}{
		{"+OK\r\n", func(w *pop3.Writer) { w.OK().End() }},
		{"+OK hello\r\n", func(w *pop3.Writer) { w.OK().Text("hello").End() }},
		{"+OK 2 320\r\n", func(w *pop3.Writer) { w.OK().Int(2).Int(320).End() }},
		{"-ERR no\r\n", func(w *pop3.Writer) { w.Err("").Text("no").End() }},
		{"-ERR [IN-USE] no\r\n", func(w *pop3.Writer) { w.Err(pop3.CodeInUse).Text("no").End() }},
		{"+OK\r\n1 a\r\n.\r\n", func(w *pop3.Writer) { w.OK().End(); w.IntLine(1).Text("a").End(); w.Dot() }},
		{"..x\r\n...\r\n\r\n", func(w *pop3.Writer) { w.Line(".x").End(); w.Line("..").End(); w.Line("").End() }},
		{"+ \r\n+ YWI=\r\n", func(w *pop3.Writer) { w.Challenge(nil); w.Challenge([]byte("ab")) }},
		{"+OK\r\n..a\r\nb\r\n.\r\n", func(w *pop3.Writer) { w.OK().End(); w.Message(strings.NewReader(".a\nb"), -1) }},
		{"+OK\r\nA: b\r\n\r\n.\r\n", func(w *pop3.Writer) { w.OK().End(); w.Message(strings.NewReader("A: b\n\nc\n"), 0) }},
	} {
		var out bytes.Buffer
		w := pop3.NewWriter(&out)
		c.send(w)
		if err := w.Flush(); err != nil || out.String() != c.want || w.Octets() != int64(len(c.want)) {
			t.Errorf("got %q (%d octets), %v, want %q", out.String(), w.Octets(), err, c.want)
		}
	}
}

func FuzzWriterLine(f *testing.F) {
	f.Add("a\r\n.\r\n+OK", ".\r\n", int64(-1))
	f.Add(strings.Repeat("ä", 400), "IN-USE", int64(1<<62))
	f.Fuzz(func(t *testing.T, text, code string, n int64) {
		for _, begin := range []func(*pop3.Writer) *pop3.Writer{
			func(w *pop3.Writer) *pop3.Writer { return w.OK() },
			func(w *pop3.Writer) *pop3.Writer { return w.Err(pop3.Code(code)) },
			func(w *pop3.Writer) *pop3.Writer { return w.Line(text) },
		} {
			var out bytes.Buffer
			w := pop3.NewWriter(&out)
			begin(w).Text(text).Int(n).Text(text).Text(text).End()
			w.Flush()
			line, found := strings.CutSuffix(out.String(), "\r\n")
			if !found || strings.ContainsAny(line, "\r\n\x00\x1b\x7f") || line == "." || len(line) > 540 {
				t.Fatalf("%q became %q", text, out.String())
			}
			if utf8.ValidString(text) && utf8.ValidString(code) && !utf8.ValidString(line) {
				t.Fatalf("%q was cut inside a letter: %q", text, line)
			}
		}
	})
}

func TestWriterBuffersAndBounds(t *testing.T) {
	t.Parallel()
	var writes sizes
	w := pop3.NewWriter(&writes)
	for i := range 100_000 {
		w.IntLine(i + 1).Text("uid").End()
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, n := range writes {
		if n > 64<<10 {
			t.Errorf("one write of %d octets", n)
		}
	}
	if len(writes) > 100 {
		t.Errorf("%d writes", len(writes))
	}
}

type sizes []int

func (s *sizes) Write(p []byte) (int, error) {
	*s = append(*s, len(p))
	return len(p), nil
}

// After an error in a message nothing follows: no end dot and no other reply.
func TestWriterEndsWithBrokenMessage(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, size := range []int{0, 10, 100_000} {
		var out bytes.Buffer
		w := pop3.NewWriter(&out)
		w.OK().End()
		r := io.MultiReader(strings.NewReader(strings.Repeat("x", size)), iotest.ErrReader(broken))
		if _, err := w.Message(r, -1); err != broken {
			t.Errorf("%d octets: Message = %v", size, err)
		}
		w.OK().Text("later").End()
		w.Dot()
		if err := w.Flush(); err != broken || strings.Contains(out.String(), ".\r\n") || strings.Contains(out.String(), "later") {
			t.Errorf("%d octets: Flush = %v, %d octets sent", size, err, out.Len())
		}
	}
}

func TestWriterKeepsError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	w := pop3.NewWriter(failing{broken})
	w.OK().End()
	if err := w.Flush(); err != broken {
		t.Errorf("Flush = %v", err)
	}
	if _, err := w.Message(strings.NewReader("a"), -1); err != broken {
		t.Errorf("Message = %v", err)
	}
	if err := w.Flush(); err != broken {
		t.Errorf("second Flush = %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWriterDoesNotAllocate(t *testing.T) {
	w := pop3.NewWriter(io.Discard)
	r := strings.NewReader("")
	var message io.Reader = struct{ io.Reader }{r} // no more than a Reader
	n := testing.AllocsPerRun(1000, func() {
		w.OK().Int(2).Int(320).End()
		w.Err(pop3.CodeInUse).Text("text").End()
		w.IntLine(1).Text("uid").End()
		r.Reset("Subject: a\n\n.b\n")
		w.Message(message, -1)
		w.Flush()
	})
	if n != 0 && !race {
		t.Errorf("%v allocations", n)
	}
}
