package sasl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// bearer is what the clients share that give a bearer token.
type bearer struct {
	user, token string
	refused     error // what the server had against the token
}

// check refuses what would end a field of the response early.
func (b *bearer) check() error {
	switch {
	case b.user == "" || b.token == "":
		return errors.New("sasl: user name or token is empty")
	case hasControl(b.user):
		return errors.New("sasl: control character in user name")
	case !isPrintable(b.token):
		return errors.New("sasl: blank, control or non-ASCII character in token")
	}
	return nil
}

// fail takes the server's one challenge, which says why the token is not
// accepted, and gives answer to it, upon which the server reports the failure
// (RFC 7628 §3.2.3). A second challenge gets the error.
func (b *bearer) fail(challenge, answer []byte) ([]byte, error) {
	if b.refused != nil {
		return nil, b.refused
	}
	b.refused = b.reason(challenge)
	return answer, nil
}

// Done returns the reason of a failure, also where a server goes on to report
// success.
func (b *bearer) Done() error { return b.refused }

// reason makes an error of the status in a JSON object (RFC 7628 §3.2.2). A
// status that repeats the token is left out.
func (b *bearer) reason(challenge []byte) error {
	var failure struct{ Status any }
	status := ""
	if len(challenge) <= maxChallenge && json.Unmarshal(challenge, &failure) == nil {
		switch s := failure.Status.(type) {
		case string:
			status = s
		case float64:
			status = strconv.FormatFloat(s, 'f', -1, 64)
		}
	}
	switch {
	case status == "" || strings.Contains(status, b.token):
		return fmt.Errorf("sasl: %w: server does not accept the token and does not say why", ErrRefused)
	case isOutage(status):
		return fmt.Errorf("sasl: server cannot verify the token now (status %s)", quote(status))
	}
	return fmt.Errorf("sasl: %w: server does not accept the token (status %s)", ErrRefused, quote(status))
}

// isOutage reports whether status, an error code of OAuth (RFC 6749 §4.1.2.1)
// or a status code of HTTP, says that the token was not judged.
func isOutage(status string) bool {
	switch status {
	case "server_error", "temporarily_unavailable":
		return true
	}
	return len(status) == 3 && status[0] == '5'
}

// quote makes text of a server fit for an error: ASCII only, and not long.
func quote(s string) string { return fmt.Sprintf("%+.64q", s) }

// hasControl reports whether s contains a control character of ASCII.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
