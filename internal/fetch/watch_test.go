package fetch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

// logins notes when an account signs in.
func logins(m *model, reply func(n int) string) *[]time.Duration {
	start, list := time.Now(), new([]time.Duration)
	m.loginReply = func(n int) string {
		*list = append(*list, time.Since(start))
		if reply != nil {
			return reply(n)
		}
		return "+OK"
	}
	return list
}

// watch watches for so long.
func watch(t *testing.T, f *Fetcher, d, every time.Duration, accounts ...Account) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return f.Watch(ctx, accounts, every)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, to := newModel(3), exactly()
		list := logins(m, func(n int) string {
			if n%2 == 1 {
				m.letters = append(m.letters, letter{uid: fmt.Sprint("more-of-them-", n), text: text(10 + n)})
			}
			return "+OK"
		})
		f := New(Options{State: faultfs.New().Root()})
		if err := watch(t, f, time.Hour, 5*time.Minute, m.account(to, Policy{})); err != nil {
			t.Fatal(err)
		}
		if n := len(*list); n < 15 || n > 30 {
			t.Errorf("%d logins: %v", n, *list)
		}
		if len(to.texts) < 10 || m.left() > 1 {
			t.Errorf("%d are stored, %d are left", len(to.texts), m.left())
		}
	})
}

// While a server is out, the pauses grow; then all is as before.
func TestWatchBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newModel(1)
		list := logins(m, func(int) string { return "-ERR [SYS/TEMP] out" })
		f := New(Options{State: faultfs.New().Root()})
		if err := watch(t, f, 12*time.Hour, 5*time.Minute, m.account(exactly(), Policy{})); err != nil {
			t.Fatal(err)
		}
		if n := len(*list); n < 12 || n > 16 {
			t.Errorf("%d logins: %v", n, *list)
		}
	})
}

// A password that is wrong for sure is tried once; one that may be wrong three
// times. The other account goes on.
func TestWatchGivesUp(t *testing.T) {
	t.Parallel()
	for reply, tries := range map[string]int{"-ERR [AUTH] no": 1, "-ERR no": refusals} {
		synctest.Test(t, func(t *testing.T) {
			good, bad := newModel(1), newModel(1)
			list := logins(bad, func(int) string { return reply })
			others := logins(good, nil)
			a, b := good.account(exactly(), Policy{}), bad.account(exactly(), Policy{})
			b.Name, b.Mailbox = "bob", "bob@pop.example.org:995"
			f := New(Options{State: faultfs.New().Root()})
			err := watch(t, f, 24*time.Hour, 5*time.Minute, a, b)
			if !errors.Is(err, ErrSignIn) || len(*list) != tries || len(*others) < 200 {
				t.Errorf("%d tries, %d of the other, %v", len(*list), len(*others), err)
			}
			if err := watch(t, f, 24*time.Hour, 5*time.Minute, b); !errors.Is(err, ErrSignIn) {
				t.Errorf("with nobody left: %v", err)
			}
		})
	}
}

// LOGIN-DELAY is honoured between rounds and between sessions.
func TestLoginDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, to := newModel(12), exactly()
		m.capa, m.show = []string{"UIDL", "LOGIN-DELAY 900 USER"}, 5
		list := logins(m, nil)
		f := New(Options{State: faultfs.New().Root()})
		if err := watch(t, f, 2*time.Hour, time.Minute, m.account(to, Policy{Batch: 2})); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(*list); i++ {
			if gap := (*list)[i] - (*list)[i-1]; gap < 900*time.Second || gap > 1100*time.Second {
				t.Errorf("a login after %v", gap)
			}
		}
		if err := to.check(texts(12), 0); err != nil {
			t.Error(err)
		}
	})
}

// A journal that another has is told of, by Once and by Watch.
func TestLockedOut(t *testing.T) {
	t.Parallel()
	f, m := faultfs.New(), newModel(1)
	j := mustJournal(t, f.Root())
	if r := once(f.Root(), m.account(exactly(), Policy{})); !errors.Is(r.Err, ErrLocked) {
		t.Errorf("%v", r.Err)
	}
	fetcher := New(Options{State: f.Root()})
	if err := fetcher.Watch(t.Context(), []Account{m.account(exactly(), Policy{})}, time.Minute); !errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
	if _, err := fetcher.Plan(t.Context(), m.account(exactly(), Policy{})); err != nil {
		t.Errorf("a plan needs no lock: %v", err)
	}
	j.close()
}

// A hundred accounts of ten hosts are soon done, although one takes long, and no
// host gets more than four at a time.
func TestManyAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow = 20 * time.Second
		hosts := map[string]string{}
		var accounts []Account
		for i := range 100 {
			m := newModel(3)
			a := m.account(exactly(), Policy{})
			a.Name = fmt.Sprint("user", i)
			a.Host = fmt.Sprint("pop", i%10, ".example.org")
			a.Mailbox = a.Name + "@" + a.Host + ":995"
			hosts[a.Name] = a.Host
			m.before = func(verb string) {
				switch {
				case verb == "UIDL" && i == 0:
					time.Sleep(slow)
				case verb == "UIDL":
					time.Sleep(time.Second)
				}
			}
			accounts = append(accounts, a)
		}
		at, perHost := map[string]bool{}, map[string]int{}
		f := New(Options{State: faultfs.New().Root(), Observe: func(e Event) {
			switch host := hosts[e.Account]; {
			case e.Kind == Finished:
				delete(at, e.Account)
				perHost[host]--
			case e.Kind == Connected && !at[e.Account]:
				at[e.Account] = true
				if perHost[host]++; perHost[host] > 4 || len(at) > 40 {
					t.Errorf("%d accounts at once, %d at %s", len(at), perHost[host], host)
				}
			}
		}})
		start := time.Now()
		for _, r := range f.Once(t.Context(), accounts) {
			if r.Err != nil || r.Fetched != 3 {
				t.Errorf("%+v", r)
			}
		}
		if took := time.Since(start); took > 3*slow { // it lists twice
			t.Errorf("it took %v", took)
		}
	})
}
