// Package auth makes one account source of many: it asks them in order,
// remembers what was proved, lets only so much work run at once, and makes
// guessing slow.
//
// The order of the decorators is their meaning. Names and passwords are
// brought to their canonical form first, so that nobody has two keys. What the
// cache knows is neither delayed nor verified again, so that a guesser behind
// the same address, or at the same name, does not slow down those whose
// password is known to be right from where they are. The delay comes before
// the work and holds nothing up but its own connection. Where work has to wait,
// those whose name has signed in from around there lately, those of whom
// nothing is known and those who have guessed wrong take turns, every second
// one the first of these, and so do the networks of each: guessers wait for
// each other.
package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/postwain/postwain/sasl"
)

// Source is an account source, by what it can do. A part is nil if it cannot.
type Source struct {
	Authenticator sasl.Authenticator
	Looker        sasl.Looker
	Secrets       sasl.SecretSource
	Tokens        sasl.TokenVerifier

	// Fields gives what the source says of an account beside its password,
	// such as its own limits. The map must not be changed. The error wraps
	// sasl.ErrNoUser, or it is an outage.
	Fields func(ctx context.Context, account string) (map[string]string, error)
	// Version gives a number that changes when what the source knows of a
	// name does, so that what was remembered of it is forgotten. It does no
	// input or output to speak of.
	Version func(name string) uint64

	// Borrowed says that the accounts it proves are those of other sources,
	// which have their fields.
	Borrowed bool

	// Costly says that Authenticator spends processor time and memory on
	// each call, as hashing does. Not so a source that asks a server.
	Costly bool

	throttle *throttle // of a source that New has made; nil: no delays
}

// Options are the choices of New. The zero value of each is its default.
type Options struct {
	// Sources are asked in order. Who is refused by one may be proved by the
	// next; an outage of one is an outage unless a later one proves it.
	Sources []Source

	// Parallel is how many costly calls may run at once. Zero: as many as there
	// are processors, but two at least. More would take more memory, and each
	// more time.
	Parallel int
	// Queue is how many more may wait for that. Where there are more, the last
	// one from the network that most are from gets sasl.ErrBusy, two seconds
	// later. Zero: 64 for each that may run.
	Queue int
	// Wait is how long they wait before they get sasl.ErrBusy. Zero: 15 s.
	Wait time.Duration

	// Remember is how long a proved password counts without being verified
	// again, if the source's Version stays. Zero: an hour. Negative: not at all.
	Remember time.Duration

	// Masters may sign in to the accounts of others. Nil: nobody may.
	Masters *Masters

	// NoDelay lets everybody guess as fast as they can.
	NoDelay bool
	// Before is a source of New that this one takes the place of. What it has
	// learned of guessers, and of where names sign in, goes on. What it
	// remembers as proved does not. The zero Source: there was none.
	Before Source
}

// errRefused is the one error of everybody who is refused.
var errRefused = fmt.Errorf("auth: %w", sasl.ErrRefused)

// New returns the source that a server asks. It has the parts that any of
// o.Sources has, and is for use by many goroutines. Its Secrets and Tokens are
// for mechanisms behind its Guard.
//
// Every refusal has the same error. Wrong passwords make the next attempts from
// the address (IPv4) or its /64 (IPv6) wait for 2, 4, 8 and 15 seconds, loopback
// excepted. Very many from a /24 or /48 make all from there wait for up to 4
// seconds, unless the name has signed in from their address lately. Many at one
// name make those at that name wait for up to 4 seconds, whether there is such
// an account or not, unless it has signed in from their /24 or /56 lately. A
// minute takes one back. The same wrong password again is no new guess. Nobody
// is locked out.
//
// An account whose fields say from where it may be used (see Admit) is refused
// from elsewhere as for a wrong password.
func New(o Options) (Source, error) {
	if len(o.Sources) == 0 {
		return Source{}, errors.New("auth: no account sources")
	}
	o = o.withDefaults()
	l := newLimit(o.Parallel, o.Queue, o.Wait)
	sources := make([]Source, len(o.Sources))
	for i, s := range o.Sources {
		sources[i] = behind(l, s)
	}
	s := chained(sources)
	var m *masters
	if o.Masters != nil {
		checked, err := o.Masters.check(s)
		if err != nil {
			return Source{}, err
		}
		checked.Source = chained([]Source{behind(l, checked.Source)})
		m = &masters{Masters: checked, accounts: s, inner: s.Authenticator}
	}
	return guardedBy(s, m, o), nil
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = max(runtime.GOMAXPROCS(0), 2)
	}
	if o.Queue <= 0 {
		o.Queue = 64 * o.Parallel
	}
	if o.Wait <= 0 {
		o.Wait = 15 * time.Second
	}
	if o.Remember == 0 {
		o.Remember = time.Hour
	}
	return o
}

// behind puts the costly work of s behind l.
func behind(l *limit, s Source) Source {
	if s.Costly && s.Authenticator != nil {
		s.Authenticator = limited{l, s.Authenticator}
	}
	return s
}

// guardedBy puts the decorators around s. m may be nil.
func guardedBy(s Source, m *masters, o Options) Source {
	if !o.NoDelay {
		s.throttle = cmp.Or(o.Before.throttle, newThrottle())
	}
	inner := s
	if s.Secrets != nil {
		s.Secrets = guardedSecrets{inner}
	}
	if s.Tokens != nil {
		s.Tokens = guardedTokens{inner}
	}
	if s.Authenticator != nil {
		version := s.Version
		if m != nil {
			s.Authenticator, version = m, m.version
		}
		s.Authenticator = throttled{s.throttle, m, admitted{inner, s.Authenticator}}
		if o.Remember > 0 {
			s.Authenticator = newCache(s.Authenticator, version, o.Remember)
		}
	}
	return prepared(s, m)
}

// prepared gives s canonical names and passwords.
func prepared(s Source, m *masters) Source {
	p := preparing{s, m}
	if s.Authenticator != nil {
		s.Authenticator = p
	}
	if s.Looker != nil {
		s.Looker = p
	}
	if s.Secrets != nil {
		s.Secrets = p
	}
	if s.Tokens != nil {
		s.Tokens = p
	}
	return s
}

// preparing stands for those parts of inner that are not nil. It notes the name
// in the attempt, if there is one.
type preparing struct {
	inner   Source
	masters *masters
}

func (p preparing) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	a := noted(ctx, l.User)
	if l.User, err = sasl.PrepareUser(l.User); err != nil {
		return "", errRefused // there can be no such account
	}
	if _, master, ok := p.masters.split(l.User); ok && a != nil {
		a.Master = master
	}
	l.Password = sasl.PreparePassword(l.Password)
	return p.inner.Authenticator.Authenticate(ctx, l)
}

func (p preparing) Lookup(ctx context.Context, name string) (account string, err error) {
	if name, err = sasl.PrepareUser(name); err != nil {
		return "", errNoUser
	}
	return p.inner.Looker.Lookup(ctx, name)
}

func (p preparing) Secret(ctx context.Context, name, scheme string) (account string, secret []byte, err error) {
	noted(ctx, name)
	if name, err = sasl.PrepareUser(name); err != nil {
		return "", nil, errRefused
	}
	return p.inner.Secrets.Secret(ctx, name, scheme)
}

// VerifyToken allows an empty name: the token itself may tell it.
func (p preparing) VerifyToken(ctx context.Context, user, token string) (account string, err error) {
	noted(ctx, user)
	if user != "" {
		if user, err = sasl.PrepareUser(user); err != nil {
			return "", errRefused
		}
	}
	return p.inner.Tokens.VerifyToken(ctx, user, token)
}

// noted notes the name that is tried; nil: nobody wants to know.
func noted(ctx context.Context, user string) *attempt {
	a := attemptOf(ctx)
	if a != nil {
		a.User = user
	}
	return a
}
