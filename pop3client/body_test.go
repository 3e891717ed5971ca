package pop3client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// canned is a connection whose server has said everything already.
type canned struct{ in io.Reader }

func (c *canned) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) Close() error                     { return nil }
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *canned) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// parts gives each of its parts in a Read of its own.
type parts [][]byte

func (p *parts) Read(b []byte) (int, error) {
	for len(*p) > 0 && len((*p)[0]) == 0 {
		*p = (*p)[1:]
	}
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	(*p)[0] = (*p)[0][n:]
	return n, nil
}

// receiver reads messages, with the same buffers for all.
type receiver struct {
	c   *Client
	in  parts
	buf [64]byte
	out []byte
}

func newReceiver() *receiver {
	r := &receiver{c: newClient(Options{})}
	r.c.attach(&canned{&r.in})
	return r
}

// receive reads a message that arrives in two parts, size octets at a time; 0:
// by WriteTo. What it returns is valid until the next call.
func (r *receiver) receive(in []byte, split, size int, lf bool) (m []byte, rest int, err error) {
	r.in = append(r.in[:0], in[:split], in[split:])
	r.c.in.Reset(r.c.wire)
	r.c.err, r.c.lf = nil, lf
	b := r.c.open(step{verb: "RETR"})
	r.out = r.out[:0]
	if size == 0 {
		w := bytes.NewBuffer(r.out)
		if _, err = b.WriteTo(w); err == nil {
			err = io.EOF
		}
		r.out = w.Bytes()
	}
	for err == nil {
		var n int
		n, err = b.Read(r.buf[:size])
		r.out = append(r.out, r.buf[:n]...)
	}
	rest = r.c.in.Buffered()
	for _, part := range r.in {
		rest += len(part)
	}
	return r.out, rest, err
}

// unstuff is what Body does, the slow and plain way.
func unstuff(in []byte, lf bool) (m []byte, used int, whole bool) {
	lineEnd := func(i int) bool { // before in[i]
		return i == 0 || in[i-1] == '\n' && (lf || i > 1 && in[i-2] == '\r')
	}
	for i := 0; i < len(in); i++ {
		rest := string(in[i:])
		if in[i] == '.' && lineEnd(i) {
			switch {
			case strings.HasPrefix(rest, ".\r\n"):
				return m, i + 3, true
			case lf && strings.HasPrefix(rest, ".\n"):
				return m, i + 2, true
			case strings.HasPrefix(rest, ".."):
				i++
			}
		}
		m = append(m, in[i])
	}
	return m, len(in), false
}

// words calls f with every string of at most most octets that matter.
func words(most int, f func(w []byte)) {
	w := make([]byte, 0, most)
	var grow func()
	grow = func() {
		f(w)
		if len(w) == most {
			return
		}
		for _, c := range []byte(".\r\na") {
			w = append(w, c)
			grow()
			w = w[:len(w)-1]
		}
	}
	grow()
}

func TestBodyExhaustive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ most, size int }{
		"splits": {7, 64}, "pairs": {6, 2}, "octets": {6, 1}, "written": {7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const end = "\r\n.\r\nnext"
			r := newReceiver()
			in := make([]byte, 0, c.most+len(end))
			words(c.most, func(w []byte) {
				in = append(append(in[:0], w...), end...)
				for _, lf := range []bool{false, true} {
					want, used, _ := unstuff(in, lf)
					for split := range len(w) + 5 {
						got, rest, err := r.receive(in, split, c.size, lf)
						if err != io.EOF || !bytes.Equal(got, want) || rest != len(in)-used {
							t.Fatalf("%q (LF %v) split at %d: got %q, %v, and %d octets left", in, lf, split, got, err, rest)
						}
					}
				}
			})
		})
	}
}

// A link that drops anywhere is never an end.
func TestBodyEarlyEnd(t *testing.T) {
	t.Parallel()
	r := newReceiver()
	words(7, func(w []byte) {
		for _, lf := range []bool{false, true} {
			want, _, whole := unstuff(w, lf)
			if whole {
				continue
			}
			got, _, err := r.receive(w, 0, 64, lf)
			if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || !bytes.HasPrefix(want, got) {
				t.Fatalf("%q (LF %v) gives %q and ends in %v", w, lf, got, err)
			}
		}
	})
}

func TestBodyLongLine(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("x", 3<<20) + "\r\n"
	got, rest, err := newReceiver().receive([]byte("."+want+".\r\n"), 7, 64, false)
	if err != io.EOF || string(got) != "."+want || rest != 0 {
		t.Errorf("a line of 3 MiB came back as %d octets, %v", len(got), err)
	}
}

// What is left of a message is swallowed by Close, and by the next command. A
// message with a hole has no end.
func TestBodyLeftUnread(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	long := "+OK\r\n" + strings.Repeat("a line of the message\r\n", 10_000) + "..\r\n.\r\n"
	in := &parts{[]byte("+OK\r\n"), []byte(long), []byte("+OK 1\r\n"), []byte(long), []byte("+OK 2\r\n")}
	c, err := New(ctx, &canned{in}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b, err := c.Retr(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := b.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
		if err := c.Noop(ctx); err != nil {
			t.Errorf("a command after half a message: %v", err)
		}
		if n, err := b.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Read of a swallowed message: %d, %v", n, err)
		}
		if n, err := io.Copy(io.Discard, b); n != 0 || err == nil {
			t.Errorf("WriteTo of a swallowed message: %d, %v", n, err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.c\r\n.\r\nd"), 3, false)
	f.Add([]byte("a\n..b\n.c\n.\nd"), 2, true)
	r := newReceiver()
	f.Fuzz(func(t *testing.T, in []byte, size int, lf bool) {
		want, used, whole := unstuff(in, lf)
		got, rest, err := r.receive(in, len(in)/2, min(max(size, 0), 64), lf)
		switch {
		case !whole && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("an early end gives %v", err)
		case whole && (err != io.EOF || !bytes.Equal(got, want) || rest != len(in)-used):
			t.Fatalf("got %q, %v, and %d octets left", got, err, rest)
		}
	})
}

// endless gives the same octets again and again.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], e.data[e.at:])
		n += c
		e.at = (e.at + c) % len(e.data)
	}
	return n, nil
}

func BenchmarkBody(b *testing.B) {
	line := "The quick brown fox jumps over the lazy dog, again and again and again.\r\n"
	letter := "From: a@example.org\r\nSubject: b\r\n\r\n" + strings.Repeat(line, 13_000) + "..\r\n"
	for name, read := range map[string]func(*Body, []byte){
		"Read": func(m *Body, buf []byte) {
			for {
				if _, err := m.Read(buf); err != nil {
					return
				}
			}
		},
		"WriteTo": func(m *Body, _ []byte) { m.WriteTo(io.Discard) },
	} {
		b.Run(name, func(b *testing.B) {
			c := newClient(Options{})
			c.attach(&canned{&endless{data: []byte(letter + ".\r\n")}})
			buf := make([]byte, 32<<10)
			b.SetBytes(int64(len(letter)))
			b.ReportAllocs()
			for b.Loop() {
				m := c.open(step{verb: "RETR"})
				if read(m, buf); m.err != io.EOF {
					b.Fatal(m.err)
				}
			}
		})
	}
}
