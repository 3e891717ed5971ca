package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// keys are the provider's, fetched when they are needed.
type keys struct {
	web    web
	issuer string
	jwks   string // empty: the issuer's description has it
	report func(error)

	flight singleflight.Group
	mu     sync.Mutex
	have   *keySet // never nil
	tried  time.Time
	err    error // of the last try
}

const (
	// pause is between two requests for keys, whoever asks for them: tokens
	// that name an unknown key cost nothing to make.
	pause = 5 * time.Second
	// fresh is how long keys are used without a look at whether they are still
	// the provider's.
	fresh = 15 * time.Minute
	// stalePause is between two such looks if the provider does not answer:
	// those who sign in wait for it.
	stalePause = time.Minute
)

func newKeys(o Options) *keys {
	return &keys{web: newWeb(o), issuer: o.Issuer, jwks: o.JWKS, report: o.Report, have: &keySet{}}
}

// current gives the keys, fetched anew if they are old. Old ones stay in force
// while the provider does not answer. The error is an outage.
func (k *keys) current(ctx context.Context) (*keySet, error) {
	have, due, err := k.state()
	if due {
		have, err = k.fetched(ctx)
	}
	if len(have.keys) > 0 {
		return have, nil
	}
	return nil, fmt.Errorf("oauth: no keys of %s are loaded: %w", host(k.issuer), err)
}

// newer gives the keys that there are after a look for those of which old has
// none. The error is an outage: the key may be there.
func (k *keys) newer(ctx context.Context, old *keySet) (*keySet, error) {
	next, err := k.fetched(ctx)
	if err != nil && next == old {
		return nil, fmt.Errorf("oauth: no key is known that has signed a token, and newer ones of %s cannot be had: %w", host(k.issuer), err)
	}
	return next, nil
}

// state gives the keys, whether they should be fetched, and what came of the
// last try.
func (k *keys) state() (have *keySet, due bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case len(k.have.keys) == 0:
		due = true
	case k.err != nil:
		due = since(k.have.fetched) >= fresh && since(k.tried) >= stalePause
	default:
		due = since(k.have.fetched) >= fresh
	}
	return k.have, due, k.err
}

// fetched asks the provider for keys, once for all who want it meanwhile, and
// not so soon after the last time. It gives the keys that are in force then, and
// what came of the last try. The fetching itself goes on when ctx is done.
func (k *keys) fetched(ctx context.Context) (*keySet, error) {
	done := k.flight.DoChan("", func() (any, error) {
		k.mu.Lock()
		soon := since(k.tried) < pause
		k.mu.Unlock()
		if !soon {
			k.try(context.WithoutCancel(ctx))
		}
		return nil, nil
	})
	select {
	case <-done:
		have, _, err := k.state()
		return have, err
	case <-ctx.Done():
		have, _, _ := k.state()
		return have, &outage{"given up", ctx.Err()}
	}
}

func (k *keys) try(ctx context.Context) {
	next, err := k.fetch(ctx)
	k.mu.Lock()
	k.tried, k.err = time.Now(), err
	if next != nil {
		next.fetched = k.tried
		k.have = next
	}
	kept := len(k.have.keys) > 0
	k.mu.Unlock()
	if err != nil && kept {
		k.report(fmt.Errorf("oauth: keys of %s cannot be renewed, those of before stay in force: %w", host(k.issuer), err))
	}
}

// since takes the longer of both readings of the clock: monotonic time stands
// still while the machine sleeps.
func since(t time.Time) time.Duration { return max(time.Since(t), time.Since(t.Round(0))) }

var errNoKeys = errors.New("the provider has published no key that can be used")

// fetch gives the keys that the provider publishes. A set without keys comes
// with errNoKeys: the provider has withdrawn all.
func (k *keys) fetch(ctx context.Context) (*keySet, error) {
	address := k.jwks
	if address == "" {
		var err error
		if address, err = k.discover(ctx); err != nil {
			return nil, err
		}
	}
	body, err := k.web.get(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("asking %s for the keys: %w", host(address), err)
	}
	list, err := parseKeys(body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the keys at %s: %w", host(address), err)
	case len(list) == 0:
		return &keySet{}, errNoKeys
	}
	return &keySet{keys: list}, nil
}

// discover gives the address of the keys (OpenID Connect Discovery §4).
func (k *keys) discover(ctx context.Context) (string, error) {
	body, err := k.web.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", fmt.Errorf("asking for the description: %w", err)
	}
	var c claims
	if json.Unmarshal(body, &c) != nil || c == nil {
		return "", errors.New("the description is not JSON")
	}
	// Its name must be what was asked for (Discovery §4.3): it may be that of
	// somebody else at the same host.
	if issuer, err := c.text("issuer"); err != nil || issuer != k.issuer {
		return "", errors.New("the description is of another issuer; write it exactly as the provider does, with or without a slash at its end")
	}
	address, err := c.text("jwks_uri")
	if err != nil {
		return "", err
	}
	return address, checkURL("jwks_uri in the description", address, !strings.HasPrefix(k.issuer, "https:"))
}
