package pop3client

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/pop3"
)

// sane judges the text of an error: nothing that a terminal would obey.
func sane(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if !harmless(err.Error()) || !strings.HasPrefix(err.Error(), "pop3client: ") || len(err.Error()) > 8<<10 {
		t.Fatalf("an error of %.1000q", err.Error())
	}
}

// harmless reports whether a terminal shows text and does nothing else.
func harmless(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || 0x7F <= r && r < 0xA0 || 0x202A <= r && r <= 0x202E || 0x2066 <= r && r <= 0x2069
	})
}

// FuzzSession plays a whole session with a server that says anything. It ends,
// keeps to its memory, and takes nothing for a message that has no end.
func FuzzSession(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.pop3")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		said := ""
		for line := range strings.Lines(string(text)) {
			if line, ok := strings.CutPrefix(line, "S: "); ok {
				said += strings.TrimSuffix(line, "\n") + "\r\n"
			}
		}
		f.Add([]byte(said), uint8(7))
	}
	f.Add([]byte("+OK\r\n+OK\r\nPIPELINING\r\n.\r\n+OK\r\n+OK\r\n+OK\r\n1 a\r\n.\r\n+OK\r\n..a\r\n.\r\n+OK\r\n"), uint8(200))
	f.Fuzz(func(t *testing.T, said []byte, size uint8) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		in := &parts{}
		for rest := said; len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			*in = append(*in, slices.Clone(rest[:n]))
			rest = rest[n:]
		}
		visit(t, &canned{in}, said)
		runtime.ReadMemStats(&after)
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(2<<20+500*len(said)); used > most {
			t.Errorf("allocated %d octets for %d", used, len(said))
		}
	})
}

// visit is the session.
func visit(t *testing.T, conn *canned, said []byte) {
	ctx := context.Background()
	c, err := New(ctx, conn, Options{})
	if sane(t, err); err != nil {
		return
	}
	defer c.Close()
	if !harmless(c.Greeting()) {
		t.Fatalf("a greeting of %q", c.Greeting())
	}
	_, err = c.Capabilities(ctx)
	sane(t, err)
	sane(t, c.SignIn(ctx, Credentials{User: "alice", Password: "secret", Plaintext: true}))
	list, err := c.UIDL(ctx)
	sane(t, err)
	ascends(t, list)
	list, err = c.List(ctx)
	sane(t, err)
	ascends(t, list)
	for m, err := range c.Messages(ctx, slices.Values(append(list, Listed{Number: 1}, Listed{Number: 2}))) {
		sane(t, err)
		if err != nil {
			continue
		}
		if _, err := io.Copy(io.Discard, m); err == nil && !bytes.Contains(said, []byte("\n.")) && !bytes.Contains(said, []byte(".\r\n")) {
			t.Fatalf("%q has a message with an end", said)
		} else {
			sane(t, err)
		}
	}
	p := c.Pipeline(Window{})
	p.Dele(1)
	_, err = p.Next(ctx)
	sane(t, err)
	sane(t, c.Quit(ctx))
}

// ascends judges a listing.
func ascends(t *testing.T, list []Listed) {
	t.Helper()
	last := 0
	for _, l := range list {
		if l.Number <= last || l.Number > defaultMessages || l.Size < 0 {
			t.Fatalf("a listing of %+v", list)
		}
		last = l.Number
	}
}

// FuzzListing judges the parsers of listings and capabilities.
func FuzzListing(f *testing.F) {
	f.Add([]byte("1 a\r\n2 b c\r\n\r\n3\r\n2 d\r\n"))
	f.Add([]byte("SASL=PLAIN\r\nsasl login\r\n=\r\n ..\r\n"))
	f.Fuzz(func(t *testing.T, rows []byte) {
		said := slices.Concat([]byte("+OK\r\n"), rows, []byte("\r\n.\r\n"))
		client := func() *Client {
			c := newClient(Options{})
			c.attach(&canned{bytes.NewReader(said)})
			return c
		}
		ctx := context.Background()
		list, err := client().List(ctx)
		sane(t, err)
		ascends(t, list)
		list, err = client().UIDL(ctx)
		sane(t, err)
		ascends(t, list)
		for _, l := range list {
			if !bytes.Contains(rows, []byte(l.UID)) {
				t.Fatalf("%q has the UID %q", rows, l.UID)
			}
		}
		caps, err := client().Capabilities(ctx)
		sane(t, err)
		names := map[string]bool{}
		for _, c := range caps {
			if c.Name == "" || names[c.Name] || pop3.ParseCapability(c.String()) != c || !harmless(c.String()) {
				t.Fatalf("%q has the capability %+q", rows, c)
			}
			names[c.Name] = true
		}
	})
}

// The hot path holds nothing for each command but the Body of a message.
func TestPipelineAllocates(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		queue  func(*Pipeline)
		want   float64
	}{
		"DELE": {"+OK marked\r\n", func(p *Pipeline) { p.Dele(12345) }, 0},
		"RETR": {"+OK 5 octets\r\nabc\r\n.\r\n", func(p *Pipeline) { p.Retr(12345, 5) }, 1},
	} {
		client := newClient(Options{})
		client.attach(&canned{&endless{data: []byte(c.answer)}})
		client.caps = pop3.Capabilities{{Name: pop3.CapPipelining}}
		p := client.Pipeline(Window{})
		for range 100 { // so that commands are always under way
			c.queue(p)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n := testing.AllocsPerRun(10_000, func() {
			c.queue(p)
			if r, err := p.Next(ctx); err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
		})
		if n != c.want {
			t.Errorf("%s: %v allocations, want %v", name, n, c.want)
		}
	}
}
