package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

// explain says in plain words what err, which golang.org/x/oauth2 or this
// package returned, means for the user. Nothing that a provider wrote is in it
// but the names of problems; secrets are what even those must not be part of.
func (c *Client) explain(doing string, err error, secrets ...string) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return c.failed(doing, transport(err))
	}
	code := word(answer.ErrorCode, secrets)
	number := aadsts(answer.ErrorDescription)
	status := 0
	if answer.Response != nil {
		status = answer.Response.StatusCode
	}
	p := c.find(code, number, status)
	var names []string
	for _, name := range []string{code, number} {
		if name != "" {
			names = append(names, name)
		}
	}
	if code == "" && status != 0 {
		names = append(names, "HTTP status "+strconv.Itoa(status))
	}
	text := p.text
	if len(names) > 0 {
		text += " (" + strings.Join(names, ", ") + ")"
	}
	switch p.kind {
	case nil:
		return fmt.Errorf("token: %s: %s: %s", c.Account, doing, text)
	case ErrAuthorize:
		text += "; " + c.again()
	}
	return fmt.Errorf("token: %s: %s: %w: %s", c.Account, doing, p.kind, text)
}

// again is what helps in the end.
func (c *Client) again() string { return "run: postwain fetch authorize " + c.Account }

// failed is for errors of this machine, and for those that have nothing of an
// answer.
func (c *Client) failed(doing string, err error) error {
	return fmt.Errorf("token: %s: %s: %w", c.Account, doing, err)
}

func (c *Client) settings(text string) error {
	return fmt.Errorf("token: %s: %w: %s", c.Account, ErrSettings, text)
}

// authorize is an error whose cause the owner of the mailbox can remove.
func (c *Client) authorize(text string) error {
	return fmt.Errorf("token: %s: %w: %s; %s", c.Account, ErrAuthorize, text, c.again())
}

// find gives the problem of the most telling name.
func (c *Client) find(code, number string, status int) problem {
	for _, p := range microsoft {
		if number != "" && strings.TrimPrefix(number, "AADSTS") == p.name {
			return p
		}
	}
	for _, p := range standard {
		if p.name == code {
			if code == "invalid_grant" && c.Provider.hint != "" {
				p.text += ": " + c.Provider.hint
			}
			return p
		}
	}
	switch {
	case status >= 300 && status <= 399:
		return problem{"", ErrSettings, "the provider redirects to another address, which is not followed; check its URLs"}
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return problem{"", ErrSettings, "the provider has nothing at this address; check its URLs"}
	case status == http.StatusTooManyRequests || status >= 500:
		return problem{"", nil, "the provider is out of order or busy; try again later"}
	}
	return problem{"", nil, "the provider refuses, for a reason that has no known name"}
}

// word gives the name of a problem if it looks like one and is no part of a
// secret.
func word(s string, secrets []string) string {
	if s == "" || len(s) > 40 {
		return ""
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && c != '_' {
			return ""
		}
	}
	for _, secret := range secrets {
		if strings.Contains(secret, s) {
			return ""
		}
	}
	return s
}

// aadsts gives the Microsoft number that a description begins with, "AADSTS…",
// if it is one that is known.
func aadsts(description string) string {
	rest, ok := strings.CutPrefix(description, "AADSTS")
	if !ok {
		return ""
	}
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	for _, p := range microsoft {
		if rest[:digits] == p.name {
			return "AADSTS" + p.name
		}
	}
	return ""
}

// outage is an error of the way to the provider, with a text that has nothing
// of the answer.
type outage struct {
	text  string
	cause error
}

func (o *outage) Error() string { return o.text }
func (o *outage) Unwrap() error { return o.cause }

// transport tells errors of the network and of TLS by their own texts. What
// else comes here is about the answer, and may quote it.
func transport(err error) error {
	var (
		timeout     interface{ Timeout() bool }
		operation   *net.OpError
		certificate *tls.CertificateVerificationError
		host        x509.HostnameError
	)
	switch {
	case errors.Is(err, errAnswer):
		return errAnswer
	case errors.Is(err, context.Canceled):
		return &outage{"given up", context.Canceled}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &outage{"the provider does not answer in time; try again later", err}
	case errors.As(err, &host):
		return &outage{"the certificate is not that of " + strconv.QuoteToASCII(host.Host), nil}
	case errors.As(err, &certificate):
		return &outage{"the provider's certificate cannot be trusted: " + strconv.QuoteToASCII(certificate.Err.Error()), nil}
	case errors.As(err, &operation):
		return &outage{operation.Op + " " + operation.Net + ": " + strconv.QuoteToASCII(operation.Err.Error()), err}
	}
	return &outage{"the answer is not one that the provider should give; check its URLs, and whether a proxy is in between", nil}
}

type problem struct {
	name string
	kind error
	text string
}

// standard are the problems of RFC 6749 §4.1.2.1 and §5.2 and of RFC 8628 §3.5,
// and others that Google has.
var standard = []problem{
	{"invalid_grant", ErrAuthorize, "the provider does not accept the grant any more"},
	{"access_denied", ErrAuthorize, "the provider says that the request was declined"},
	{"interaction_required", ErrAuthorize, "the provider wants the owner to sign in again"},
	{"login_required", ErrAuthorize, "the provider wants the owner to sign in again"},
	{"consent_required", ErrAuthorize, "the owner, or an administrator, has not consented"},
	{"expired_token", ErrAuthorize, "the code was not entered in time"},
	{"invalid_client", ErrSettings, "the provider does not know the client or its secret; check client_id and client_secret_file"},
	{"deleted_client", ErrSettings, "the client was deleted at the provider; register another one"},
	{"disabled_client", ErrSettings, "the client was disabled at the provider"},
	{"unauthorized_client", ErrSettings, "the client may not do this; check client_id, and what is allowed to it where it is registered"},
	{"unsupported_grant_type", ErrSettings, "the provider has no such flow; check flow and token_url"},
	{"unsupported_response_type", ErrSettings, "the provider has no such flow; check flow and auth_url"},
	{"invalid_scope", ErrSettings, "the provider does not know the scopes, or the client may not have them; check scopes"},
	{"invalid_request", ErrSettings, "the provider does not understand the request; check the client's kind and the flow"},
	{"redirect_uri_mismatch", ErrSettings, "the client is not registered as a desktop client, so it may not redirect to this machine"},
	{"admin_policy_enforced", ErrAuthorize, "an administrator's policy forbids this client; ask the administrator"},
	{"org_internal", ErrSettings, "the client is for accounts of its own organization only"},
	{"temporarily_unavailable", nil, "the provider is out of order; try again later"},
	{"server_error", nil, "the provider is out of order; try again later"},
	{"slow_down", nil, "the provider was asked too often; try again later"},
}

// microsoft are the problems of Microsoft's list of AADSTS numbers that users of
// mail meet.
var microsoft = []problem{
	{"50034", ErrAuthorize, "this tenant has no such account; check tenant and who signed in"},
	{"50053", ErrAuthorize, "the account is locked, or its address is"},
	{"50055", ErrAuthorize, "the password has expired; change it"},
	{"50057", ErrAuthorize, "the account is disabled; ask the administrator"},
	{"50072", ErrAuthorize, "the owner must set up a second factor"},
	{"50074", ErrAuthorize, "a second factor is needed"},
	{"50076", ErrAuthorize, "a second factor is needed"},
	{"50078", ErrAuthorize, "a second factor is needed again"},
	{"50079", ErrAuthorize, "the owner must set up a second factor"},
	{"50105", ErrAuthorize, "the account is not assigned to the client; ask the administrator"},
	{"50132", ErrAuthorize, "the grant has ended: the password was changed, or an administrator revoked it"},
	{"50133", ErrAuthorize, "the grant has ended: the password was changed"},
	{"50158", ErrAuthorize, "a second factor is needed"},
	{"50173", ErrAuthorize, "the grant was revoked: the password was changed, or an administrator did it"},
	{"53000", ErrAuthorize, "an administrator's policy forbids it from this device"},
	{"53003", ErrAuthorize, "an administrator's policy forbids it"},
	{"530034", ErrAuthorize, "an administrator's policy forbids it"},
	{"54005", ErrAuthorize, "the code was used already"},
	{"65001", ErrAuthorize, "the owner, or an administrator, has not consented"},
	{"65004", ErrAuthorize, "the owner declined"},
	{"70000", ErrAuthorize, "the grant has ended or was revoked"},
	{"70008", ErrAuthorize, "the grant has ended: it was not used for too long"},
	{"70043", ErrAuthorize, "the grant has ended: an administrator's policy wants a new sign-in"},
	{"70044", ErrAuthorize, "the grant has ended: an administrator's policy wants a new sign-in"},
	{"700082", ErrAuthorize, "the grant has ended: it was not used for 90 days"},
	{"700084", ErrAuthorize, "the grant has ended: the client is registered as a single-page application, whose grants last a day; make it a desktop client"},
	{"90094", ErrAuthorize, "an administrator must consent; ask the administrator"},
	{"50011", ErrSettings, "the redirect is not registered; add http://localhost to the client, as a desktop application"},
	{"50194", ErrSettings, "the client is for one tenant only; write that as tenant"},
	{"500011", ErrSettings, "the tenant does not have the mail service; check tenant and scopes"},
	{"70011", ErrSettings, "the scopes are not valid; check scopes"},
	{"650057", ErrSettings, "the client has no permission for mail; add POP.AccessAsUser.All where it is registered"},
	{"700016", ErrSettings, "the tenant does not know the client; check client_id and tenant"},
	{"700025", ErrSettings, "the client is a public one and must send no secret; remove client_secret_file"},
	{"7000215", ErrSettings, "the client's secret is wrong; the file must have its value, not its id"},
	{"7000218", ErrSettings, `the client is no public one; allow "public client flows" where it is registered, or give client_secret_file`},
	{"7000222", ErrSettings, "the client's secret has expired; make a new one"},
	{"90002", ErrSettings, "there is no such tenant; check tenant"},
	{"900023", ErrSettings, "there is no such tenant; check tenant"},
	{"9002331", ErrSettings, `the client is for personal accounts only; write tenant = "consumers"`},
}
