package pop3_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postwain/postwain/pop3"
)

func TestReaderCommands(t *testing.T) {
	t.Parallel()
	const in = "USER a\r\nPASS  b \r\nbare\nSTAT\r\nNO\x00OP\r\nRE\rTR\r\nQUIT\r\nleft"
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"one":   iotest.OneByteReader,
		"half":  iotest.HalfReader,
		"early": iotest.DataErrReader,
	} {
		r := pop3.NewReader(wrap(strings.NewReader(in)))
		for _, want := range []struct {
			verb pop3.Verb
			arg  string
			err  error
		}{
			{pop3.User, "a", nil}, {pop3.Pass, " b ", nil}, {0, "", pop3.ErrBareLF}, {pop3.Stat, "", nil},
			{0, "", pop3.ErrSyntax}, {0, "", pop3.ErrSyntax}, {pop3.Quit, "", nil}, {0, "", io.ErrUnexpectedEOF},
		} {
			c, err := r.Command()
			if err != want.err || c.Verb != want.verb || string(c.Arg) != want.arg {
				t.Errorf("%s: got %v %q, %v, want %v", name, c.Verb, c.Arg, err, want)
			}
		}
		if r.Octets() != int64(len(in)) {
			t.Errorf("%s: %d octets", name, r.Octets())
		}
	}
	if _, err := pop3.NewReader(strings.NewReader("")).Command(); err != io.EOF {
		t.Errorf("empty input: %v, want io.EOF", err)
	}
}

func TestReaderBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix string
		limit  int
	}{{"PASS ", pop3.MaxLine}, {"AUTH ", pop3.MaxAuthLine}, {"auth ", pop3.MaxAuthLine}, {"AUTHX", pop3.MaxLine}} {
		for extra := -1; extra <= 3; extra++ {
			for _, end := range []string{"\r\n", "\n"} {
				line := c.prefix + strings.Repeat("x", c.limit-len(c.prefix)+extra)
				r := pop3.NewReader(iotest.HalfReader(strings.NewReader(line + end + "QUIT\r\n")))
				_, err := r.Command()
				switch {
				case extra > 0:
					_, again := r.Command()
					if err != pop3.ErrLineTooLong || again != err {
						t.Errorf("%q, %d over, end %q: %v, then %v", c.prefix, extra, end, err, again)
					}
				case end == "\n" && err != pop3.ErrBareLF || end == "\r\n" && err != nil:
					t.Errorf("%q, %d over, end %q: %v", c.prefix, extra, end, err)
				default:
					if next, err := r.Command(); err != nil || next.Verb != pop3.Quit {
						t.Errorf("%q, %d over: then %v, %v", c.prefix, extra, next.Verb, err)
					}
				}
			}
		}
	}
}

// endless never ends and has no line end.
type endless struct{ given int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.given += len(p)
	return len(p), nil
}

func TestReaderEndlessLine(t *testing.T) {
	t.Parallel()
	src := &endless{}
	r := pop3.NewReader(src)
	if _, err := r.Command(); err != pop3.ErrLineTooLong || src.given > 2*pop3.MaxLine {
		t.Errorf("%v after %d octets", err, src.given)
	}
	if _, err := pop3.NewReader(&endless{}).Line(pop3.MaxAuthLine); err != pop3.ErrLineTooLong {
		t.Errorf("Line: %v", err)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r := pop3.NewReader(io.MultiReader(strings.NewReader("NOOP\r\nSTA"), iotest.ErrReader(broken)))
	if _, err := r.Command(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Command(); err != broken {
			t.Errorf("got %v", err)
		}
	}
}

// A Reader that has read long lines holds a small buffer again.
func TestReaderLetsGo(t *testing.T) {
	long := "AUTH PLAIN " + strings.Repeat("A", 16<<10) + "\r\nNOOP\r\n"
	readers := make([]*pop3.Reader, 64)
	before := heap()
	for i := range readers {
		readers[i] = pop3.NewReader(strings.NewReader(long))
		for range 2 {
			if _, err := readers[i].Command(); err != nil {
				t.Fatal(err)
			}
		}
		readers[i].Command()
	}
	if each := (heap() - before) / int64(len(readers)); each > 2<<10 {
		t.Errorf("a waiting Reader holds %d octets", each)
	}
	runtime.KeepAlive(readers)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestReaderDoesNotAllocate(t *testing.T) {
	r := pop3.NewReader(&repeat{line: "RETR 12345\r\n"})
	r.Command()
	if n := testing.AllocsPerRun(1000, func() { r.Command() }); n != 0 {
		t.Errorf("%v allocations a command", n)
	}
}

// repeat gives the same line for ever.
type repeat struct {
	line string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	return n, nil
}
