package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/sasl"
)

// waits gives the seconds that a login takes, in a bubble.
func waits(s Source, user, password string, from netip.Addr) int {
	began := time.Now()
	login(s, user, password, from)
	return int(time.Since(began) / time.Second)
}

func slowed(p *people) Source { return Source{Authenticator: throttled{newThrottle(), nil, p}} }

func TestDelayGrowsPerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf("alice", "a secret"))
		for i, want := range []int{0, 2, 4, 8, 15, 15, 15} {
			// Many users, some of whom exist.
			if got := waits(s, []string{"alice", "nobody"}[i%2], fmt.Sprint("guess ", i), here); got != want {
				t.Errorf("guess %d waits %d s, want %d", i, got, want)
			}
		}
		if got := waits(s, "alice", "a secret", here); got != 15 {
			t.Errorf("the right password waits %d s, want 15: the delay does not know it", got)
		}
		if got := waits(s, "alice", "a secret", there); got != 0 {
			t.Errorf("another address waits %d s", got)
		}
		time.Sleep(15 * time.Minute)
		if got := waits(s, "alice", "a secret", here); got != 0 {
			t.Errorf("after a quarter of an hour it waits %d s", got)
		}
	})
}

func TestDelayGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf("alice", "a secret"))
		for i := range 3 {
			waits(s, "alice", fmt.Sprint(i), here)
		}
		for _, want := range []int{8, 4, 2, 0} {
			if got := waits(s, "alice", "a secret", here); got != want {
				t.Errorf("waits %d s, want %d", got, want)
			}
			time.Sleep(time.Minute - time.Duration(want)*time.Second)
		}
	})
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		first, second string
		same          bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::2:3:4", true},
		{"2001:db8:0:0::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"127.0.0.1", "127.0.0.1", false}, // never counted
		{"::1", "::1", false},
		{"::ffff:127.0.0.1", "127.0.0.1", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := slowed(peopleOf())
			waits(s, "nobody", "guess", netip.MustParseAddr(tt.first))
			if got := waits(s, "nobody", "another", netip.MustParseAddr(tt.second)); (got == 2) != tt.same {
				t.Errorf("after a guess from %s, one from %s waits %d s", tt.first, tt.second, got)
			}
		})
	}
	if !networksOf(netip.Addr{}).local {
		t.Error("no address is an address")
	}
}

// The same wrong password again is not a guess: it is an old program.
func TestSameGuess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := slowed(peopleOf("alice", "a secret"))
		for i := range 20 {
			if got := waits(s, "alice", "old password", here); got > 2 {
				t.Errorf("poll %d waits %d s", i, got)
			}
		}
		if got := waits(s, "bob", "old password", here); got > 2 {
			t.Errorf("another name waits %d s", got)
		}
		if got := waits(s, "bob", "x", here); got != 4 {
			t.Errorf("behind two guesses it waits %d s, want 4", got)
		}
	})
}

// Guesses from everywhere at one name slow that name down for whoever is not
// known, and lock nobody out.
func TestDelayPerName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{"alice", "nobody"} { // both alike
			p := peopleOf("alice", "a secret")
			s := mustNew(t, Options{Sources: []Source{p.source()}})
			if name == "alice" && waits(s, "alice", "a secret", there) != 0 {
				t.Error("the owner waits")
			}
			from := here
			var got []int
			for i := range 40 {
				got = append(got, waits(s, name, fmt.Sprint(i), from))
				from = from.Next()
			}
			if got[4] != 0 || got[5] != 1 || got[12] != 2 || got[39] != 4 {
				t.Errorf("%s: %v", name, got)
			}
			if name == "alice" && waits(s, "alice", "a secret", there) != 0 {
				t.Error("the owner waits where the password is known to be right")
			}
			if got := waits(s, "bob", "x", netip.MustParseAddr("203.0.113.9")); got != 0 {
				t.Errorf("another name waits %d s", got)
			}
			time.Sleep(time.Hour)
		}
	})
}

// An outage is nobody's guess, and who hangs up does not wait on.
func TestDelayAndErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := peopleOf("alice", "a secret")
		s := slowed(p)
		p.err = errOutage
		for i := range 5 {
			if got := waits(s, "alice", fmt.Sprint(i), here); got != 0 {
				t.Errorf("an outage makes wait %d s", got)
			}
		}
		p.err = nil
		waits(s, "alice", "x", here)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := p.calls.Load()
		began := time.Now()
		_, err := s.Authenticator.Authenticate(ctx, sasl.Login{User: "alice", Password: "a secret", Remote: here})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sasl.ErrRefused) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if p.calls.Load() != before {
			t.Error("who has hung up is verified")
		}
	})
}

// What is remembered of guessers and of owners has a bound.
func TestThrottleIsBounded(t *testing.T) {
	t.Parallel()
	th := newThrottle()
	from := netip.MustParseAddr("10.0.0.0")
	for i := range knownSize + knownSize/2 {
		g := th.guesser(from, "", fmt.Sprint(i))
		th.refused(g, 1)
		th.proved(g)
		b := from.As4()
		from = netip.AddrFrom4([4]byte{b[0] + 1, b[1], b[2] + b[0]/255, b[3] + 1})
	}
	for what, n := range map[string][2]int{
		"addresses": {len(th.nets.young) + len(th.nets.old), throttleSize},
		"networks":  {len(th.wides.young) + len(th.wides.old), throttleSize},
		"names":     {len(th.names.young) + len(th.names.old), throttleSize},
		"owners":    {len(th.known.young) + len(th.known.old), knownSize},
	} {
		if n[0] > 2*n[1] || what != "networks" && n[0] < n[1] {
			t.Errorf("%d %s", n[0], what)
		}
	}
}

// slow takes a second for each login.
type slow struct {
	people
	mu         sync.Mutex
	now, most  int
	unfinished chan struct{}
}

func (s *slow) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if s.unfinished != nil {
		<-s.unfinished
	}
	time.Sleep(time.Second)
	return s.people.Authenticate(ctx, l)
}

func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{people: people{passwords: map[string]string{"alice": "a secret"}}}
		s := Source{Authenticator: limited{newLimit(4, 100, 10*time.Second), inner}}
		var wg sync.WaitGroup
		var mu sync.Mutex
		outcomes := map[bool]map[string]int{false: {}, true: {}} // by whether the name exists
		for i := range 120 {
			exists := i%2 == 0
			wg.Go(func() {
				_, err := login(s, map[bool]string{true: "alice", false: "nobody"}[exists], "wrong", here)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, sasl.ErrBusy):
					outcomes[exists]["busy"]++
				case errors.Is(err, sasl.ErrRefused):
					outcomes[exists]["refused"]++
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if inner.most != 4 {
			t.Errorf("%d ran at once, want 4", inner.most)
		}
		// 4 each second for 10 seconds, and those that began in the last.
		if n := outcomes[true]["refused"] + outcomes[false]["refused"]; n < 40 || n > 44 {
			t.Errorf("%d of 120 were verified, want 40 to 44: %v", n, outcomes)
		}
		if outcomes[true]["busy"] == 0 || outcomes[false]["busy"] == 0 {
			t.Errorf("a full queue treats names differently: %v", outcomes)
		}
		if _, err := login(s, "alice", "a secret", here); err != nil {
			t.Errorf("after the crowd: %v", err)
		}
	})
}

func TestLimitQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{people: people{passwords: map[string]string{"alice": "a secret"}}, unfinished: make(chan struct{})}
		l := newLimit(1, 2, time.Hour)
		s := Source{Authenticator: limited{l, inner}}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := login(s, "alice", "a secret", here); err != nil {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := login(s, "alice", "a secret", here); !errors.Is(err, sasl.ErrBusy) {
			t.Errorf("the queue is full, yet: %v", err)
		}
		close(inner.unfinished)
		wg.Wait()

		inner.unfinished = make(chan struct{})
		wg.Go(func() { login(s, "alice", "a secret", here) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := s.Authenticator.Authenticate(ctx, sasl.Login{User: "alice"}); !errors.Is(err, context.Canceled) {
				t.Errorf("who hangs up in the queue: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := l.waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
		close(inner.unfinished)
		wg.Wait()
	})
}
