package token

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/postwain/postwain/internal/fetch/secret"
)

// Client is a client that the user has registered with a provider.
type Client struct {
	// Account names the mailbox in texts: "run: postwain fetch authorize NAME".
	Account  string
	Provider Provider
	ID       string
	// Secret is the client's secret, read for each request anew. Nil: it has
	// none.
	Secret secret.Source
	// HTTP carries the requests. Nil: TLS 1.2 and up, verified by the system's
	// certificates, through the proxy of the environment.
	HTTP http.RoundTripper
}

const (
	requestTime = 30 * time.Second
	maxAnswer   = 64 << 10
)

var errAnswer = fmt.Errorf("the answer has more than %d octets", maxAnswer)

// config is what golang.org/x/oauth2 needs, and the client's secret.
func (c *Client) config(ctx context.Context) (*oauth2.Config, error) {
	conf := &oauth2.Config{ClientID: c.ID, Endpoint: c.endpoint(), Scopes: c.Provider.Scopes}
	if c.Secret == nil {
		return conf, nil
	}
	var err error
	if conf.ClientSecret, err = c.Secret(ctx); err != nil {
		return nil, fmt.Errorf("token: %s: client secret: %w", c.Account, err)
	}
	return conf, nil
}

// web is a context that makes golang.org/x/oauth2 use our HTTP client. No
// redirect is followed: it would carry secrets to another place.
func (c *Client) web(ctx context.Context) context.Context {
	next := c.HTTP
	if next == nil {
		next = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    requestTime,
			DisableKeepAlives:      true, // an hour passes before the next request
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxAnswer,
		}
	}
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport:     &bounded{ctx, next},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
}

// bounded limits the time and the size of answers, which it reads whole. It
// ends requests with ctx, which golang.org/x/oauth2 does not do for the first
// request of a device flow.
type bounded struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	stop := context.AfterFunc(b.ctx, cancel)
	defer stop()
	resp, err := b.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errAnswer
	}
	if err == nil && string(bytes.TrimSpace(body)) == "null" {
		err = errors.New("the answer is null") // golang.org/x/oauth2 would panic
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// accept checks what a provider gave and says how long it is good.
func accept(t *oauth2.Token) (access, error) {
	if t.Type() != "Bearer" {
		return access{}, errors.New("the provider gave a token that is no bearer token")
	}
	if err := checkToken(t.AccessToken); err != nil {
		return access{}, err
	}
	until := t.Expiry
	if until.IsZero() {
		until = time.Now().Add(margin + unsaid)
	}
	if end := time.Now().Add(longest); until.After(end) {
		until = end
	}
	return access{t.AccessToken, until}, nil
}

// Own gives tokens of the client in its own name (RFC 6749 §4.4): no person
// signs in, and an administrator has given the client access to mailboxes. The
// tokens are kept in memory only.
func (c *Client) Own() Source {
	return &cache{renew: func(ctx context.Context, _ string) (access, error) { return c.own(ctx) }}
}

func (c *Client) own(ctx context.Context) (access, error) {
	if err := c.check(c.Provider.TokenURL); err != nil {
		return access{}, err
	}
	if c.Provider.common {
		return access{}, c.settings("a client in its own name needs the tenant: write the id or the domain of the organization")
	}
	if c.Secret == nil {
		return access{}, c.settings("a client in its own name needs client_secret_file")
	}
	if len(c.Provider.AppScopes) == 0 {
		return access{}, c.settings("this provider has no clients in their own name; use the flow \"code\"")
	}
	conf, err := c.config(ctx)
	if err != nil {
		return access{}, err
	}
	app := clientcredentials.Config{
		ClientID: c.ID, ClientSecret: conf.ClientSecret, TokenURL: c.Provider.TokenURL,
		Scopes: c.Provider.AppScopes, AuthStyle: c.Provider.style(),
	}
	const doing = "getting a token for the client"
	t, err := app.Token(c.web(ctx))
	if err != nil {
		return access{}, c.explain(doing, err, conf.ClientSecret)
	}
	a, err := accept(t)
	if err != nil {
		return access{}, c.failed(doing, err)
	}
	return a, nil
}
