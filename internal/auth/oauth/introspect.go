package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// introspector asks the provider of each token (RFC 7662), or knows its answer
// still.
type introspector struct {
	web   web
	url   string
	o     Options
	rules rules
	known *answers
}

func newIntrospector(o Options) *introspector {
	return &introspector{newWeb(o), o.Introspection, o, newRules(o, false), newAnswers(o.Remember)}
}

func (i *introspector) account(ctx context.Context, token string) (string, error) {
	key := i.known.key(token)
	if account, ok := i.known.find(key); ok {
		return account, nil
	}
	body, err := i.web.ask(ctx, func(ctx context.Context) (*http.Request, error) { return i.request(ctx, token) })
	if err != nil {
		return "", i.outage(err)
	}
	var c claims
	if json.Unmarshal(body, &c) != nil || !isBool(c["active"]) {
		return "", i.outage(errors.New("the answer is not one of RFC 7662; check the address"))
	}
	if !c.isTrue("active") {
		return "", refused("the provider says that the token is not active")
	}
	if err := isAccess(c); err != nil {
		return "", i.formal(err)
	}
	account, end, err := i.rules.judge(c)
	if err != nil {
		return "", i.formal(err)
	}
	i.known.remember(key, account, end)
	return account, nil
}

func isBool(raw json.RawMessage) bool { return string(raw) == "true" || string(raw) == "false" }

// isAccess keeps out refresh tokens, which are active too (RFC 7662 §2.1), and
// tokens of other types (RFC 9449 §6.2). Some providers write access_token where
// Bearer belongs.
func isAccess(c claims) error {
	for _, name := range []string{"token_type", "token_use", "typ"} {
		s, err := c.text(name)
		if err != nil {
			return err
		}
		switch lower(s) {
		case "", "bearer", "access_token", "access", "at+jwt", "jwt":
		default:
			return refused("the token is no access token of type Bearer")
		}
	}
	return nil
}

// request makes a request of RFC 7662 §2.1.
func (i *introspector) request(ctx context.Context, token string) (*http.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("the address is not valid")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// Not sent, but says that it may be asked again if an idle connection was
	// closed meanwhile.
	req.Header["Idempotency-Key"] = []string{}
	return req, i.authorize(ctx, req)
}

// authorize says who we are.
func (i *introspector) authorize(ctx context.Context, req *http.Request) error {
	switch {
	case i.o.Bearer != nil:
		own, err := i.o.Bearer(ctx)
		if err == nil && !isToken(own) {
			err = errors.New("it is empty, or has characters that no token has")
		}
		if err != nil {
			return fmt.Errorf("our own token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+own)
	case i.o.ClientSecret != nil:
		secret, err := i.o.ClientSecret(ctx)
		if err != nil {
			return fmt.Errorf("our own secret: %w", err)
		}
		req.SetBasicAuth(url.QueryEscape(i.o.ClientID), url.QueryEscape(secret))
	}
	return nil
}

// formal makes an outage of a good answer with a malformed member.
func (i *introspector) formal(err error) error {
	if errors.Is(err, errForm) {
		return i.outage(fmt.Errorf("the answer is not one of RFC 7662: %w", err))
	}
	return err
}

func (i *introspector) outage(err error) error {
	var s *status
	if errors.As(err, &s) && (s.code == http.StatusUnauthorized || s.code == http.StatusForbidden) {
		err = errors.New("the provider does not accept our own credentials; check the client's id and secret, and that it may introspect tokens" + s.suffix())
	}
	return fmt.Errorf("oauth: introspection at %s: %w", host(i.url), err)
}

// host is what a text has of a URL: the rest may be nobody's business.
func host(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "an address that is not valid"
	}
	return u.Host
}
