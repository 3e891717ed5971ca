package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
)

const bob = "bob@example.org"

// atOnce is a Batch of one delivery each.
type atOnce struct{ maildrop.Deliverer }

func (atOnce) Sync() error { return nil }

// failing is a Batch that answers each message by an error.
type failing struct{ err error }

func (f failing) Sync() error { return fmt.Errorf("sync: %w", f.err) }

func (f failing) Deliver(context.Context, string, maildrop.Incoming, io.Reader) error {
	return fmt.Errorf("deliver: %w", f.err)
}

func TestErrorsPassThrough(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{maildrop.ErrFull, maildrop.ErrNoDrop, errors.New("input/output error")} {
		err := New(failing{cause}, bob).Put(t.Context(), sink.Message{Key: "k"}, strings.NewReader("x\n"))
		if !errors.Is(err, cause) || errors.Is(err, sink.ErrRefused) || errors.Is(err, sink.ErrUnknownOutcome) {
			t.Errorf("%v becomes %v", cause, err)
		}
		if err := New(failing{cause}, bob).Sync(); !errors.Is(err, cause) {
			t.Errorf("%v of a sync becomes %v", cause, err)
		}
	}
}

// contents gives the messages of bob with their times.
func contents(t *testing.T, s maildrop.Store) (texts []string, times []time.Time) {
	t.Helper()
	b, err := s.Open(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i, m := range b.Messages() {
		r, err := b.Get(t.Context(), i, -1)
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		texts, times = append(texts, string(p)), append(times, m.Time)
	}
	return texts, times
}

func TestPut(t *testing.T) {
	t.Parallel()
	drop := memdrop.New()
	s := New(atOnce{drop}, bob)
	if !s.Exact() || s.Parallel() != 128 {
		t.Errorf("Exact() = %t, Parallel() = %d", s.Exact(), s.Parallel())
	}
	at := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	for range 2 {
		if err := s.Put(t.Context(), sink.Message{Key: "k", Size: 3, Time: at}, strings.NewReader("x\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	if err := s.Put(t.Context(), sink.Message{Key: "l"}, io.MultiReader(strings.NewReader("y"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a message that breaks off gives %v", err)
	}
	texts, times := contents(t, drop)
	if len(texts) != 1 || texts[0] != "x\r\n" || !times[0].Equal(at) {
		t.Errorf("the maildrop has %q of %v", texts, times)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Every text over {a . CR LF} of up to 6 octets comes out of a Maildir as it
// was received, in the form in which it goes over the wire.
func TestBytesInMaildir(t *testing.T) {
	t.Parallel()
	parent := faultfs.New().Root()
	d, err := maildir.OpenInbox(maildir.InboxOptions{Parent: parent, Name: "Maildir"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := New(d.Batch(), bob)
	home, err := parent.Dir("Maildir")
	if err == nil {
		t.Fatal("the Maildir is there before the first message")
	}
	n := 0
	words(6, func(w []byte) {
		n++
		if err := s.Put(t.Context(), sink.Message{Key: fmt.Sprint("k", n)}, bytes.NewReader(w)); err != nil {
			t.Fatalf("%q: %v", w, err)
		}
		if home == nil {
			if home, err = parent.Dir("Maildir"); err != nil {
				t.Fatal(err)
			}
		}
		inbox, err := home.Dir("new")
		if err != nil {
			t.Fatal(err)
		}
		defer inbox.Close()
		for name := range inbox.Names() {
			f, err := inbox.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			if f.Close(); err != nil || !bytes.Equal(wire(got), wire(w)) {
				t.Fatalf("%q is stored as %q, %v", w, got, err)
			}
			if err := inbox.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// words calls f with every string over {a . CR LF} of at most max octets.
func words(max int, f func(w []byte)) {
	var grow func(w []byte)
	grow = func(w []byte) {
		f(w)
		if len(w) < max {
			for _, c := range []byte("a.\r\n") {
				grow(append(w, c))
			}
		}
	}
	grow(make([]byte, 0, max))
}

// wire is what a receiver holds of a stored message: lines that end in CRLF.
func wire(p []byte) []byte {
	var out []byte
	for i, c := range p {
		if c == '\n' && (i == 0 || p[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(p) > 0 && p[len(p)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}
