package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// One message of two hundred is bad, each in another way: the others are
// stored and gone (quirks 17, 23).
func TestPoison(t *testing.T) {
	t.Parallel()
	bad := text(77)
	for name, spoil := range map[string]func(m *model, to *destination){
		"the server refuses it": func(m *model, _ *destination) {
			m.refuseRetr = func(l letter) string {
				if l.text == bad {
					return "-ERR Can't get the letter, try again later"
				}
				return ""
			}
		},
		"the server gives nothing": func(m *model, _ *destination) {
			m.rawRetr = func(l letter) string {
				if l.text == bad {
					return "+OK\r\n."
				}
				return ""
			}
		},
		"the destination refuses it": func(_ *model, to *destination) {
			to.refuse = func(_, text string) error {
				if text == bad {
					return fmt.Errorf("no: %w", sink.ErrRefused)
				}
				return nil
			}
		},
		"the destination refuses it at once": func(_ *model, to *destination) {
			var puts int
			to.parallel = 1
			to.early = func(sink.Message) (int, error) {
				if puts++; puts == 78 {
					return 3, fmt.Errorf("no: %w", sink.ErrRefused)
				}
				return 0, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, m, to := faultfs.New(), newModel(200), exactly()
			for i := range m.letters {
				if m.letters[i].text != bad {
					m.letters[i].text += fmt.Sprint(i, "\r\n")
				}
			}
			spoil(m, to)
			r := once(f.Root(), m.account(to, Policy{}))
			if r.Err != nil || r.Fetched != 199 || r.Deleted != 199 || r.Left != 1 || r.Failed != 1 || len(r.Failures) != 1 || m.left() != 1 {
				t.Fatalf("%+v", r)
			}
			if x := r.Failures[0]; x.Number != 78 || x.Tries != 1 || x.Reason == "" || x.UID != m.letters[0].uid {
				t.Errorf("%+v", x)
			}
			if len(to.texts) != 199 {
				t.Errorf("%d are stored", len(to.texts))
			}
			// At once nobody tries again, and it is still told.
			asked := m.retrs[bad]
			if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Failed != 1 || m.retrs[bad] != asked {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A bad message is tried again, less and less often, and stored when it is good
// again.
func TestPoisonComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m, to := faultfs.New(), newModel(1), exactly()
		ill := true
		m.refuseRetr = func(letter) string {
			if ill {
				return "-ERR no"
			}
			return ""
		}
		start := time.Now()
		var tries []time.Duration
		for len(tries) < 8 {
			before := m.retrs[text(0)]
			once(f.Root(), m.account(to, Policy{}))
			if m.retrs[text(0)] > before {
				tries = append(tries, time.Since(start).Truncate(time.Minute))
			}
			time.Sleep(time.Minute)
		}
		hours := fmt.Sprint(tries)
		if hours != "[0s 1m0s 6m0s 36m0s 2h36m0s 14h36m0s 38h36m0s 62h36m0s]" {
			t.Error(hours)
		}
		ill = false
		time.Sleep(24 * time.Hour)
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Fetched != 1 || r.Failed != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// If one message after the other fails it is not the messages.
func TestAllPoison(t *testing.T) {
	t.Parallel()
	m, to := newModel(500), exactly()
	m.refuseRetr = func(letter) string { return "-ERR Download exceed" }
	r := once(faultfs.New().Root(), m.account(to, Policy{}))
	if r.Err == nil || !strings.Contains(r.Err.Error(), "one message after the other") || r.Failed != maxInARow {
		t.Errorf("%+v", r)
	}
}

// A destination that is out of order ends the round, without QUIT, since there
// are servers for which a message that was read is done (quirks 1, 2).
func TestDestinationOutOfOrder(t *testing.T) {
	t.Parallel()
	for _, to := range []*destination{exactly(), blindly()} {
		f, m := faultfs.New(), newModel(50)
		out := errors.New("disk full")
		to.refuse = func(_, text string) error {
			if len(to.texts) >= 20 {
				return out
			}
			return nil
		}
		to.parallel = 1
		r := once(f.Root(), m.account(to, Policy{}))
		if !errors.Is(r.Err, out) || !strings.Contains(r.Err.Error(), "storing") || r.Fetched != 20 || r.Failed != 0 || m.quits != 0 {
			t.Fatalf("%+v, %d QUIT", r, m.quits)
		}
		to.refuse = nil
		var warnings []string
		f2 := New(Options{State: f.Root(), Observe: func(e Event) {
			if e.Kind == Warned {
				warnings = append(warnings, e.Text)
			}
		}})
		if r := f2.Once(t.Context(), []Account{m.account(to, Policy{})})[0]; r.Err != nil || r.Fetched != 30 || r.Deleted != 50 {
			t.Fatalf("%+v", r)
		}
		if err := to.check(texts(50), 0); err != nil || len(warnings) > 0 {
			t.Error(err, warnings)
		}
	}
}

// A destination that says it has a message without having read it is not
// believed.
func TestDestinationReadsNothing(t *testing.T) {
	t.Parallel()
	m := newModel(3)
	a := m.account(exactly(), Policy{})
	a.Sink = lazy{exactly()}
	if r := once(faultfs.New().Root(), a); r.Err == nil || r.Fetched != 0 || m.left() != 3 {
		t.Errorf("%+v", r)
	}
}

// lazy is a destination that believes what it has not seen.
type lazy struct{ *destination }

func (lazy) Put(_ context.Context, _ sink.Message, r io.Reader) error {
	r.Read(make([]byte, 10))
	return nil
}

// When the outcome is not known, the message is given again, and where it may be
// the second time, people are told.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, to := range []*destination{exactly(), blindly()} {
		f, m := faultfs.New(), newModel(10)
		to.parallel = 1
		lose := true
		to.refuse = func(key, text string) error {
			if lose && len(to.texts) == 4 {
				lose = false
				to.store(key, text)
				return sink.ErrUnknownOutcome
			}
			return nil
		}
		if r := once(f.Root(), m.account(to, Policy{})); !errors.Is(r.Err, sink.ErrUnknownOutcome) {
			t.Fatalf("%+v", r)
		}
		warned := false
		f2 := New(Options{State: f.Root(), Observe: func(e Event) { warned = warned || strings.Contains(e.Text, "a second time") }})
		if r := f2.Once(t.Context(), []Account{m.account(to, Policy{})})[0]; r.Err != nil || m.left() != 0 {
			t.Fatalf("%+v", r)
		}
		doubled := 0
		if !to.exact {
			doubled = 1
		}
		if err := to.check(texts(10), doubled); err != nil || warned == to.exact {
			t.Error(err, warned)
		}
	}
}

// What was being stored when the round was cancelled is stored or is not, and
// nothing hangs.
func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m, to := faultfs.New(), newModel(30), exactly()
		ctx, cancel := context.WithCancel(t.Context())
		to.hold = func(ctx context.Context) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		time.AfterFunc(1500*time.Millisecond, cancel)
		r := New(Options{State: f.Root()}).Once(ctx, []Account{m.account(to, Policy{})})[0]
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("%+v", r)
		}
		to.hold = nil
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || m.left() != 0 {
			t.Errorf("%+v", r)
		}
		if err := to.check(texts(30), 0); err != nil {
			t.Error(err)
		}
	})
}
