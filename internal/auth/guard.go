package auth

import (
	"cmp"
	"context"
	"errors"
	"net/netip"

	"github.com/postwain/postwain/sasl"
)

// Attempt is what is known of a try to sign in, beside its outcome, for a log.
type Attempt struct {
	User   string // as the client gave it; empty: none was given
	Master string // the master user in it, who signs in to another's account
}

// Failure is the error of a guarded exchange, with what was tried. Its text is
// that of the cause.
type Failure struct {
	Attempt
	cause error
}

func (f *Failure) Error() string { return f.cause.Error() }
func (f *Failure) Unwrap() error { return f.cause }

// Guard returns m for a client at from, the address after a PROXY header, with
// guesses delayed and counted as Authenticate does. Mechanisms that ask s for
// secrets or tokens work only behind it: from elsewhere these are an error. What
// m passes to s must be the context that it is given. Errors of the exchange are
// of type *Failure. proved is told of what was tried when an account is proved,
// before the exchange returns it; it may be nil.
//
// Where a secret was given to m, each response after that is a guess unless it
// proves the account, also if m answers by a challenge and the client never
// comes back. Such guesses differ always: which password was tried is not known.
func (s Source) Guard(m sasl.Mechanism, from netip.Addr, proved func(Attempt)) sasl.Mechanism {
	g := guarded{m, s.throttle, from, proved}
	if c, ok := m.(challenger); ok {
		return guardedChallenger{g, c}
	}
	return g
}

// challenger is what makes a mechanism APOP for the server.
type challenger interface{ Challenge() string }

type guarded struct {
	sasl.Mechanism
	throttle *throttle
	from     netip.Addr
	proved   func(Attempt)
}

type guardedChallenger struct {
	guarded
	challenger
}

func (g guarded) Start() sasl.Exchange {
	return &guardedExchange{guarded: g, inner: g.Mechanism.Start(), attempt: attempt{from: g.from}}
}

type guardedExchange struct {
	guarded
	inner   sasl.Exchange
	attempt attempt
	counted bool
}

// attempt is what the parts of a Source tell each other of an exchange, by its
// context.
type attempt struct {
	Attempt
	from    netip.Addr
	guesser guesser
	asked   bool // for the secret of guesser's name

	admission error // of the account; of what only has its name, in vain
	outage    error // of what should admit it
}

type attemptKey struct{}

// attemptOf returns nil outside of a guarded exchange.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func (x *guardedExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	asked := x.attempt.asked
	challenge, account, err = x.inner.Next(context.WithValue(ctx, attemptKey{}, &x.attempt), response)
	if x.attempt.asked && !x.counted {
		x.count(asked, account, err)
	}
	if err == nil && account != "" {
		err = x.attempt.outage
	}
	if err != nil {
		return nil, "", &Failure{x.attempt.Attempt, err}
	}
	if account != "" && x.proved != nil {
		x.proved(x.attempt.Attempt)
	}
	return challenge, account, nil
}

// count tells the throttle what came of a secret. answered says that the
// response was given after it.
func (x *guardedExchange) count(answered bool, account string, err error) {
	switch {
	case err == nil && account != "":
		x.counted = true
		x.throttle.proved(x.attempt.guesser)
	case errors.Is(err, sasl.ErrRefused), err == nil && answered:
		x.counted = true
		x.throttle.refused(x.attempt.guesser, 0)
	}
}

var errUnguarded = errors.New("auth: a mechanism asks for a secret or a token without a guard")

// guardedSecrets gives secrets to guarded exchanges. Where an account may not
// be used from there, it has none, as if it were unknown.
type guardedSecrets struct{ source Source }

func (g guardedSecrets) Secret(ctx context.Context, name, scheme string) (account string, secret []byte, err error) {
	a := attemptOf(ctx)
	if a == nil {
		return "", nil, errUnguarded
	}
	if who := g.source.throttle.guesser(a.from, "", name); !a.asked || who != a.guesser {
		if err := g.source.throttle.wait(ctx, who); err != nil {
			return "", nil, err
		}
		// Not before: who is asked for two schemes must wait for both.
		a.asked, a.guesser = true, who
		a.admission = g.source.admission(ctx, name, a.from) // for all names: the same work
	}
	account, secret, err = g.source.Secrets.Secret(ctx, name, scheme)
	if err != nil {
		return "", nil, err
	}
	if account != name {
		a.admission = g.source.admission(ctx, account, a.from)
	}
	if errors.Is(a.admission, sasl.ErrRefused) {
		return "", nil, errRefused
	}
	a.outage = cmp.Or(a.outage, a.admission) // to be told to who proves the account
	return account, secret, nil
}

// guardedTokens verifies the tokens of guarded exchanges.
type guardedTokens struct{ source Source }

func (g guardedTokens) VerifyToken(ctx context.Context, user, token string) (account string, err error) {
	a := attemptOf(ctx)
	if a == nil {
		return "", errUnguarded
	}
	t := g.source.throttle
	who := t.guesser(a.from, "", user)
	if err := t.wait(ctx, who); err != nil {
		return "", err
	}
	account, err = g.source.Tokens.VerifyToken(ctx, user, token)
	if err == nil && g.source.Looker != nil { // whoever vouches for a name need not know whether it is an account
		if account, err = g.source.Looker.Lookup(ctx, account); errors.Is(err, sasl.ErrNoUser) {
			err = errRefused
		}
	}
	if err == nil {
		err = g.source.Admit(ctx, account, a.from)
	}
	switch {
	case err == nil:
		t.proved(who)
		return account, nil
	case errors.Is(err, sasl.ErrRefused):
		t.refused(who, t.guess("token", user, token))
	}
	return "", err
}
