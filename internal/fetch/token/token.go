// Package token gets OAuth 2.0 access tokens (RFC 6749) for signing in to POP3
// servers with XOAUTH2 or OAUTHBEARER: from a command, from a stored grant that
// is refreshed, or for a client in its own name. [Client.AuthorizeCode] and
// [Client.AuthorizeDevice] get a grant from its owner.
//
// Tokens, secrets and codes never stand in errors, nor does any text of a
// provider: an error has the name of the problem if it is a known one, and says
// in our words what to do next.
package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/postwain/postwain/internal/fetch/secret"
)

// What callers branch on; test with [errors.Is]. Every other error may pass by
// itself: a provider or the network is out of order.
var (
	// ErrAuthorize says that the owner of the mailbox must authorize again.
	ErrAuthorize = errors.New("authorization is needed")
	// ErrSettings says that the client is set up wrongly, here or at the
	// provider.
	ErrSettings = errors.New("the client is not set up correctly")
)

// Source gives access tokens. Several goroutines may use it.
type Source interface {
	// Token gives a token that is good for another minute, as far as is known:
	// 1 to secret.MaxToken printable ASCII octets.
	Token(ctx context.Context) (string, error)
	// Forget says that a server has refused a token, so that Token does not
	// give it again.
	Forget(token string)
}

// Command gives what a command prints each time a token is asked for. Commands
// have stores of their own, so nothing is kept.
func Command(from secret.Source) Source { return command{from} }

type command struct{ from secret.Source }

func (c command) Token(ctx context.Context) (string, error) {
	s, err := c.from(ctx)
	if err == nil {
		err = checkToken(s)
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return s, nil
}

func (command) Forget(string) {}

// checkToken returns an error unless s is one or more visible characters or
// spaces (RFC 6749 §A.12), and no more than a server would take.
func checkToken(s string) error {
	if s == "" || len(s) > secret.MaxToken {
		return fmt.Errorf("the token has %d octets, not 1 to %d", len(s), secret.MaxToken)
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return errors.New("the token has characters that no token has")
		}
	}
	return nil
}

const (
	// margin is how long before its end a token is not given out any more.
	margin = time.Minute
	// longest is how long a token is believed to be good, whatever is said.
	longest = 24 * time.Hour
	// unsaid is how long a token is used where its lifetime was not told.
	unsaid = 5 * time.Minute
	// renewTime bounds the renewing of a token.
	renewTime = time.Minute
)

// access is an access token with the end of its life.
type access struct {
	token string
	until time.Time
}

// good reports whether the token can be given out. The clock may have been set
// back since, and the machine may have slept, when monotonic time stands still:
// both readings must agree.
func (a access) good() bool {
	left, byWall := time.Until(a.until), time.Until(a.until.Round(0))
	return a.token != "" && min(left, byWall) > margin && max(left, byWall) <= longest
}

// cache gives out one token until its end, and gets the next one once for all
// who ask meanwhile.
type cache struct {
	// renew gets a token other than refused. It runs once at a time.
	renew func(ctx context.Context, refused string) (access, error)

	flight  singleflight.Group
	mu      sync.Mutex
	have    access
	refused string
}

func (c *cache) current() (a access, refused string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.have, c.refused
}

// Token waits for a renewing until ctx is done. The renewing itself goes on
// then: it may be the one moment at which a new refresh token can be saved.
func (c *cache) Token(ctx context.Context) (string, error) {
	if a, _ := c.current(); a.good() {
		return a.token, nil
	}
	renewed := c.flight.DoChan("", func() (any, error) {
		a, refused := c.current()
		if a.good() { // from the flight before
			return a.token, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
		defer cancel()
		a, err := c.renew(ctx, refused)
		if err != nil {
			return "", err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.have = a
		return a.token, nil
	})
	select {
	case r := <-renewed:
		s, _ := r.Val.(string)
		return s, r.Err
	case <-ctx.Done():
		return "", fmt.Errorf("token: waiting for a token: %w", ctx.Err())
	}
}

func (c *cache) Forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have.token == token {
		c.have, c.refused = access{}, token
	}
}
