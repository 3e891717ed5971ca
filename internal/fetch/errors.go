package fetch

import (
	"errors"
	"fmt"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// ErrSignIn says that the server will not have these credentials: it is for
// people to do something. Test with [errors.Is].
var ErrSignIn = errors.New("the server refuses the password, token or ticket")

// maxShown is how much of a text from outside is shown, in octets.
const maxShown = 200

// stepError says in which account, at which server and in doing what something
// went wrong.
type stepError struct {
	account, host, step string
	err                 error
}

// Error returns the text in a form that can be shown as it is.
func (e *stepError) Error() string {
	return fmt.Sprintf("fetch: %s (%s): %s: %s",
		pop3.Printable(e.account, maxShown), pop3.Printable(e.host, maxShown), e.step, pop3.Printable(e.err.Error(), 3*maxShown))
}

func (e *stepError) Unwrap() error { return e.err }

// signInError finds out whether an error of signing in is about the credentials.
// Servers without response codes say so in words, and [pop3.Error.Temporary]
// knows those that mean something else.
func signInError(err error) error {
	var refused *pop3.Error
	if !errors.As(err, &refused) || refused.Temporary() || refused.Code == pop3.CodeSysPerm {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSignIn, err)
}

// definite says that there is no doubt that the credentials are refused: a
// server without response codes may mean anything.
func definite(err error) bool {
	var refused *pop3.Error
	return errors.Is(err, ErrSignIn) && errors.As(err, &refused) && refused.Code == pop3.CodeAuth
}

// temporary says that the server wants the client to come again later.
func temporary(err error) bool {
	var refused *pop3.Error
	return errors.As(err, &refused) && refused.Temporary()
}

// outOfStep says that a server may have lost count of the commands.
func outOfStep(err error) bool { return errors.Is(err, pop3client.ErrProtocol) }
