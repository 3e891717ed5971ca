package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/sasl"
)

// wrong is a cache with a fault.
type wrong struct {
	inner   *people
	key     func(l sasl.Login) string
	version func(name string) uint64
	keep    time.Duration
	refused bool // remembers refusals too
	entries map[string]wrongEntry
}

type wrongEntry struct {
	proof
	err error
}

func (w *wrong) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	key, version := w.key(l), w.version(l.User)
	if e, ok := w.entries[key]; ok && e.version == version && time.Now().Before(e.until) {
		return e.account, e.err
	}
	account, err := w.inner.Authenticate(ctx, l)
	if err == nil || w.refused {
		w.entries[key] = wrongEntry{proof{account, version, time.Now().Add(w.keep)}, err}
	}
	return account, err
}

func TestCacheMutants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(w *wrong)
	}{
		{"", func(*wrong) {}}, // sound
		{"forgets the user", func(w *wrong) {
			w.key = func(l sasl.Login) string { return fmt.Sprint(l.Password, l.Remote, l.TLS) }
		}},
		{"forgets the password", func(w *wrong) {
			w.key = func(l sasl.Login) string { return fmt.Sprint(l.User, l.Remote, l.TLS) }
		}},
		{"forgets the address", func(w *wrong) {
			w.key = func(l sasl.Login) string { return fmt.Sprintf("%q %q %v", l.User, l.Password, l.TLS) }
		}},
		{"forgets TLS", func(w *wrong) {
			w.key = func(l sasl.Login) string { return fmt.Sprintf("%q %q %v", l.User, l.Password, l.Remote) }
		}},
		{"lets parts run together", func(w *wrong) {
			w.key = func(l sasl.Login) string { return fmt.Sprint(l.User+l.Password, l.Remote, l.TLS) }
		}},
		{"ignores versions", func(w *wrong) { w.version = func(string) uint64 { return 0 } }},
		{"has one version for all", func(w *wrong) {
			w.version = func(string) uint64 { return w.inner.Version("alice") }
		}},
		{"never forgets", func(w *wrong) { w.keep = 24 * time.Hour }},
		{"remembers nothing", func(w *wrong) { w.keep = 0 }},
		{"remembers refusals", func(w *wrong) { w.refused = true }},
	} {
		synctest.Test(t, func(t *testing.T) {
			faults := judgeCache(t, func(p *people) sasl.Authenticator {
				w := &wrong{
					inner: p, version: p.Version, keep: time.Hour, entries: map[string]wrongEntry{},
					key: func(l sasl.Login) string { return fmt.Sprintf("%q", fmt.Sprint(l.User, "\n", l)) },
				}
				tt.make(w)
				return w
			})
			if (len(faults) > 0) != (tt.name != "") {
				t.Errorf("%q: %q", tt.name, faults)
			}
		})
	}
}

// asking is an Authenticator that is a func.
type asking func(ctx context.Context, l sasl.Login) (string, error)

func (f asking) Authenticate(ctx context.Context, l sasl.Login) (string, error) { return f(ctx, l) }

func TestRefusalMutants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(s sasl.Authenticator, one, two *people) asking
	}{
		{"has another error for unknown names", func(s sasl.Authenticator, one, two *people) asking {
			return func(ctx context.Context, l sasl.Login) (string, error) {
				account, err := s.Authenticate(ctx, l)
				if _, lerr := one.Lookup(ctx, l.User); err != nil && lerr != nil {
					err = fmt.Errorf("unknown user: %w", err)
				}
				return account, err
			}
		}},
		{"does no work for unknown names", func(s sasl.Authenticator, one, two *people) asking {
			return func(ctx context.Context, l sasl.Login) (string, error) {
				_, err1 := one.Lookup(ctx, l.User)
				_, err2 := two.Lookup(ctx, l.User)
				if err1 != nil && err2 != nil {
					return "", errRefused
				}
				return s.Authenticate(ctx, l)
			}
		}},
		{"stops at the source that has the name", func(s sasl.Authenticator, one, two *people) asking {
			return func(ctx context.Context, l sasl.Login) (string, error) {
				if account, err := one.Authenticate(ctx, l); err == nil || one.passwords[l.User] != "" {
					return account, errors.Join(err, errRefused)
				}
				if _, err := two.Authenticate(ctx, l); err != nil {
					return "", errors.Join(err, errRefused)
				}
				return l.User, nil
			}
		}},
		{"delays accounts only", func(s sasl.Authenticator, one, two *people) asking {
			return func(ctx context.Context, l sasl.Login) (string, error) {
				if one.passwords[l.User] != "" {
					time.Sleep(2 * time.Second)
				}
				return s.Authenticate(ctx, l)
			}
		}},
		{"takes a wrong password for an outage", func(sasl.Authenticator, *people, *people) asking {
			return func(context.Context, sasl.Login) (string, error) { return "", errOutage }
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			one, two := peopleOf("alice", "a secret"), peopleOf("bob", "b secret")
			s := mustNew(t, Options{Sources: []Source{one.source(), two.source()}})
			if faults := judgeRefusals(Source{Authenticator: tt.make(s.Authenticator, one, two)}, one, two); len(faults) == 0 {
				t.Errorf("what %s lives", tt.name)
			}
		})
	}
}

// A poll of somebody who is known costs next to nothing.
func BenchmarkHit(b *testing.B) {
	p := peopleOf("alice@example.org", "a secret")
	s, err := New(Options{Sources: []Source{p.source()}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, l := context.Background(), sasl.Login{User: "alice@example.org", Password: "a secret", Remote: here, TLS: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Authenticator.Authenticate(ctx, l); err != nil {
			b.Fatal(err)
		}
	}
}
