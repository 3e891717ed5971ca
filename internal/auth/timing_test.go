package auth

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/sasl"
)

// pairs of logins whose times are compared. The long form has 100,000:
//
//	go test -run TestEqualTime -timeout 1h ./internal/auth -args -pairs 100000
var pairs = flag.Int("pairs", 0, "prove at length that names have equal times: how many pairs of logins, as 100000; 0: a few, and only gross differences count")

// How far apart the times of two kinds of login may be. In the long form it is
// Welch's t, and what is taken for equal everywhere; in the short form it is how
// often one time is in the other, of those that only a fifth are less than. No
// load of the machine makes that of equal ones.
const (
	alikeLong  = 4.5
	alikeShort = 2
	pairsShort = 200
)

// timed are the times of two kinds of login.
type timed [2][]float64

// welch is Welch's t of both, without those times that the machine was
// otherwise busy in: the slowest tenth of all.
func (t timed) welch() float64 {
	all := slices.Concat(t[0], t[1])
	slices.Sort(all)
	limit := all[len(all)*9/10]
	var mean, variance [2]float64
	for k, times := range t {
		var n, sum, squares float64
		for _, x := range times {
			if x <= limit {
				n++
				sum += x
			}
		}
		mean[k] = sum / n
		for _, x := range times {
			if x <= limit {
				squares += (x - mean[k]) * (x - mean[k])
			}
		}
		variance[k] = squares / (n - 1) / n
	}
	return (mean[0] - mean[1]) / math.Sqrt(variance[0]+variance[1])
}

// times is how often the fifth of the one kind is in that of the other.
func (t timed) times() float64 {
	var fifth [2]float64
	for k, times := range t {
		sorted := slices.Sorted(slices.Values(times))
		fifth[k] = sorted[len(sorted)/5]
	}
	return max(fifth[0], fifth[1]) / min(fifth[0], fifth[1])
}

// measure times n logins of each kind, in an order that nothing else follows.
func measure(n int, login func(kind, i int) time.Duration) timed {
	var t timed
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for i := range n + n/10 {
		first := random.IntN(2)
		for _, kind := range [2]int{first, 1 - first} {
			took := float64(login(kind, i))
			if i >= n/10 { // warm
				t[kind] = append(t[kind], took)
			}
		}
	}
	return t
}

// TestEqualTime: that a name does not exist cannot be told by the time that a
// refusal takes (fault 84).
func TestEqualTime(t *testing.T) {
	for mechanism, hash := range cheap {
		t.Run(mechanism, func(t *testing.T) {
			if *pairs > 0 {
				got := refusals(t, accountsOf(t, hash, nil), mechanism, *pairs).welch()
				t.Logf("Welch's t is %.2f of %d pairs", got, *pairs)
				if math.Abs(got) > alikeLong {
					t.Errorf("Welch's t is %.2f of %d pairs, want at most %g", got, *pairs, alikeLong)
				}
				return
			}
			n := pairsShort
			if strings.HasPrefix(mechanism, "SCRAM") { // what its clients compute takes longer than all the rest
				n /= 5
			}
			if got := refusals(t, accountsOf(t, hash, nil), mechanism, n).times(); got > alikeShort {
				t.Errorf("one kind of refusal takes %.1f times as long as the other", got)
			}
		})
	}
}

// cheap are the hashes that are verified in the least time, by mechanism.
var cheap = map[string]string{
	"PLAIN":         "{SHA512-CRYPT}$6$rounds=1000$saltstring$" + strings.Repeat("x", 86),
	"CRAM-MD5":      "{PLAIN}correct-horse",
	"SCRAM-SHA-256": "{PLAIN}correct-horse",
}

// refusals measures wrong passwords of users, and of names without an account.
func refusals(t *testing.T, s Source, mechanism string, n int) timed {
	t.Helper()
	clock := &stopwatch{Mechanism: offered(s, here, nil)[mechanism]}
	return measure(n, func(kind, i int) time.Duration {
		user := fmt.Sprintf("%s%d@example.org", [2]string{"user", "none"}[kind], i%users)
		clock.took = 0
		if _, err := talk(t.Context(), clock, clientOf(mechanism, user, "wrong"), 9); !errors.Is(err, sasl.ErrRefused) {
			t.Fatal(err)
		}
		return clock.took
	})
}

// hasty does no work for names that are not in the file.
type hasty struct{ *passwdfile.File }

func (h hasty) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	if _, err := h.Lookup(ctx, l.User); err != nil {
		return "", errRefused
	}
	return h.File.Authenticate(ctx, l)
}

// The short form sees who does no work for names that do not exist.
func TestEqualTimeMutant(t *testing.T) {
	s := accountsOf(t, cheap["PLAIN"], func(f *passwdfile.File) sasl.Authenticator { return hasty{f} })
	got := refusals(t, s, "PLAIN", pairsShort)
	if n := got.times(); n <= alikeShort {
		t.Errorf("who does no work is only %.1f times as fast", n)
	}
	if w := got.welch(); math.Abs(w) <= alikeLong {
		t.Errorf("Welch's t is only %.2f", w)
	}
}

// stopwatch is a mechanism whose exchanges take the time of the server's part.
type stopwatch struct {
	sasl.Mechanism
	took time.Duration
}

func (s *stopwatch) Start() sasl.Exchange { return timedExchange{s, s.Mechanism.Start()} }

type timedExchange struct {
	clock *stopwatch
	inner sasl.Exchange
}

func (x timedExchange) Next(ctx context.Context, response []byte) ([]byte, string, error) {
	began := time.Now()
	challenge, account, err := x.inner.Next(ctx, response)
	x.clock.took += time.Since(began)
	return challenge, account, err
}

// users is how many accounts there are, and names without one. Who measures asks
// for the same ones over and over.
const users = 4

// accountsOf makes a source of a passwd-file in which all have the same hash.
func accountsOf(t *testing.T, hash string, instead func(*passwdfile.File) sasl.Authenticator) Source {
	t.Helper()
	var file strings.Builder
	for i := range users {
		fmt.Fprintf(&file, "user%d@example.org:%s\n", i, hash)
	}
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := passwdfile.Open(path, passwdfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src := Source{Authenticator: f, Looker: f, Secrets: f, Fields: f.Fields, Version: f.Version, Costly: true}
	if instead != nil {
		src.Authenticator = instead(f)
	}
	return mustNew(t, Options{NoDelay: true, Sources: []Source{src}})
}
