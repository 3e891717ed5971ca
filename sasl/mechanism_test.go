package sasl_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// people is an account source that notes what it was asked.
type people struct {
	passwords map[string]string
	err       error
	asked     []sasl.Login
}

func (p *people) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	p.asked = append(p.asked, l)
	if p.err != nil {
		return "", p.err
	}
	if want, ok := p.passwords[l.User]; !ok || want != l.Password {
		return "", sasl.ErrRefused
	}
	return "account-of-" + l.User, nil
}

var errOutage = errors.New("directory is down")

func accounts() *people {
	return &people{passwords: map[string]string{
		"alice": "a secret", "zoë": "pässwörd", strings.Repeat("n", 255): strings.Repeat("p", 1024), "nobody": "",
	}}
}

// run plays responses; "-" stands for none. It returns the challenges with
// "-" for none, the account and the error of the last step.
func run(t *testing.T, m sasl.Mechanism, responses ...string) (challenges []string, account string, err error) {
	t.Helper()
	x := m.Start()
	for _, r := range responses {
		if account != "" || err != nil {
			t.Fatal("the exchange ended early")
		}
		response := []byte(r)
		if r == "-" {
			response = nil
		}
		var challenge []byte
		challenge, account, err = x.Next(t.Context(), response)
		if challenge == nil {
			challenges = append(challenges, "-")
		} else {
			challenges = append(challenges, string(challenge))
		}
	}
	return challenges, account, err
}

// attempt is what a client says and what must come of it.
type attempt struct {
	name, mechanism string
	responses       []string
	account         string
	err             error
	asked           bool // the account source was asked
}

func attempts() []attempt {
	long, longer := strings.Repeat("n", 255), strings.Repeat("p", 1024)
	return []attempt{
		{"plain", "PLAIN", []string{"\x00alice\x00a secret"}, "account-of-alice", nil, true},
		{"plain in two steps", "PLAIN", []string{"-", "\x00alice\x00a secret"}, "account-of-alice", nil, true},
		{"plain, own authzid", "PLAIN", []string{"alice\x00alice\x00a secret"}, "account-of-alice", nil, true},
		{"plain, other authzid", "PLAIN", []string{"root\x00alice\x00a secret"}, "", sasl.ErrRefused, false},
		{"plain, authzid in other case", "PLAIN", []string{"Alice\x00alice\x00a secret"}, "", sasl.ErrRefused, false},
		{"plain, wrong", "PLAIN", []string{"\x00alice\x00a secreT"}, "", sasl.ErrRefused, true},
		{"plain, spaces are content", "PLAIN", []string{"\x00alice\x00a secret "}, "", sasl.ErrRefused, true},
		{"plain, unknown", "PLAIN", []string{"\x00bob\x00a secret"}, "", sasl.ErrRefused, true},
		{"plain, UTF-8", "PLAIN", []string{"\x00zoë\x00pässwörd"}, "account-of-zoë", nil, true},
		{"plain, Latin-1 user", "PLAIN", []string{"\x00zo\xeb\x00pässwörd"}, "", sasl.ErrMalformed, false},
		{"plain, Latin-1 password", "PLAIN", []string{"\x00zoë\x00p\xe4ssw\xf6rd"}, "", sasl.ErrRefused, true},
		{"plain, longest", "PLAIN", []string{"\x00" + long + "\x00" + longer}, "account-of-" + long, nil, true},
		{"plain, user too long", "PLAIN", []string{"\x00" + long + "n\x00" + longer}, "", sasl.ErrRefused, false},
		{"plain, password too long", "PLAIN", []string{"\x00" + long + "\x00" + longer + "p"}, "", sasl.ErrRefused, false},
		{"plain, nothing", "PLAIN", []string{""}, "", sasl.ErrMalformed, false},
		{"plain, nothing twice", "PLAIN", []string{"-", "-"}, "", sasl.ErrMalformed, false},
		{"plain, one part", "PLAIN", []string{"alice"}, "", sasl.ErrMalformed, false},
		{"plain, two parts", "PLAIN", []string{"alice\x00a secret"}, "", sasl.ErrMalformed, false},
		{"plain, four parts", "PLAIN", []string{"\x00alice\x00a secret\x00"}, "", sasl.ErrMalformed, false},
		{"plain, NULs", "PLAIN", []string{"\x00\x00\x00\x00"}, "", sasl.ErrMalformed, false},
		{"plain, no user", "PLAIN", []string{"\x00\x00a secret"}, "", sasl.ErrMalformed, false},
		{"plain, no password", "PLAIN", []string{"\x00nobody\x00"}, "", sasl.ErrMalformed, false},

		{"login", "LOGIN", []string{"-", "alice", "a secret"}, "account-of-alice", nil, true},
		{"login, initial response", "LOGIN", []string{"alice", "a secret"}, "account-of-alice", nil, true},
		{"login, empty initial response", "LOGIN", []string{"", "alice", "a secret"}, "account-of-alice", nil, true},
		{"login, wrong", "LOGIN", []string{"-", "alice", "secret"}, "", sasl.ErrRefused, true},
		{"login, no user", "LOGIN", []string{"-", "", "a secret"}, "", sasl.ErrMalformed, false},
		{"login, no password", "LOGIN", []string{"-", "nobody", ""}, "", sasl.ErrMalformed, false},
		{"login, NUL in user", "LOGIN", []string{"-", "ali\x00ce", "a secret"}, "", sasl.ErrMalformed, false},
		{"login, NUL in password", "LOGIN", []string{"-", "alice", "a\x00secret"}, "", sasl.ErrMalformed, false},
		{"login, user too long", "LOGIN", []string{"-", long + "n", longer}, "", sasl.ErrRefused, false},
		{"login, password too long", "LOGIN", []string{"-", long, longer + "p"}, "", sasl.ErrRefused, false},
		{"login, longest", "LOGIN", []string{"-", long, longer}, "account-of-" + long, nil, true},
	}
}

// makes is NewPlain or NewLogin.
type makes func(a sasl.Authenticator, from sasl.Login) sasl.Mechanism

// judge says what make does wrong in one attempt.
func judge(t *testing.T, make makes, tt attempt) (faults []string) {
	t.Helper()
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	p := accounts()
	from := sasl.Login{Remote: netip.MustParseAddr("192.0.2.1"), TLS: true}
	m := make(p, from)
	if m.Name() != tt.mechanism {
		fault("Name = %q", m.Name())
	}
	challenges, account, err := run(t, m, tt.responses...)
	if account != tt.account || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
		fault("got account %q, %v; want %q, %v", account, err, tt.account, tt.err)
	}
	if challenges[len(challenges)-1] != "-" {
		fault("a challenge after the end: %q", challenges)
	}
	if (len(p.asked) > 0) != tt.asked {
		fault("the account source was asked %d times", len(p.asked))
	}
	for _, l := range p.asked {
		if l.Remote != from.Remote || !l.TLS {
			fault("the account source was not told where from: %v %v", l.Remote, l.TLS)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "alice")) {
		fault("the error repeats what the client sent: %v", err)
	}
	return faults
}

func TestServer(t *testing.T) {
	t.Parallel()
	for _, tt := range attempts() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			make := sasl.NewPlain
			if tt.mechanism == "LOGIN" {
				make = sasl.NewLogin
			}
			for _, f := range judge(t, make, tt) {
				t.Error(f)
			}
		})
	}
}

// wrong is PLAIN with a fault put around it.
type wrong struct {
	sasl.Exchange
	before func(response []byte) []byte
	after  func(response []byte, account string, err error) (string, error)
}

func (w wrong) Name() string         { return "PLAIN" }
func (w wrong) Start() sasl.Exchange { return w }

func (w wrong) Next(ctx context.Context, response []byte) ([]byte, string, error) {
	sent := response
	if w.before != nil && response != nil {
		sent = w.before(response)
	}
	challenge, account, err := w.Exchange.Next(ctx, sent)
	if w.after != nil && challenge == nil {
		account, err = w.after(response, account, err)
	}
	return challenge, account, err
}

// withoutAuthzid drops what stands before the first NUL.
func withoutAuthzid(response []byte) []byte {
	return response[max(bytes.IndexByte(response, 0), 0):]
}

func TestServerMutants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		from func(l sasl.Login) sasl.Login
		wrong
	}{
		{name: ""}, // sound
		{name: "forgets the address", from: func(l sasl.Login) sasl.Login { return sasl.Login{TLS: l.TLS} }},
		{name: "forgets TLS", from: func(l sasl.Login) sasl.Login { return sasl.Login{Remote: l.Remote} }},
		{name: "ignores the authzid", wrong: wrong{before: withoutAuthzid}},
		{name: "lets one act for another", wrong: wrong{
			before: withoutAuthzid,
			after: func(response []byte, account string, err error) (string, error) {
				if authzid, _, _ := bytes.Cut(response, []byte{0}); err == nil && len(authzid) > 0 {
					account = string(authzid)
				}
				return account, err
			},
		}},
		{name: "trims passwords", wrong: wrong{before: bytes.TrimSpace}},
		{name: "drops NULs", wrong: wrong{before: func(r []byte) []byte { return bytes.TrimRight(r, "\x00") }}},
		{name: "folds names", wrong: wrong{before: bytes.ToLower}},
		{name: "proves everybody", wrong: wrong{after: func([]byte, string, error) (string, error) { return "account-of-alice", nil }}},
		{name: "says what was wrong", wrong: wrong{after: func(r []byte, account string, err error) (string, error) {
			if err != nil {
				err = fmt.Errorf("%q: %w", r, err)
			}
			return account, err
		}}},
		{name: "makes an outage of a refusal", wrong: wrong{after: func(_ []byte, account string, err error) (string, error) {
			if errors.Is(err, sasl.ErrRefused) {
				err = errOutage
			}
			return account, err
		}}},
	} {
		faults := 0
		for _, a := range attempts() {
			if a.mechanism != "PLAIN" {
				continue
			}
			faults += len(judge(t, func(accounts sasl.Authenticator, from sasl.Login) sasl.Mechanism {
				if tt.from != nil {
					from = tt.from(from)
				}
				w := tt.wrong
				w.Exchange = sasl.NewPlain(accounts, from).Start()
				return w
			}, a))
		}
		if (faults > 0) != (tt.name != "") {
			t.Errorf("%q: %d faults found", tt.name, faults)
		}
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	got, _, _ := run(t, sasl.NewPlain(accounts(), sasl.Login{}), "-", "x")
	if want := "|-"; strings.Join(got, "|") != want {
		t.Errorf("PLAIN: %q, want %q", got, want)
	}
	got, _, _ = run(t, sasl.NewLogin(accounts(), sasl.Login{}), "-", "x", "y")
	if want := "Username:|Password:|-"; strings.Join(got, "|") != want {
		t.Errorf("LOGIN: %q, want %q", got, want)
	}
}

func TestOutageIsNotRefused(t *testing.T) {
	t.Parallel()
	p := accounts()
	p.err = errOutage
	for _, m := range []sasl.Mechanism{sasl.NewPlain(p, sasl.Login{}), sasl.NewLogin(p, sasl.Login{})} {
		last := "\x00alice\x00a secret"
		responses := []string{last}
		if m.Name() == "LOGIN" {
			responses = []string{"alice", "a secret"}
		}
		_, account, err := run(t, m, responses...)
		if !errors.Is(err, errOutage) || errors.Is(err, sasl.ErrRefused) || account != "" {
			t.Errorf("%s: got %q, %v", m.Name(), account, err)
		}
	}
}

// A source that forgets to name the account must not sign anybody in.
func TestNamelessAccount(t *testing.T) {
	t.Parallel()
	_, account, err := run(t, sasl.NewPlain(nameless{}, sasl.Login{}), "\x00alice\x00a secret")
	if account != "" || err == nil || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %q, %v; want an outage", account, err)
	}
}

type nameless struct{}

func (nameless) Authenticate(context.Context, sasl.Login) (string, error) { return "", nil }

// An exchange proves at most once, and each Start is a new one.
func TestExchangeEnds(t *testing.T) {
	t.Parallel()
	p := accounts()
	for _, m := range []sasl.Mechanism{sasl.NewPlain(p, sasl.Login{}), sasl.NewLogin(p, sasl.Login{})} {
		for range 2 {
			x := m.Start()
			steps := []string{"\x00alice\x00a secret"}
			if m.Name() == "LOGIN" {
				steps = []string{"alice", "a secret"}
			}
			var account string
			for _, s := range steps {
				_, account, _ = x.Next(t.Context(), []byte(s))
			}
			if account == "" {
				t.Fatalf("%s: not proved", m.Name())
			}
			for _, again := range [][]byte{nil, {}, []byte(steps[0])} {
				if c, account, err := x.Next(t.Context(), again); c != nil || account != "" || !errors.Is(err, sasl.ErrMalformed) {
					t.Errorf("%s goes on after its end: %q %q %v", m.Name(), c, account, err)
				}
			}
		}
	}
}

// converse joins both sides as a protocol would.
func converse(t *testing.T, c sasl.Client, m sasl.Mechanism) (string, error) {
	t.Helper()
	if c.Name() != m.Name() {
		t.Fatalf("%s talks to %s", c.Name(), m.Name())
	}
	response, has, err := c.Start()
	if err != nil {
		return "", err
	}
	if !has {
		response = nil
	}
	x := m.Start()
	for range 10 {
		challenge, account, err := x.Next(t.Context(), response)
		if account != "" && challenge != nil {
			if last, err := c.Next(challenge); len(last) > 0 || err != nil {
				t.Errorf("%s: what comes beside success is answered by %q, %v", c.Name(), last, err)
			}
		}
		if err != nil || account != "" {
			if err == nil {
				err = c.Done()
			}
			return account, err
		}
		if response, err = c.Next(challenge); err != nil {
			return "", err
		}
	}
	t.Fatal("no end")
	return "", nil
}

func TestClients(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		user, password, account string
		ok                      bool
	}{
		{"alice", "a secret", "account-of-alice", true},
		{"zoë", "pässwörd", "account-of-zoë", true},
		{"alice", "wrong", "", false},
		{"", "a secret", "", false},
		{"alice", "", "", false},
		{"alice", "a\x00secret", "", false},
		{"al\x00ice", "secret", "", false},
	} {
		for _, pair := range []struct {
			c sasl.Client
			m sasl.Mechanism
		}{
			{sasl.PlainClient(tt.user, tt.password), sasl.NewPlain(accounts(), sasl.Login{})},
			{sasl.LoginClient(tt.user, tt.password), sasl.NewLogin(accounts(), sasl.Login{})},
		} {
			account, err := converse(t, pair.c, pair.m)
			if account != tt.account || (err == nil) != tt.ok {
				t.Errorf("%s %q: got %q, %v", pair.c.Name(), tt.user, account, err)
			}
		}
	}
}

// A server that asks on must not be fed.
func TestClientsEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []sasl.Client{sasl.PlainClient("alice", "a secret"), sasl.LoginClient("alice", "a secret")} {
		_, has, err := c.Start()
		if err != nil {
			t.Fatal(err)
		}
		if !has {
			c.Next([]byte("Username:"))
			c.Next([]byte("Password:"))
		}
		if r, err := c.Next([]byte("More:")); err == nil || r != nil {
			t.Errorf("%s answers %q", c.Name(), r)
		}
	}
}

func FuzzServer(f *testing.F) {
	for _, s := range []string{"\x00alice\x00a secret", "alice\x00alice\x00a secret", "alice", "\x00\x00\x00", ""} {
		f.Add([]byte(s), []byte("a secret"), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		for _, mechanism := range []func(sasl.Authenticator, sasl.Login) sasl.Mechanism{sasl.NewPlain, sasl.NewLogin} {
			p := accounts()
			x := mechanism(p, sasl.Login{}).Start()
			proved := 0
			for _, r := range [][]byte{a, b, c, nil} {
				_, account, err := x.Next(t.Context(), r)
				if account != "" {
					proved++
					if l := p.asked[0]; account != "account-of-"+l.User || p.passwords[l.User] != l.Password {
						t.Fatalf("%q was proved by user %q", account, l.User)
					}
				}
				if account != "" && err != nil {
					t.Fatal("an account beside an error")
				}
			}
			if proved > 1 || len(p.asked) > 1 {
				t.Fatalf("proved %d times, asked %d times", proved, len(p.asked))
			}
			for _, l := range p.asked {
				if l.User == "" || l.Password == "" || strings.ContainsRune(l.User+l.Password, 0) ||
					len(l.User) > sasl.MaxUser || len(l.Password) > sasl.MaxPassword {
					t.Fatalf("the account source was asked for %q", l.User)
				}
			}
		}
	})
}
