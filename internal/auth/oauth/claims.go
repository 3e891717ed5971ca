package oauth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/sasl"
)

// claims are the members of a JWT or of an answer of the provider, by their
// exact names. Package json would take "Email" for "email", which at some
// providers users may write themselves.
type claims map[string]json.RawMessage

// errForm says that a member has not the form that it must have.
var errForm = errors.New("a member does not have the form that it must have")

// has reports whether there is a member of the name that is not null.
func (c claims) has(name string) bool {
	raw, ok := c[name]
	return ok && string(raw) != "null"
}

// text gives a string. Empty: there is none.
func (c claims) text(name string) (s string, err error) {
	if c.has(name) && json.Unmarshal(c[name], &s) != nil {
		return "", errForm
	}
	return s, nil
}

// texts gives a string, or a list of them, as a list.
func (c claims) texts(name string) (list []string, err error) {
	if !c.has(name) {
		return nil, nil
	}
	if json.Unmarshal(c[name], &list) == nil {
		return list, nil
	}
	s, err := c.text(name)
	return []string{s}, err
}

// time gives a NumericDate (RFC 7519 §2). Zero: there is none.
func (c claims) time(name string) (time.Time, error) {
	const most = 1 << 40 // seconds: far from where time.Time ends
	if !c.has(name) {
		return time.Time{}, nil
	}
	var seconds float64
	if json.Unmarshal(c[name], &seconds) != nil {
		return time.Time{}, errForm
	}
	return time.Unix(int64(min(max(seconds, -most), most)), 0), nil
}

// isTrue takes the string too, which Amazon Cognito has.
func (c claims) isTrue(name string) bool {
	raw := string(c[name])
	return raw == "true" || raw == `"true"`
}

// scopes are those of RFC 8693 §4.2 and RFC 7662 §2.2, and of providers that
// had them before.
func (c claims) scopes() ([]string, error) {
	var all []string
	for _, name := range []string{"scope", "scp"} {
		list, err := c.texts(name)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			all = append(all, strings.Split(s, " ")...)
		}
	}
	return all, nil
}

// rules are what the claims of a token must satisfy.
type rules struct {
	issuer            string // empty: any
	audiences, scopes []string
	claim             string
	unverified        bool
	skew              time.Duration
	signed            bool // the claims of a JWT, where expiry and issuer must stand
}

func newRules(o Options, signed bool) rules {
	return rules{
		issuer: o.Issuer, audiences: o.Audiences, scopes: o.Scopes,
		claim: o.Claim, unverified: o.UnverifiedEmail, skew: o.Skew, signed: signed,
	}
}

// judge gives the account of c, and when c ends; zero: it does not say. The
// error wraps sasl.ErrRefused, or is errForm.
func (r rules) judge(c claims) (account string, end time.Time, err error) {
	end, err = r.current(c)
	if err != nil {
		return "", time.Time{}, err
	}
	for _, rule := range []func(claims) error{r.bearer, r.issued, r.addressed, r.allowed} {
		if err := rule(c); err != nil {
			return "", time.Time{}, err
		}
	}
	account, err = r.account(c)
	return account, end, err
}

// current checks the times.
func (r rules) current(c claims) (end time.Time, err error) {
	end, err = c.time("exp")
	if err != nil {
		return time.Time{}, err
	}
	begin, err := c.time("nbf")
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now().Round(0)
	switch {
	case r.signed && !c.has("exp"):
		return time.Time{}, refused("the token has no end")
	case c.has("exp") && !now.Before(end.Add(r.skew)):
		return time.Time{}, refused("the token has expired")
	case c.has("nbf") && now.Before(begin.Add(-r.skew)):
		return time.Time{}, refused("the token is not valid yet")
	}
	return end, nil
}

// bearer keeps out tokens whose sender must prove more than that it has them
// (RFC 7800 §3.1, RFC 8705 §3, RFC 9449 §6), which SASL has no place for.
func (rules) bearer(c claims) error {
	if c.has("cnf") {
		return refused("the token is bound to a key of its owner's, so it is no bearer token")
	}
	return nil
}

func (r rules) issued(c claims) error {
	issuer, err := c.text("iss")
	if err != nil {
		return err
	}
	if r.issuer != "" && issuer != r.issuer && (r.signed || c.has("iss")) {
		return refused("the token is of another issuer")
	}
	return nil
}

func (r rules) addressed(c claims) error {
	audiences, err := c.texts("aud")
	if err != nil {
		return err
	}
	mine := func(a string) bool { return slices.Contains(r.audiences, a) }
	if len(r.audiences) > 0 && !slices.ContainsFunc(audiences, mine) {
		return refused("the token is for another audience")
	}
	return nil
}

func (r rules) allowed(c claims) error {
	scopes, err := c.scopes()
	if err != nil {
		return err
	}
	for _, s := range r.scopes {
		if !slices.Contains(scopes, s) {
			return refused("the token lacks a scope")
		}
	}
	return nil
}

// account gives the name in its canonical spelling. A name that becomes another
// by more than the case of its letters is refused: the provider may well hold
// the two apart, full-width letters for example.
func (r rules) account(c claims) (string, error) {
	name, err := c.text(r.claim)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", refused("the token does not have the claim that names the account")
	case r.claim == "email" && !r.unverified && !c.isTrue("email_verified"):
		return "", refused("the provider has not verified the address in the token")
	}
	account, err := sasl.PrepareUser(name)
	if err != nil || account != lower(name) {
		return "", refused("the name in the token cannot be that of an account")
	}
	return account, nil
}

// lower makes the capitals of ASCII small.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
