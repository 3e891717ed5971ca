package sasl

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// errWrong is the one error of who does not prove what they say, whether or
// not there is such an account.
var errWrong = fmt.Errorf("sasl: %w", ErrRefused)

// stored is what an account source has of a name: nothing if account is empty.
type stored struct {
	account, scheme string
	secret          []byte
}

// find asks for the secret of name under each scheme and takes the first that
// is there. It asks for all of them whatever it finds, so that the work does
// not tell who has which. An error is an outage.
func find(ctx context.Context, source SecretSource, name string, schemes ...string) (stored, error) {
	var found stored
	var outage error
	for _, scheme := range schemes {
		account, secret, err := source.Secret(ctx, name, scheme)
		account, err = named(account, err)
		switch {
		case errors.Is(err, ErrRefused):
		case err != nil:
			outage = cmp.Or(outage, err)
		case found.account == "" && len(secret) > 0:
			found = stored{account, scheme, secret}
		}
	}
	if found.account != "" {
		return found, nil
	}
	return stored{}, outage
}

// named refuses an account without a name, which would be nobody's proof.
func named(account string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if account == "" {
		return "", errors.New("sasl: account source proved an account without a name")
	}
	return account, nil
}

// checkUser refuses what cannot be a name before the account source is asked.
func checkUser(user string) error {
	switch {
	case user == "" || !utf8.ValidString(user) || hasControl(user):
		return fmt.Errorf("sasl: %w: user name is empty, not UTF-8, or has control characters", ErrMalformed)
	case len(user) > MaxUser:
		return fmt.Errorf("sasl: %w: user name too long", ErrRefused)
	}
	return nil
}

// canonical is the spelling of a name under which there is one decoy for it.
func canonical(name string) string {
	if p, err := PrepareUser(name); err == nil {
		return p
	}
	return name
}

// newMsgID makes a challenge that no other exchange has: a msg-id of 130 random
// bits, the time, and host (RFC 1939 §7, RFC 2195 §2), or localhost if host
// cannot stand in one.
func newMsgID(host string) string {
	local := "<" + rand.Text() + "." + strconv.FormatInt(time.Now().Unix(), 10) + "@"
	if id := local + host + ">"; isMsgID(id) {
		return id
	}
	return local + "localhost>"
}
