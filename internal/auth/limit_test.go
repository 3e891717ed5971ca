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

// at is an address in the n-th network of a row.
func at(row, n, host byte) netip.Addr { return netip.AddrFrom4([4]byte{10 + row, 0, n, host}) }

// crowdedLimit is what a limit is judged by.
type crowdedLimit interface {
	enter(ctx context.Context, s standing, network netip.Prefix) error
	leave()
}

// judgeLimit has one call take a second, lets 200 suspects of one network wait,
// and then others, and gives what is wrong with how long they wait. It is to be
// called in a bubble.
func judgeLimit(l crowdedLimit) (faults []string) {
	var all sync.WaitGroup
	defer all.Wait()
	one := func(s standing, from netip.Addr, waited func(time.Duration, error)) {
		all.Go(func() {
			began := time.Now()
			err := l.enter(context.Background(), s, networksOf(from).wide)
			if waited != nil {
				waited(time.Since(began), err)
			}
			if err == nil {
				time.Sleep(time.Second)
				l.leave()
			}
		})
		synctest.Wait() // one after the other
	}
	for i := range 200 {
		one(suspect, at(0, 0, byte(i)), nil)
	}
	var mu sync.Mutex
	for _, honest := range []struct {
		who  string
		s    standing
		from netip.Addr
		most time.Duration
	}{
		{"an owner", owner, at(1, 0, 1), 2 * time.Second},
		{"another owner, behind the first", owner, at(1, 0, 1), 4 * time.Second},
		{"a stranger", stranger, at(2, 0, 1), 4 * time.Second},
		{"a stranger of another network", stranger, at(2, 1, 1), 8 * time.Second},
		{"who has mistyped", suspect, at(3, 0, 1), 12 * time.Second},
	} {
		one(honest.s, honest.from, func(d time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil || d > honest.most {
				faults = append(faults, fmt.Sprintf("%s waits %v: %v", honest.who, d, err))
			}
		})
	}
	all.Wait()
	return faults
}

// fifo is a limit that treats all alike.
type fifo struct {
	slots chan struct{}
	wait  time.Duration
}

func (f fifo) enter(context.Context, standing, netip.Prefix) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-time.After(f.wait):
		return errBusy
	}
}

func (f fifo) leave() { <-f.slots }

// blind is a limit that does not see something.
type blind struct {
	*limit
	standing bool
	network  bool
}

func (b blind) enter(ctx context.Context, s standing, network netip.Prefix) error {
	if b.standing {
		s = stranger
	}
	if b.network {
		network = netip.Prefix{}
	}
	return b.limit.enter(ctx, s, network)
}

// Who floods a source with guesses waits for others like themselves, not
// others for them.
func TestLimitIsFair(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func() crowdedLimit
	}{
		{"", func() crowdedLimit { return newLimit(1, 20, time.Minute) }}, // sound
		{"first come, first served", func() crowdedLimit { return fifo{make(chan struct{}, 1), time.Minute} }},
		{"no standings", func() crowdedLimit { return blind{newLimit(1, 20, time.Minute), true, false} }},
		{"no networks", func() crowdedLimit { return blind{newLimit(1, 20, time.Minute), false, true} }},
	} {
		synctest.Test(t, func(t *testing.T) {
			if faults := judgeLimit(tt.make()); (len(faults) > 0) != (tt.name != "") {
				t.Errorf("%q: %q", tt.name, faults)
			}
		})
	}
}

// A place in a full queue comes from where most wait, and nobody starves.
func TestLimitOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(1, 6, time.Hour)
		if l.line(stranger, netip.Prefix{}) != nil {
			t.Fatal("there is no place")
		}
		var calls []*call
		add := func(s standing, network byte) {
			calls = append(calls, l.line(s, networksOf(at(0, network, 1)).wide))
		}
		for range 3 {
			add(stranger, 1)
		}
		for i := range 3 {
			add(stranger, byte(2+i))
		}
		add(owner, 9)    // takes the place of calls[2], the youngest of the fullest
		add(stranger, 8) // takes that of calls[1]
		add(stranger, 7) // gets none: all have one
		add(suspect, 7)  // is one of the many strangers' instead
		for i, c := range calls {
			gone := i == 2 || i == 1 || i == 8 || i == 7
			if (c.line == nil) != gone {
				t.Errorf("call %d: gone %v, want %v", i, c.line == nil, gone)
			}
			if gone && !errors.Is(<-c.told, sasl.ErrBusy) {
				t.Errorf("call %d was not told", i)
			}
		}
		var order []int
		for range 6 {
			l.leave()
			for i, c := range calls {
				select {
				case err := <-c.told:
					if err != nil {
						t.Errorf("call %d: %v", i, err)
					}
					order = append(order, i)
				default:
				}
			}
		}
		if got, want := fmt.Sprint(order), "[0 6 9 3 4 5]"; got != want {
			t.Errorf("served %v, want %v", got, want)
		}
		l.leave()
		if l.running != 0 || l.waiting() != 0 {
			t.Errorf("left over: %d run, %d wait", l.running, l.waiting())
		}
		for i := range l.lines {
			if n := len(l.lines[i].byNetwork) + l.lines[i].turns.Len(); n != 0 {
				t.Errorf("standing %d: %d groups are left", i, n)
			}
		}
	})
}

// Who has no place hears of it after a while, and who hangs up before is let
// go at once.
func TestBusyPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(1, 1, time.Hour)
		l.line(stranger, netip.Prefix{})
		l.line(stranger, netip.Prefix{})
		began := time.Now()
		if err := l.enter(t.Context(), stranger, netip.Prefix{}); !errors.Is(err, sasl.ErrBusy) || time.Since(began) != busyPause {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.enter(ctx, stranger, netip.Prefix{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who hangs up: %v", err)
		}
	})
}

// Whose turn comes in the moment of giving up leaves it to the next.
func TestGivesTurnAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(1, 2, time.Hour)
		l.line(stranger, netip.Prefix{})
		first, second := l.line(stranger, netip.Prefix{}), l.line(stranger, netip.Prefix{})
		l.leave() // the turn is first's
		if err := l.giveUp(first, context.Canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		select {
		case err := <-second.told:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the turn was lost")
		}
	})
}

// Standing is what the throttle knows of a name and of an address.
func TestStanding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttle := newThrottle()
		found := stranger
		inner := asking(func(ctx context.Context, l sasl.Login) (string, error) {
			found = standingOf(ctx)
			if l.Password != "right" {
				return "", errRefused
			}
			return l.User, nil
		})
		s := Source{Authenticator: throttled{throttle, nil, inner}}
		for i, step := range []struct {
			user, password, from string
			want                 standing
		}{
			{"alice", "right", "192.0.2.1", stranger},
			{"alice", "wrong", "192.0.2.1", owner},
			{"alice", "right", "192.0.2.9", owner},  // at home
			{"bob", "right", "192.0.2.9", stranger}, // a neighbour
			{"alice", "right", "203.0.113.1", stranger},
			{"carol", "right", "192.0.2.1", suspect}, // behind alice's wrong password
			{"alice", "wrong", "127.0.0.1", stranger},
			{"alice", "right", "127.0.0.1", stranger}, // never counted
		} {
			login(s, step.user, step.password, netip.MustParseAddr(step.from))
			if found != step.want {
				t.Errorf("step %d: %s from %s has standing %d, want %d", i, step.user, step.from, found, step.want)
			}
		}
		time.Sleep(knownFor + time.Hour)
		login(s, "alice", "right", netip.MustParseAddr("192.0.2.1"))
		if found != stranger {
			t.Errorf("long after: standing %d", found)
		}
		none := Source{Authenticator: throttled{nil, nil, inner}}
		if login(none, "alice", "right", here); found != stranger {
			t.Errorf("without a throttle: standing %d", found)
		}
	})
}
