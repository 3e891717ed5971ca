package token

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Prompt is what the owner of the mailbox must do. It is plain text: visible
// ASCII.
type Prompt struct {
	URL  string // to be opened in a browser
	Code string // to be typed in there; empty: none
	// Listen is where this machine waits for the browser: host:port. A browser
	// on another machine needs a tunnel to it. Empty: nowhere.
	Listen string
	Until  time.Time // when it will be too late
}

// AuthorizeDevice gets a grant by RFC 8628: the owner signs in with any browser
// and types in a code. It calls show, waits until that is done, ctx is done or
// the code has ended, and puts the grant into f.
func (c *Client) AuthorizeDevice(ctx context.Context, f File, show func(Prompt) error) error {
	if c.Provider.DeviceURL == "" {
		if c.Provider.noDevice != "" {
			return c.settings(c.Provider.noDevice)
		}
		return c.settings("the flow \"device\" needs device_url")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conf, err := c.ready(ctx, f, c.Provider.DeviceURL)
	if err != nil {
		return err
	}
	web := c.web(ctx)
	d, err := conf.DeviceAuth(web)
	if err != nil {
		return c.explain("asking for a code", err, conf.ClientSecret)
	}
	p, err := devicePrompt(d)
	if err != nil {
		return c.failed("asking for a code", err)
	}
	if deadline, ok := ctx.Deadline(); ok && p.Until.After(deadline) {
		p.Until, d.Expiry = deadline, deadline
	}
	if err := show(p); err != nil {
		return err
	}
	t, err := c.poll(web, conf, d)
	if err != nil {
		return c.explain("waiting for the code to be entered", err, d.DeviceCode, conf.ClientSecret)
	}
	return c.finish(ctx, f, t)
}

// ready makes sure, before somebody signs in, that the grant can be kept.
func (c *Client) ready(ctx context.Context, f File, signIn string) (*oauth2.Config, error) {
	if err := c.check(signIn, c.Provider.TokenURL); err != nil {
		return nil, err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, c.failed("preparing to save the grant", err)
	}
	unlock()
	return c.config(ctx)
}

const (
	// patience is how long the owner may take to sign in.
	patience = 15 * time.Minute
	// maxInterval is the longest pause, in seconds, that a provider may want.
	maxInterval = 60
	// maxOutages is how many requests in a row may be lost on their way.
	maxOutages = 5
	maxURL     = 4 << 10
	maxCode    = 64
)

func devicePrompt(d *oauth2.DeviceAuthResponse) (Prompt, error) {
	u, err := url.Parse(d.VerificationURI)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) ||
		!isVisible(d.VerificationURI, maxURL) || !isVisible(d.UserCode, maxCode) || d.DeviceCode == "" {
		return Prompt{}, errors.New("no code and no address came")
	}
	d.Interval = min(d.Interval, maxInterval)
	if now := time.Now(); d.Expiry.IsZero() || d.Expiry.After(now.Add(patience)) {
		d.Expiry = now.Add(patience)
	}
	return Prompt{URL: d.VerificationURI, Code: d.UserCode, Until: d.Expiry}, nil
}

// isVisible reports whether s can be shown as it is.
func isVisible(s string, limit int) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != "" && len(s) <= limit
}

// poll waits for the token. A request that was lost is made again after twice
// the time (RFC 8628 §3.5).
func (c *Client) poll(web context.Context, conf *oauth2.Config, d *oauth2.DeviceAuthResponse) (*oauth2.Token, error) {
	for outages := 0; ; outages++ {
		t, err := conf.DeviceAccessToken(web, d)
		var answer *oauth2.RetrieveError
		if err == nil || errors.As(err, &answer) || web.Err() != nil || outages == maxOutages || !time.Now().Before(d.Expiry) {
			return t, err
		}
		d.Interval = min(2*max(d.Interval, 5), maxInterval)
	}
}

// finish puts the grant that came with t into f.
func (c *Client) finish(ctx context.Context, f File, t *oauth2.Token) error {
	a, err := accept(t)
	if err != nil {
		return c.failed("authorizing", err)
	}
	if c.Provider.lacks(t) {
		return c.authorize("the access to mail was left out; tick its box when the browser asks")
	}
	if checkToken(t.RefreshToken) != nil {
		return c.settings(fmt.Sprintf("the provider gave no refresh token for the scopes %q; most providers want offline_access among them",
			strings.Join(c.Provider.Scopes, " ")))
	}
	return c.store(ctx, f, grant{
		TokenURL: c.Provider.TokenURL, ClientID: c.ID,
		RefreshToken: t.RefreshToken, AccessToken: a.token, Expiry: a.until.Round(0),
	})
}
