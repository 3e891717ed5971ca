package token

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// Provider is where tokens come from, and what to ask for. Its URLs are https;
// http is accepted for this machine only.
type Provider struct {
	AuthURL   string // where the owner's browser signs in; for AuthorizeCode
	DeviceURL string // where a device flow begins (RFC 8628 §3.1); empty: it has none
	TokenURL  string

	Scopes    []string // of a grant; they must include one that gives a refresh token
	AppScopes []string // of a client in its own name

	// Params are added to AuthURL, beside those of RFC 6749 and RFC 7636.
	Params map[string]string
	// RedirectHost is how a redirect names this machine: "127.0.0.1", which an
	// empty one means, or "localhost".
	RedirectHost string
	// BasicAuth sends the client's id and secret in a header instead of the
	// body (RFC 6749 §2.3.1).
	BasicAuth bool

	// needs is the scope without which a grant is worth nothing, at providers
	// where the owner can leave out single ones.
	needs string
	// hint is what most often makes a grant invalid.
	hint string
	// noDevice says why there is no device flow.
	noDevice string
	// common says that AuthURL is not that of one organization, so that no
	// client can act in its own name.
	common bool
}

// Microsoft is Microsoft 365 and Outlook.com. tenant is the id or the domain of
// an organization, "organizations", "consumers", or "common", which an empty
// one means: whoever signs in.
func Microsoft(tenant string) (Provider, error) {
	if tenant == "" {
		tenant = "common"
	}
	if !isTenant(tenant) {
		return Provider{}, fmt.Errorf("token: %w: %q is no tenant; write its id or its domain", ErrSettings, tenant)
	}
	base := "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/"
	return Provider{
		AuthURL:   base + "authorize",
		DeviceURL: base + "devicecode",
		TokenURL:  base + "token",
		Scopes:    []string{"https://outlook.office.com/POP.AccessAsUser.All", "offline_access"},
		AppScopes: []string{"https://outlook.office365.com/.default"},
		// The page where clients are registered takes no numeric address.
		RedirectHost: "localhost",
		hint:         "it ends after 90 days without use, and when the password is changed or an administrator revokes it",
		common:       tenant == "common" || tenant == "organizations" || tenant == "consumers",
	}, nil
}

// isTenant keeps a tenant one segment of a path.
func isTenant(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s[0] != '.' && len(s) <= 253
}

// Google is Gmail and Google Workspace.
func Google() Provider {
	return Provider{
		AuthURL:  "https://accounts.google.com/o/oauth2/v2/auth",
		TokenURL: "https://oauth2.googleapis.com/token",
		Scopes:   []string{"https://mail.google.com/"},
		// Without these two a second authorization gives no refresh token.
		Params: map[string]string{"access_type": "offline", "prompt": "consent"},
		needs:  "https://mail.google.com/",
		hint: `while the project's publishing status is "Testing" it ends after 7 days, so set that to "In production"; ` +
			"it ends also when the password is changed, and after six months without use",
		noDevice: "Google does not allow its device flow for mail; use the flow \"code\"",
	}
}

// check returns an error that wraps ErrSettings unless all urls can be used.
func (c *Client) check(urls ...string) error {
	if c.ID == "" {
		return c.settings("there is no client_id; register a client with the provider and write down its id")
	}
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" ||
			u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
			return c.settings(fmt.Sprintf("%q is no https:// address", s))
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c *Client) endpoint() oauth2.Endpoint {
	return oauth2.Endpoint{
		AuthURL:       c.Provider.AuthURL,
		DeviceAuthURL: c.Provider.DeviceURL,
		TokenURL:      c.Provider.TokenURL,
		AuthStyle:     c.Provider.style(),
	}
}

// style is never left to be found out: the first try would use up the code or
// the refresh token.
func (p *Provider) style() oauth2.AuthStyle {
	if p.BasicAuth {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}

// lacks reports whether the scopes that came with a token, if any came, leave
// out the one that is needed.
func (p *Provider) lacks(t *oauth2.Token) bool {
	scope, _ := t.Extra("scope").(string)
	if p.needs == "" || scope == "" {
		return false
	}
	for s := range strings.FieldsSeq(scope) {
		if s == p.needs {
			return false
		}
	}
	return true
}
