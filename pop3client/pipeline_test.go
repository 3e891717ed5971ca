package pop3client_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// station is a server that answers each command after a round trip, and
// counts. It runs in a bubble.
type station struct {
	conn   *testkit.Conn
	trip   time.Duration
	capa   string      // what it announces; empty: PIPELINING
	sizes  map[int]int // of the messages; 0: refused
	most   int         // commands at a time
	octets int         // of messages asked for at a time
	writes int         // segments with commands
	log    []string
}

// serve answers until the client is gone. What arrives in one read is one
// segment, and is answered a trip later.
func (s *station) serve() {
	defer s.conn.Close()
	io.WriteString(s.conn, "+OK\r\n")
	in := bufio.NewReaderSize(s.conn, 64<<10)
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		time.Sleep(s.trip)
		segment, _ := in.Peek(in.Buffered())
		s.writes++
		lines := strings.Split(strings.TrimSuffix(string(segment), "\r\n"), "\r\n")
		in.Discard(len(segment))
		s.most = max(s.most, len(lines))
		asked := 0
		for _, line := range lines {
			s.log = append(s.log, line)
			verb, arg, _ := strings.Cut(line, " ")
			n, _ := strconv.Atoi(arg)
			switch {
			case verb == "CAPA":
				io.WriteString(s.conn, "+OK\r\n"+cmp.Or(s.capa, "PIPELINING")+"\r\n.\r\n")
			case verb == "RETR" && s.sizes[n] == 0:
				io.WriteString(s.conn, "-ERR no such message\r\n")
			case verb == "RETR":
				asked += s.sizes[n]
				io.WriteString(s.conn, "+OK\r\n"+strings.Repeat("x", s.sizes[n]-2)+"\r\n.\r\n")
			default:
				io.WriteString(s.conn, "+OK\r\n")
			}
		}
		s.octets = max(s.octets, asked)
	}
}

// atStation runs f with a client that knows what the server can.
func atStation(t *testing.T, s *station, o pop3client.Options, f func(t *testing.T, c *pop3client.Client)) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testkit.Pipe()
		s.conn = server
		done := make(chan struct{})
		go func() { defer close(done); s.serve() }()
		c, err := pop3client.New(t.Context(), client, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Capabilities(t.Context()); err != nil {
			t.Fatal(err)
		}
		f(t, c)
		c.Close()
		<-done
	})
}

// equal makes n messages of a size.
func equal(n, size int) map[int]int {
	sizes := map[int]int{}
	for i := range n {
		sizes[i+1] = size
	}
	return sizes
}

// The window bounds commands and octets, and a small one costs round trips only.
func TestPipelineWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		window           pop3client.Window
		options          pop3client.Options
		capa             string
		size             int
		commands, octets int
		trips            int // at most
	}{
		"default":       {size: 100, commands: 256, octets: 25_600, trips: 9},
		"commands":      {window: pop3client.Window{Commands: 10}, size: 100, commands: 10, octets: 1000, trips: 201},
		"octets":        {window: pop3client.Window{Octets: 1000}, size: 100, commands: 10, octets: 1000, trips: 201},
		"one too large": {window: pop3client.Window{Octets: 50}, size: 100, commands: 1, octets: 100, trips: 1000},
		"not announced": {capa: "TOP", size: 100, commands: 1, octets: 100, trips: 1000},
		"serial":        {options: pop3client.Options{Serial: true}, size: 100, commands: 1, octets: 100, trips: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const messages = 1000
			s := &station{trip: time.Second, capa: c.capa, sizes: equal(messages, c.size)}
			atStation(t, s, c.options, func(t *testing.T, client *pop3client.Client) {
				p := client.Pipeline(c.window)
				for i := range messages {
					p.Retr(i+1, int64(c.size))
				}
				began := time.Now()
				for i := range messages {
					if n := p.Pending(); n != messages-i {
						t.Fatalf("%d pending after %d replies", n, i)
					}
					r, err := p.Next(t.Context())
					if err != nil || r.Err != nil || r.Number != i+1 || r.Verb != pop3.Retr {
						t.Fatalf("reply %d: %+v, %v", i+1, r, err)
					}
				}
				if _, err := p.Next(t.Context()); err != io.EOF {
					t.Errorf("after the last reply: %v", err)
				}
				if trips := int(time.Since(began) / time.Second); trips > c.trips {
					t.Errorf("%d round trips, want at most %d", trips, c.trips)
				}
			})
			if s.most > c.commands || s.octets > c.octets {
				t.Errorf("%d commands and %d octets at a time, want at most %d and %d", s.most, s.octets, c.commands, c.octets)
			}
		})
	}
}

// Commands of more than 16 KiB are never under way, so that a server that waits
// for the client to read can hold them.
func TestPipelineCommandOctets(t *testing.T) {
	t.Parallel()
	s := &station{trip: time.Second}
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		p := c.Pipeline(pop3client.Window{Commands: 100_000})
		for i := range 3000 {
			p.Dele(1_000_000_000 + i)
		}
		for range 3000 {
			if _, err := p.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	if most := 16 << 10 / len("DELE 1000000000\r\n"); s.most > most || s.most < most-1 {
		t.Errorf("%d commands at a time, want %d", s.most, most)
	}
}

// DELE of what is safe goes out between RETR of what is not there yet.
func TestPipelineMixed(t *testing.T) {
	t.Parallel()
	s := &station{trip: time.Second, sizes: equal(100, 1000)}
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		p := c.Pipeline(pop3client.Window{Commands: 8})
		for i := range 100 {
			p.Retr(i+1, 1000)
		}
		deleted := 0
		for {
			r, err := p.Next(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			if r.Verb == pop3.Dele {
				deleted++
				continue
			}
			if n, err := io.Copy(io.Discard, r.Body); n != 1000 || err != nil {
				t.Fatal(n, err)
			}
			p.Dele(r.Number)
		}
		if err := c.Quit(t.Context()); err != nil || deleted != 100 {
			t.Errorf("%d deleted, QUIT: %v", deleted, err)
		}
	})
}

// What is under way cannot be mixed up with other commands.
func TestPipelineBusy(t *testing.T) {
	t.Parallel()
	s := &station{sizes: equal(3, 100)}
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		ctx := t.Context()
		p, other := c.Pipeline(pop3client.Window{}), c.Pipeline(pop3client.Window{})
		p.Retr(1, 0)
		p.Retr(2, 0)
		p.Dele(3)
		if _, err := p.Next(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.Noop(ctx); !errors.Is(err, pop3client.ErrBusy) {
			t.Errorf("NOOP in between: %v", err)
		}
		other.Dele(1)
		if _, err := other.Next(ctx); !errors.Is(err, pop3client.ErrBusy) {
			t.Errorf("another pipeline: %v", err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := p.Next(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
		for n, want := range []pop3.Verb{pop3.Retr, pop3.Dele} {
			if r, err := p.Next(ctx); err != nil || r.Verb != want || r.Number != n+2 {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if err := c.Noop(ctx); err != nil {
			t.Errorf("NOOP after the last reply: %v", err)
		}
		if r, err := other.Next(ctx); err != nil || r.Number != 1 {
			t.Errorf("the other pipeline: %+v, %v", r, err)
		}
		if want := []string{"CAPA", "RETR 1", "RETR 2", "DELE 3", "NOOP", "DELE 1"}; !slices.Equal(s.log, want) {
			t.Errorf("the server got %q", s.log)
		}
	})
}

// An error of the connection is the last of a pipeline, and names its step.
func TestPipelineBreaks(t *testing.T) {
	t.Parallel()
	s := &station{trip: time.Hour}
	atStation(t, s, pop3client.Options{Timeout: 2 * time.Hour}, func(t *testing.T, c *pop3client.Client) {
		p := c.Pipeline(pop3client.Window{})
		p.Dele(7)
		p.Dele(8)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, first := p.Next(ctx)
		if !errors.Is(first, context.DeadlineExceeded) || !strings.HasPrefix(first.Error(), "pop3client: DELE 7: ") {
			t.Errorf("got %v", first)
		}
		if _, err := p.Next(t.Context()); err != first {
			t.Errorf("and then %v", err)
		}
		if err := c.Quit(t.Context()); !errors.Is(err, pop3client.ErrBroken) {
			t.Errorf("QUIT: %v", err)
		}
	})
}

// listed is a list of n messages.
func listed(n int) iter.Seq[pop3client.Listed] {
	return func(yield func(pop3client.Listed) bool) {
		for i := range n {
			if !yield(pop3client.Listed{Number: i + 1, Size: 100, UID: fmt.Sprint("u", i+1)}) {
				return
			}
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	s := &station{trip: time.Second, sizes: equal(600, 100)}
	s.sizes[7] = 0
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		n, began := 0, time.Now()
		for m, err := range c.Messages(t.Context(), listed(600)) {
			n++
			if m.Number != n || m.UID != fmt.Sprint("u", n) {
				t.Fatalf("message %d is %+v", n, m.Listed)
			}
			if refused := (*pop3.Error)(nil); n == 7 {
				if !errors.As(err, &refused) || m.Body != nil {
					t.Errorf("a message that is refused: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 { // the others are left unread
				if got, err := io.ReadAll(m); len(got) != 100 || err != nil {
					t.Errorf("message %d: %d octets, %v", n, len(got), err)
				}
			}
		}
		if trips := time.Since(began) / time.Second; n != 600 || trips > 6 {
			t.Errorf("%d messages in %d round trips", n, trips)
		}
		if err := c.Noop(t.Context()); err != nil {
			t.Errorf("the connection after the loop: %v", err)
		}
	})
}

// A loop that is left leaves a connection that can be used, unless the context
// has ended.
func TestMessagesLeft(t *testing.T) {
	t.Parallel()
	for name, cancelled := range map[string]bool{"in peace": false, "cancelled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &station{sizes: equal(600, 100)}
			atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for m, err := range c.Messages(ctx, listed(600)) {
					if err != nil {
						t.Fatal(err)
					}
					if m.Number == 3 {
						if err := c.Noop(ctx); !errors.Is(err, pop3client.ErrBusy) {
							t.Errorf("NOOP in the loop: %v", err)
						}
						if cancelled {
							cancel()
						}
						break
					}
				}
				err := c.Noop(t.Context())
				if cancelled && !errors.Is(err, pop3client.ErrBroken) || !cancelled && err != nil {
					t.Errorf("NOOP after the loop: %v", err)
				}
			})
			if len(s.log) > 260 {
				t.Errorf("%d commands were sent", len(s.log))
			}
		})
	}
}

// A cancel inside the loop is its last error.
func TestMessagesCancelled(t *testing.T) {
	t.Parallel()
	s := &station{sizes: equal(600, 100)}
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var errs []error
		for m, err := range c.Messages(ctx, listed(600)) {
			if m.Number == 3 {
				cancel()
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
			t.Errorf("errors: %v", errs)
		}
		if err := c.Noop(t.Context()); !errors.Is(err, pop3client.ErrBroken) {
			t.Errorf("NOOP after the loop: %v", err)
		}
	})
}

// What goes wrong behind the last message is an error too.
func TestMessagesEnd(t *testing.T) {
	t.Parallel()
	s := &station{sizes: equal(2, 200_000)} // more than is buffered
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		n := 0
		for m, err := range c.Messages(ctx, listed(2)) {
			if last = err; err == nil {
				n++
			}
			if m.Number == 2 && err == nil {
				cancel()
			}
		}
		if n != 2 || !errors.Is(last, context.Canceled) {
			t.Errorf("%d messages, and then %v", n, last)
		}
	})
}

// Sizes that lie do not break the window.
func TestPipelineHugeSizes(t *testing.T) {
	t.Parallel()
	s := &station{trip: time.Second, sizes: equal(20, 100)}
	atStation(t, s, pop3client.Options{}, func(t *testing.T, c *pop3client.Client) {
		p := c.Pipeline(pop3client.Window{})
		for i := range 20 {
			p.Retr(i+1, math.MaxInt64)
		}
		for range 20 {
			if _, err := p.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	if s.most != 1 {
		t.Errorf("%d commands at a time", s.most)
	}
}
