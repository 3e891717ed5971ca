package oauth

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options are the choices of New. URLs are https; http is accepted for this
// machine only. Redirects are not followed.
type Options struct {
	// Introspection is the URL at which the provider is asked of each token
	// (RFC 7662). Empty: the tokens are JWTs.
	Introspection string
	// ClientID and ClientSecret are who we are there, in a Basic header (RFC
	// 6749 §2.3.1). The secret is read for each request anew.
	ClientID     string
	ClientSecret func(context.Context) (string, error)
	// Bearer gives a token that says who we are, instead of those. One of the
	// three is needed: Bearer, ClientID, or a client certificate in TLS.
	Bearer func(context.Context) (string, error)

	// Issuer is the provider, exactly as its tokens name it. JWTs need it. Its
	// keys are found by its description (OpenID Connect Discovery §4). With
	// Introspection it may be empty; else an answer must not name another.
	Issuer string
	// JWKS is the URL of the provider's keys (RFC 7517 §5), where there is no
	// description.
	JWKS string
	// Algorithms are those of signatures (RFC 7518 §3.1, RFC 8037) that count:
	// of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and
	// EdDSA. Nil: RS256, PS256, ES256, EdDSA.
	Algorithms []string

	// Audiences are the names of this service, or of the client that its users
	// use: a token must be for one of them. With Introspection none may be
	// given: the provider is asked by a client that it knows.
	Audiences []string
	// AnyAudience accepts JWTs for whatever service: each of those that get
	// such a token can read the mail of its owner.
	AnyAudience bool
	// Scopes are what a token must allow, all of them: in "scope" or "scp",
	// a string with blanks between them or a list.
	Scopes []string

	// Claim names the member that has the account. Empty: "username" with
	// Introspection, "email" in JWTs. It must be one that users cannot choose
	// freely, and that no two of them have but for the case of letters.
	Claim string
	// UnverifiedEmail accepts the claim "email" without "email_verified": true.
	// Where users can write down any address, they can read everybody's mail.
	UnverifiedEmail bool

	// Skew is by how much the provider's clock may differ, up to 10 minutes.
	// Zero: a minute. Negative: not at all.
	Skew time.Duration
	// Remember is how long an answer of Introspection that a token is good
	// counts, though not beyond the token's end, up to 10 minutes; one that is
	// revoked stays good as long. Zero: a minute. Negative: not at all.
	Remember time.Duration
	// Timeout bounds each request. Zero: 10 s.
	Timeout time.Duration
	// MaxAnswer bounds each answer, in octets. Zero: 256 KiB.
	MaxAnswer int64

	// TLS has the provider's certificate authorities, and our certificate if
	// the provider wants one. Nil: the system's authorities.
	TLS *tls.Config
	// HTTP carries the requests. Nil: as TLS says, through the proxy of the
	// environment. TLS does not matter if it is given.
	HTTP http.RoundTripper

	// Report is told why a token is refused, and that keys cannot be renewed
	// while those of before stay in force. It must not block. Nil: nobody is
	// told.
	Report func(error)
}

const (
	defaultSkew     = time.Minute
	defaultRemember = time.Minute
	longest         = 10 * time.Minute // of both
	defaultTimeout  = 10 * time.Second
	defaultAnswer   = 256 << 10
)

// allowed are the algorithms that there can be, the defaults first. A key that
// everybody knows makes signatures that everybody can make: no HMAC (RFC 8725
// §2.1).
func allowed() (all []string, defaults int) {
	return []string{"RS256", "PS256", "ES256", "EdDSA", "RS384", "RS512", "PS384", "PS512", "ES384", "ES512"}, 4
}

// checked gives o with its defaults.
func (o Options) checked() (Options, error) {
	if err := o.check(); err != nil {
		return o, err
	}
	all, defaults := allowed()
	if o.Algorithms == nil {
		o.Algorithms = all[:defaults]
	}
	for _, a := range o.Algorithms {
		if !slices.Contains(all, a) {
			return o, fmt.Errorf("algorithms: %q is not one of %s", a, strings.Join(all, ", "))
		}
	}
	if o.Claim == "" {
		o.Claim = "email"
		if o.Introspection != "" {
			o.Claim = "username" // RFC 7662 §2.2
		}
	}
	var err error
	if o.Skew, err = span("skew", o.Skew, defaultSkew); err != nil {
		return o, err
	}
	if o.Remember, err = span("remember", o.Remember, defaultRemember); err != nil {
		return o, err
	}
	o.Timeout = cmp.Or(max(o.Timeout, 0), defaultTimeout)
	o.MaxAnswer = cmp.Or(max(o.MaxAnswer, 0), defaultAnswer)
	if o.Report == nil {
		o.Report = func(error) {}
	}
	return o, nil
}

func span(name string, d, def time.Duration) (time.Duration, error) {
	if d > longest {
		return 0, fmt.Errorf("%s: at most %v", name, longest)
	}
	return max(cmp.Or(d, def), 0), nil
}

// check finds what does not go together.
func (o Options) check() error {
	if slices.Contains(o.Audiences, "") || slices.Contains(o.Scopes, "") {
		return errors.New("audiences and scopes: none may be empty")
	}
	if o.Introspection != "" {
		return o.checkIntrospection()
	}
	switch {
	case o.Issuer == "" && o.JWKS == "":
		return errors.New("an introspection URL or an issuer is needed")
	case o.Issuer == "":
		return errors.New("JWKS needs an issuer")
	case len(o.Audiences) == 0 && !o.AnyAudience:
		return errors.New("audiences: write for whom the tokens are made out; without it, who gets a token for another service could read mail with it")
	case len(o.Audiences) > 0 && o.AnyAudience:
		return errors.New("audiences and AnyAudience exclude each other")
	case o.Algorithms != nil && len(o.Algorithms) == 0:
		return errors.New("algorithms: none is left")
	case o.JWKS != "":
		return checkURL("JWKS", o.JWKS, true)
	}
	return checkURL("issuer", o.Issuer, true)
}

func (o Options) checkIntrospection() error {
	certificate := o.TLS != nil && (len(o.TLS.Certificates) > 0 || o.TLS.GetClientCertificate != nil)
	switch {
	case o.JWKS != "" || o.Algorithms != nil || o.AnyAudience:
		return errors.New("introspection: JWKS, Algorithms and AnyAudience are for JWTs")
	case (o.ClientID == "") != (o.ClientSecret == nil):
		return errors.New("client id and client secret go together")
	case o.ClientID != "" && o.Bearer != nil:
		return errors.New("client id and bearer token exclude each other")
	case o.ClientID == "" && o.Bearer == nil && !certificate:
		return errors.New("introspection needs a client id and secret, or a bearer token (RFC 7662 §2.1)")
	}
	return checkURL("introspection", o.Introspection, true)
}

// checkURL returns an error unless s is a URL that can be asked, in TLS, or if
// local says so on this machine. name is what s is.
func checkURL(name, s string, local bool) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" ||
		u.Scheme != "https" && (!local || u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf("%s is no https:// address", name)
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
