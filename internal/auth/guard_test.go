package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/sasl"
)

// sources of a server with every mechanism that asks one.
func offered(s Source, from netip.Addr, proved func(Attempt)) map[string]sasl.Mechanism {
	all := map[string]sasl.Mechanism{
		"PLAIN":         sasl.NewPlain(s.Authenticator, sasl.Login{Remote: from}),
		"CRAM-MD5":      sasl.NewCRAMMD5(s.Secrets, "example.org"),
		"SCRAM-SHA-1":   sasl.NewSCRAM(s.Secrets, sasl.SCRAMOptions{Hash: sasl.SCRAMSHA1, Key: []byte("a key of sixteen")}),
		"SCRAM-SHA-256": sasl.NewSCRAM(s.Secrets, sasl.SCRAMOptions{Key: []byte("a key of sixteen")}),
		"OAUTHBEARER":   sasl.NewOAUTHBEARER(s.Tokens, sasl.BearerOptions{}),
		"XOAUTH2":       sasl.NewXOAUTH2(s.Tokens, sasl.BearerOptions{}),
	}
	for name, m := range all {
		all[name] = s.Guard(m, from, proved)
	}
	return all
}

// clientOf gives the client's side: secret is a password or a token.
func clientOf(mechanism, user, secret string) sasl.Client {
	switch mechanism {
	case "PLAIN":
		return sasl.PlainClient(user, secret)
	case "CRAM-MD5":
		return sasl.CRAMMD5Client(user, secret)
	case "SCRAM-SHA-1":
		return sasl.SCRAMClient(sasl.SCRAMSHA1, user, secret, nil, false)
	case "SCRAM-SHA-256":
		return sasl.SCRAMClient(sasl.SCRAMSHA256, user, secret, nil, false)
	case "OAUTHBEARER":
		return sasl.OAUTHBEARERClient(user, secret, "example.org", 995)
	}
	return sasl.XOAUTH2Client(user, secret)
}

var mechanisms = [...]string{"PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"}

// right is what proves alice.
func right(mechanism string) string {
	if strings.Contains(mechanism, "AUTH") {
		return "token-of-alice"
	}
	return "a-secret"
}

// talk runs an exchange, of at most steps responses.
func talk(ctx context.Context, m sasl.Mechanism, c sasl.Client, steps int) (account string, err error) {
	x := m.Start()
	response, _, err := c.Start()
	for range steps {
		if err != nil {
			return "", fmt.Errorf("client: %w", err)
		}
		challenge, account, err := x.Next(ctx, response)
		if err != nil || account != "" {
			return account, err
		}
		if len(challenge) == 0 && response != nil { // asks for the response again
			return "", errors.New("empty challenge")
		}
		if response, err = c.Next(challenge); err != nil {
			return "", fmt.Errorf("client: %w", err)
		}
	}
	return "", errors.New("hung up")
}

// tokens verifies the one of alice.
type tokens struct{ *people }

func (tk tokens) VerifyToken(_ context.Context, user, token string) (string, error) {
	if tk.err != nil {
		return "", tk.err
	}
	if token == "token-of-alice" && (user == "" || user == "alice") {
		return "alice", nil
	}
	return "", sasl.ErrRefused
}

func everything(t *testing.T) (*people, Source) {
	p := peopleOf("alice", "a-secret")
	src := p.source()
	src.Tokens, src.Fields = tokens{p}, nil
	return p, mustNew(t, Options{Sources: []Source{src}})
}

// try signs in and gives the seconds that it takes.
func try(t *testing.T, s Source, mechanism, user, secret string, from netip.Addr) (account string, wait int, err error) {
	began := time.Now()
	account, err = talk(t.Context(), offered(s, from, nil)[mechanism], clientOf(mechanism, user, secret), 9)
	return account, int(time.Since(began) / time.Second), err
}

// Every mechanism makes guessers wait, and who has an account as who has none.
func TestEveryMechanismIsGuarded(t *testing.T) {
	t.Parallel()
	for _, mechanism := range mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s := everything(t)
				for i, want := range []int{0, 2, 4, 8, 15, 15} {
					user := []string{"alice", "nobody"}[i%2]
					_, wait, err := try(t, s, mechanism, user, fmt.Sprint("guess-", i), here)
					if wait != want || !errors.Is(err, sasl.ErrRefused) {
						t.Errorf("guess %d at %s waits %d s, want %d: %v", i, user, wait, want, err)
					}
				}
				if account, wait, err := try(t, s, mechanism, "alice", right(mechanism), here); account != "alice" || wait != 15 || err != nil {
					t.Errorf("the right secret: %q after %d s, %v", account, wait, err)
				}
				if account, wait, err := try(t, s, mechanism, "alice", right(mechanism), there); account != "alice" || wait != 0 || err != nil {
					t.Errorf("elsewhere: %q after %d s, %v", account, wait, err)
				}
			})
		})
	}
}

// Guesses by one mechanism slow down all others, and a login by one makes its
// network known to all.
func TestMechanismsShareTheThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, s := everything(t)
		for i, m := range mechanisms {
			if _, wait, _ := try(t, s, m, "alice", "wrong", here); wait != []int{0, 2, 4, 8, 15, 15}[i] {
				t.Errorf("%s waits %d s", m, wait)
			}
		}
		for _, m := range mechanisms {
			_, s := everything(t)
			try(t, s, m, "alice", right(m), there)
			besiege(s, "alice", 40)
			for _, m := range mechanisms {
				neighbour := there.Next()
				if _, wait, err := try(t, s, m, "alice", right(m), neighbour); wait != 0 || err != nil {
					t.Errorf("%s waits %d s: %v", m, wait, err)
				}
			}
			if _, wait, _ := try(t, s, m, "alice", right(m), here); wait != 4 {
				t.Errorf("%s from an unknown network waits %d s", m, wait)
			}
		}
	})
}

// Outages, malformed responses and clients that leave before they have said
// anything are no guesses.
func TestNoGuess(t *testing.T) {
	t.Parallel()
	for _, mechanism := range mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := everything(t)
				p.err = errOutage
				for i := range 3 {
					if _, _, err := try(t, s, mechanism, "alice", fmt.Sprint("x", i), here); !errors.Is(err, errOutage) || errors.Is(err, sasl.ErrRefused) {
						t.Errorf("got %v", err)
					}
				}
				p.err = nil
				for range 3 {
					x := offered(s, here, nil)[mechanism].Start()
					_, _, err := x.Next(t.Context(), []byte("\x00"))
					if err != nil && errors.Is(err, sasl.ErrRefused) {
						t.Errorf("got %v", err)
					}
				}
				if _, wait, err := try(t, s, mechanism, "alice", right(mechanism), here); wait != 0 || err != nil {
					t.Errorf("waits %d s: %v", wait, err)
				}
			})
		})
	}
}

// Who hangs up where the refusal would come has guessed all the same.
func TestHangingUpIsNoEscape(t *testing.T) {
	t.Parallel()
	for mechanism, steps := range map[string]int{"OAUTHBEARER": 1, "XOAUTH2": 1, "evasive": 2} {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s := everything(t)
				m, c := offered(s, here, nil)[mechanism], clientOf(mechanism, "alice", "wrong")
				if m == nil {
					m, c = s.Guard(evasive{s.Secrets}, here, nil), sasl.LoginClient("alice", "wrong")
				}
				talk(t.Context(), m, c, steps)
				if _, wait, _ := try(t, s, "PLAIN", "bob", "x", here); wait != 2 {
					t.Errorf("the next one waits %d s, want 2", wait)
				}
			})
		})
	}
}

// evasive is a mechanism that says by a challenge that a proof was wrong.
type evasive struct{ secrets sasl.SecretSource }

func (evasive) Name() string              { return "EVASIVE" }
func (e evasive) Start() sasl.Exchange    { return &evasiveExchange{evasive: e} }
func (evasiveExchange) Challenge() string { return "" }

type evasiveExchange struct {
	evasive
	step int
}

func (e *evasiveExchange) Next(ctx context.Context, _ []byte) ([]byte, string, error) {
	if e.step++; e.step == 1 {
		_, _, err := e.secrets.Secret(ctx, "alice", "PLAIN")
		return []byte("prove it"), "", err
	}
	return []byte("wrong"), "", nil
}

// Without a guard there is no secret and no token: an outage, so that it is
// noticed.
func TestUnguarded(t *testing.T) {
	t.Parallel()
	_, s := everything(t)
	if account, secret, err := s.Secrets.Secret(t.Context(), "alice", "PLAIN"); account != "" || secret != nil || err == nil || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("Secret: %q %q %v", account, secret, err)
	}
	if account, err := s.Tokens.VerifyToken(t.Context(), "alice", "token-of-alice"); account != "" || err == nil || errors.Is(err, sasl.ErrRefused) {
		t.Errorf("VerifyToken: %q %v", account, err)
	}
}

// What was tried is there for the log, and never a secret.
func TestAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, s := everything(t)
		for _, mechanism := range mechanisms {
			var told []Attempt
			m := offered(s, there, func(a Attempt) { told = append(told, a) })[mechanism]
			if m.Name() != mechanism {
				t.Errorf("the name of %s is %s", mechanism, m.Name())
			}
			account, err := talk(t.Context(), m, clientOf(mechanism, "Alice", "wrong"), 9)
			f, ok := errors.AsType[*Failure](err)
			if account != "" || !ok || f.User != "Alice" || f.Master != "" || len(told) != 0 {
				t.Errorf("%s: %q, %#v, %v", mechanism, account, err, told)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, f); strings.Contains(text, "wrong") || strings.Contains(err.Error(), "lice") {
				t.Errorf("%s tells %s", mechanism, text)
			}
			user := "alice"
			if account, err = talk(t.Context(), m, clientOf(mechanism, user, right(mechanism)), 9); account != "alice" || err != nil {
				t.Errorf("%s: %q, %v", mechanism, account, err)
			}
			if len(told) != 1 || told[0] != (Attempt{User: "alice"}) {
				t.Errorf("%s: told of %v", mechanism, told)
			}
		}
	})
}

// A mechanism with a challenge for the greeting keeps it, others get none.
func TestGuardKeepsTheChallenge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, s := everything(t)
		greeting := func() (sasl.Mechanism, string) {
			m := s.Guard(sasl.NewAPOP(s.Secrets, "example.org"), here, nil)
			c, ok := m.(challenger)
			if !ok {
				t.Fatal("the challenge is lost")
			}
			return m, c.Challenge()
		}
		if _, ok := offered(s, here, nil)["PLAIN"].(challenger); ok {
			t.Error("PLAIN has a challenge")
		}
		for i, want := range []int{0, 2, 4} {
			m, challenge := greeting()
			digest, err := sasl.APOPDigest(challenge, fmt.Sprint("guess", i))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, _, err = m.Start().Next(t.Context(), []byte("alice "+digest))
			if wait := int(time.Since(began) / time.Second); wait != want || !errors.Is(err, sasl.ErrRefused) {
				t.Errorf("APOP waits %d s, want %d: %v", wait, want, err)
			}
		}
		m, challenge := greeting()
		digest, _ := sasl.APOPDigest(challenge, "a-secret")
		if _, account, err := m.Start().Next(t.Context(), []byte("alice "+digest)); account != "alice" || err != nil {
			t.Errorf("got %q, %v", account, err)
		}
	})
}

// Who hangs up while waiting gets no secret.
func TestGuardAndHangingUp(t *testing.T) {
	t.Parallel()
	for _, mechanism := range mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s := everything(t)
				try(t, s, mechanism, "alice", "wrong", here)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				account, err := talk(ctx, offered(s, here, nil)[mechanism], clientOf(mechanism, "alice", right(mechanism)), 9)
				if account != "" || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sasl.ErrRefused) || time.Since(began) != time.Second {
					t.Errorf("%q, %v after %v", account, err, time.Since(began))
				}
			})
		})
	}
}

// stumbling asks for a secret and fails at the proof.
type stumbling struct {
	secrets sasl.SecretSource
	err     error
}

func (stumbling) Name() string           { return "STUMBLING" }
func (s stumbling) Start() sasl.Exchange { return &stumblingExchange{stumbling: s} }

type stumblingExchange struct {
	stumbling
	asked bool
}

func (s *stumblingExchange) Next(ctx context.Context, _ []byte) ([]byte, string, error) {
	if s.asked {
		return nil, "", s.err
	}
	s.asked = true
	_, _, err := s.secrets.Secret(ctx, "alice", "PLAIN")
	return []byte("prove it"), "", err
}

// What fails after the secret was given is a guess only if it was refused.
func TestFailingAfterTheSecret(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{errOutage: 0, sasl.ErrMalformed: 0, context.Canceled: 0, sasl.ErrRefused: 2} {
		synctest.Test(t, func(t *testing.T) {
			_, s := everything(t)
			_, got := talk(t.Context(), s.Guard(stumbling{s.Secrets, err}, here, nil), sasl.LoginClient("alice", "x"), 2)
			if !errors.Is(got, err) {
				t.Errorf("got %v, want %v", got, err)
			}
			if _, wait, _ := try(t, s, "PLAIN", "bob", "x", here); wait != want {
				t.Errorf("after %v the next one waits %d s, want %d", err, wait, want)
			}
		})
	}
}
