package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/sasl"
)

// people is an account source in memory. Each has their own name as password
// unless passwords says otherwise.
type people struct {
	mu        sync.Mutex
	passwords map[string]string
	versions  map[string]uint64
	err       error
	calls     atomic.Int64
}

func (p *people) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	p.calls.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return "", p.err
	}
	if want, ok := p.passwords[l.User]; !ok || l.Password != want {
		return "", fmt.Errorf("people: %w", sasl.ErrRefused)
	}
	return l.User, nil
}

func (p *people) Lookup(_ context.Context, name string) (string, error) {
	if p.err != nil {
		return "", p.err
	}
	if _, ok := p.passwords[name]; !ok {
		return "", sasl.ErrNoUser
	}
	return name, nil
}

func (p *people) Secret(_ context.Context, name, scheme string) (string, []byte, error) {
	if p.err != nil {
		return "", nil, p.err
	}
	if w, ok := p.passwords[name]; ok && scheme == "PLAIN" {
		return name, []byte(w), nil
	}
	return "", nil, sasl.ErrRefused
}

func (p *people) VerifyToken(_ context.Context, user, token string) (string, error) {
	if token == "token of alice" && (user == "" || user == "alice") {
		return "alice", p.err
	}
	return "", sasl.ErrRefused
}

func (p *people) Fields(_ context.Context, account string) (map[string]string, error) {
	if _, ok := p.passwords[account]; !ok {
		return nil, sasl.ErrNoUser
	}
	return map[string]string{"of": account}, p.err
}

func (p *people) Version(name string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.versions[name]
}

func (p *people) change(name, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passwords[name] = password
	p.versions[name]++
}

func (p *people) source() Source {
	return Source{Authenticator: p, Looker: p, Secrets: p, Tokens: p, Fields: p.Fields, Version: p.Version, Costly: true}
}

func peopleOf(pairs ...string) *people {
	p := &people{passwords: map[string]string{}, versions: map[string]uint64{}}
	for i := 0; i < len(pairs); i += 2 {
		p.passwords[pairs[i]] = pairs[i+1]
	}
	return p
}

func mustNew(t *testing.T, o Options) Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("198.51.100.7")
)

func login(s Source, user, password string, from netip.Addr) (string, error) {
	return s.Authenticator.Authenticate(context.Background(), sasl.Login{User: user, Password: password, Remote: from})
}

func TestNewKeepsWhatThereIs(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err == nil {
		t.Error("no sources are no error")
	}
	p := peopleOf("alice", "a secret")
	s := mustNew(t, Options{Sources: []Source{p.source()}})
	if s.Authenticator == nil || s.Looker == nil || s.Secrets == nil || s.Tokens == nil || s.Fields == nil || s.Version == nil {
		t.Errorf("a part was lost: %+v", s)
	}
	s = mustNew(t, Options{Sources: []Source{{Authenticator: p}}})
	if s.Authenticator == nil || s.Looker != nil || s.Secrets != nil || s.Tokens != nil || s.Fields != nil || s.Version != nil {
		t.Errorf("a part was invented: %+v", s)
	}
	s = mustNew(t, Options{Sources: []Source{{Tokens: p}, {Looker: p}}})
	if s.Authenticator != nil || s.Looker == nil || s.Tokens == nil {
		t.Errorf("a part was lost or invented: %+v", s)
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	p := peopleOf("zoë", "pässwörd", "alice", "whose token it is")
	s := mustNew(t, Options{Sources: []Source{p.source()}})
	for _, name := range []string{"zoë", "ZOË", "zoe\u0308"} {
		if a, err := login(s, name, "pa\u0308sswo\u0308rd", here); a != "zoë" || err != nil {
			t.Errorf("Authenticate(%q): %q, %v", name, a, err)
		}
		if a, err := s.Looker.Lookup(t.Context(), name); a != "zoë" || err != nil {
			t.Errorf("Lookup(%q): %q, %v", name, a, err)
		}
		if a, secret, err := s.Secrets.Secret(inExchange(t), name, "PLAIN"); a != "zoë" || string(secret) != "pässwörd" || err != nil {
			t.Errorf("Secret(%q): %q, %v", name, a, err)
		}
	}
	if n := p.calls.Load(); n != 1 {
		t.Errorf("%d spellings were verified, want 1", n)
	}
	for _, name := range []string{"", "a b", "zo\xeb", strings.Repeat("x", 300)} {
		if _, err := login(s, name, "x", here); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("Authenticate(%q): %v", name, err)
		}
		if _, err := s.Looker.Lookup(t.Context(), name); !errors.Is(err, sasl.ErrNoUser) {
			t.Errorf("Lookup(%q): %v", name, err)
		}
		if _, _, err := s.Secrets.Secret(inExchange(t), name, "PLAIN"); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("Secret(%q): %v", name, err)
		}
	}
	if _, err := s.Tokens.VerifyToken(inExchange(t), "a b", "token of alice"); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("VerifyToken: %v", err)
	}
	if a, err := s.Tokens.VerifyToken(inExchange(t), "", "token of alice"); a != "alice" || err != nil {
		t.Errorf("VerifyToken without a name: %q, %v", a, err)
	}
}

// inExchange is the context of a guarded exchange.
func inExchange(t *testing.T) context.Context {
	return context.WithValue(t.Context(), attemptKey{}, &attempt{from: here})
}

var errOutage = errors.New("directory is down")

func TestChain(t *testing.T) {
	t.Parallel()
	first, second, down := peopleOf("alice", "one", "both", "1"), peopleOf("bob", "two", "both", "2"), peopleOf()
	down.err = errOutage
	for _, tt := range []struct {
		name     string
		sources  []*people
		user, pw string
		account  string
		err      error
	}{
		{"first", []*people{first, second}, "alice", "one", "alice", nil},
		{"second", []*people{first, second}, "bob", "two", "bob", nil},
		{"both, first", []*people{first, second}, "both", "1", "both", nil},
		{"both, second", []*people{first, second}, "both", "2", "both", nil},
		{"neither", []*people{first, second}, "both", "3", "", sasl.ErrRefused},
		{"unknown", []*people{first, second}, "carol", "3", "", sasl.ErrRefused},
		{"one is down, proved", []*people{down, second}, "bob", "two", "bob", nil},
		{"one is down, not proved", []*people{down, second}, "bob", "x", "", errOutage},
		{"last is down, not proved", []*people{first, down}, "bob", "x", "", errOutage},
		{"last is down, proved", []*people{first, down}, "alice", "one", "alice", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var sources []Source
			for _, p := range tt.sources {
				sources = append(sources, p.source())
			}
			s := chained(append(sources, Source{}))
			account, err := login(s, tt.user, tt.pw, here)
			if account != tt.account || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v", account, err)
			}
			if errors.Is(tt.err, errOutage) && errors.Is(err, sasl.ErrRefused) {
				t.Errorf("an outage looks like a wrong password: %v", err)
			}
		})
	}
	s := chained([]Source{first.source(), second.source(), {}})
	if a, err := s.Looker.Lookup(t.Context(), "bob"); a != "bob" || err != nil {
		t.Errorf("Lookup: %q, %v", a, err)
	}
	if _, err := s.Looker.Lookup(t.Context(), "carol"); !errors.Is(err, sasl.ErrNoUser) {
		t.Errorf("Lookup: %v", err)
	}
	if a, secret, err := s.Secrets.Secret(t.Context(), "bob", "PLAIN"); a != "bob" || string(secret) != "two" || err != nil {
		t.Errorf("Secret: %q, %v", a, err)
	}
	if f, err := s.Fields(t.Context(), "bob"); f["of"] != "bob" || err != nil {
		t.Errorf("Fields: %v, %v", f, err)
	}
	if f, err := s.Fields(t.Context(), "carol"); f != nil || !errors.Is(err, sasl.ErrNoUser) {
		t.Errorf("Fields: %v, %v", f, err)
	}
	s = chained([]Source{down.source(), second.source()})
	if _, err := s.Looker.Lookup(t.Context(), "carol"); !errors.Is(err, errOutage) {
		t.Errorf("Lookup during an outage: %v", err)
	}
	if _, _, err := s.Secrets.Secret(t.Context(), "carol", "PLAIN"); !errors.Is(err, errOutage) {
		t.Errorf("Secret during an outage: %v", err)
	}
}

// A source that forgets to name the account signs nobody in.
func TestNameless(t *testing.T) {
	t.Parallel()
	p := peopleOf("alice", "a secret")
	s := chained([]Source{{Authenticator: nameless{}}, p.source()})
	if a, err := login(s, "bob", "x", here); a != "" || err == nil || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %q, %v", a, err)
	}
	if a, err := login(s, "alice", "a secret", here); a != "alice" || err != nil {
		t.Errorf("got %q, %v", a, err)
	}
}

type nameless struct{}

func (nameless) Authenticate(context.Context, sasl.Login) (string, error) { return "", nil }

// judgeRefusals says in what a refusal of an account differs from one of a name
// that does not exist. It runs in a bubble.
func judgeRefusals(s Source, one, two *people) (faults []string) {
	texts, calls, took := map[string]bool{}, map[[2]int64]bool{}, map[time.Duration]bool{}
	from := here
	for _, user := range []string{"alice", "bob", "nobody", "somebody"} {
		a, b, began := one.calls.Load(), two.calls.Load(), time.Now()
		_, err := login(s, user, "wrong", from)
		texts[fmt.Sprint(err)] = true
		calls[[2]int64{one.calls.Load() - a, two.calls.Load() - b}] = true
		took[time.Since(began)] = true
		from = from.Next()
		if !errors.Is(err, sasl.ErrRefused) {
			faults = append(faults, fmt.Sprintf("%s: %v", user, err))
		}
	}
	if len(texts) != 1 || len(calls) != 1 || len(took) != 1 {
		faults = append(faults, fmt.Sprintf("refusals differ: %v %v %v", texts, calls, took))
	}
	return faults
}

// Unknown names and wrong passwords get the same error, octet by octet, and
// cost the same calls and the same time.
func TestRefusalsAreEqual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := peopleOf("alice", "a secret"), peopleOf("bob", "b secret")
		s := mustNew(t, Options{Sources: []Source{one.source(), two.source()}})
		for _, f := range judgeRefusals(s, one, two) {
			t.Error(f)
		}
	})
}

// judgeCache says what an Authenticator in front of p does wrong that remembers
// for an hour. It runs in a bubble.
func judgeCache(t *testing.T, make func(p *people) sasl.Authenticator) (faults []string) {
	p := peopleOf("alice", "a secret", "bob", "a secret")
	s := make(p)
	ask := func(user, password string, from netip.Addr, tls bool, want string, verified int64) {
		before := p.calls.Load()
		l := sasl.Login{User: user, Password: password, Remote: from, TLS: tls}
		account, err := s.Authenticate(t.Context(), l)
		if account != want || (err == nil) != (want != "") {
			faults = append(faults, fmt.Sprintf("%+v: got %q, %v", l, account, err))
		}
		if n := p.calls.Load() - before; n != verified {
			faults = append(faults, fmt.Sprintf("%+v: verified %d times, want %d", l, n, verified))
		}
	}
	ask("alice", "a secret", here, true, "alice", 1)
	ask("alice", "a secret", here, true, "alice", 0)
	ask("bob", "a secret", here, true, "bob", 1)      // the key has the user
	ask("alice", "a secret", there, true, "alice", 1) // and the address
	ask("alice", "a secret", here, false, "alice", 1) // and TLS
	ask("alice", "a secreT", here, true, "", 1)       // and the password
	ask("alice", "a secreT", here, true, "", 1)       // what is wrong is not remembered
	ask("alicea", " secret", here, true, "", 1)       // parts do not run together
	ask("alice", "a secret\x00", here, true, "", 1)

	p.change("alice", "new")
	ask("alice", "a secret", here, true, "", 1)
	ask("alice", "new", here, true, "alice", 1)
	ask("alice", "new", here, true, "alice", 0)
	ask("bob", "a secret", here, true, "bob", 0)
	time.Sleep(time.Hour + time.Second)
	ask("bob", "a secret", here, true, "bob", 1)

	p.err = errOutage
	ask("bob", "a secret", here, true, "bob", 0)
	ask("bob", "x", here, true, "", 1)
	return faults
}

func TestCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, f := range judgeCache(t, func(p *people) sasl.Authenticator { return newCache(p, p.Version, time.Hour) }) {
			t.Error(f)
		}
	})
}

// A password that changes while it is verified is not remembered as valid.
func TestCacheRace(t *testing.T) {
	t.Parallel()
	p := peopleOf("alice", "old")
	c := newCache(during{p, func() { p.change("alice", "new") }}, p.Version, time.Hour)
	s := Source{Authenticator: c}
	if _, err := login(s, "alice", "old", here); err != nil {
		t.Fatal(err)
	}
	c.inner = p
	if _, err := login(s, "alice", "old", here); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("the old password: %v", err)
	}
}

// during does something behind a verification.
type during struct {
	sasl.Authenticator
	do func()
}

func (d during) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	account, err := d.Authenticator.Authenticate(ctx, l)
	d.do()
	return account, err
}

func TestCacheHitCostsNothing(t *testing.T) { // AllocsPerRun cannot be parallel
	p := peopleOf("alice@example.org", "a secret")
	s := mustNew(t, Options{Sources: []Source{p.source()}})
	ctx, l := context.Background(), sasl.Login{User: "alice@example.org", Password: "a secret", Remote: here, TLS: true}
	if n := testing.AllocsPerRun(100, func() { s.Authenticator.Authenticate(ctx, l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p.calls.Load() != 1 {
		t.Error("it was no hit")
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	r := newRecent[int, int](10)
	for i := range 1000 {
		r.put(i, i)
		if n := len(r.young) + len(r.old); n > 20 {
			t.Fatalf("%d entries", n)
		}
		if v, ok := r.get(0); !ok || v != 0 {
			t.Fatal("what is used was forgotten")
		}
	}
	if _, ok := r.get(500); ok {
		t.Error("what was not used is still there")
	}
	r.remove(0)
	if _, ok := r.get(0); ok {
		t.Error("what was removed is still there")
	}
}

// Many at once: each gets their own account, and only theirs.
func TestParallelLogins(t *testing.T) {
	t.Parallel()
	const users, logins = 500, 10_000
	p := peopleOf()
	for i := range users {
		p.passwords[fmt.Sprint("user", i)] = fmt.Sprint("password ", i)
	}
	s := mustNew(t, Options{Sources: []Source{p.source()}, Queue: logins, NoDelay: true})
	var wg sync.WaitGroup
	for n := range logins {
		wg.Go(func() {
			i := n % users
			j := (i + n/users%2) % users // every other time that of the next one
			user := fmt.Sprint("user", i)
			from := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			account, err := login(s, user, fmt.Sprint("password ", j), from)
			if i == j && (account != user || err != nil) {
				t.Errorf("%s: got %q, %v", user, account, err)
			}
			if i != j && (account != "" || !errors.Is(err, sasl.ErrRefused)) {
				t.Errorf("%s with the password of user%d: got %q, %v", user, j, account, err)
			}
		})
	}
	wg.Wait()
}
