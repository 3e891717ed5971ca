package imap

import (
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/sasl"
)

// maxText bounds what an error shows of what a server says.
const maxText = 300

// failure is an error of the IMAP client, whose text is shown in a form that
// does nothing to a terminal: much of it is the server's.
type failure struct {
	step string
	text string
	err  error
}

func (e *failure) Error() string { return e.step + ": " + e.text }
func (e *failure) Unwrap() error { return e.err }

func failed(step string, err error) error {
	if err == nil {
		return nil
	}
	if status, ok := refusal(err); ok {
		return &failure{step, fmt.Sprintf("server answers %s %.*q", word(status), maxText, status.Text), err}
	}
	return &failure{step, fmt.Sprintf("%.*q", maxText, err.Error()), err}
}

// word gives the response and its code.
func word(status *imap.Error) string {
	if status.Code == "" {
		return string(status.Type)
	}
	return fmt.Sprintf("%s [%.40q]", status.Type, status.Code)
}

func refusal(err error) (*imap.Error, bool) {
	var status *imap.Error
	ok := errors.As(err, &status)
	return status, ok
}

// refusedLogin is failed for what may repeat a secret: the text is left out.
func refusedLogin(step string, err error) error {
	status, ok := refusal(err)
	if !ok {
		return failed(step, err)
	}
	err = &failure{step, "server answers " + word(status), nil}
	if status.Type == imap.StatusResponseTypeNo && status.Code != imap.ResponseCodeUnavailable {
		err = fmt.Errorf("%w: %w", err, sasl.ErrRefused)
	}
	return err
}

// outages are the codes of a refusal that is not about the message.
var outages = map[imap.ResponseCode]bool{
	imap.ResponseCodeAuthorizationFailed: true, imap.ResponseCodeContactAdmin: true, imap.ResponseCodeCorruption: true,
	imap.ResponseCodeExpired: true, imap.ResponseCodeInUse: true, imap.ResponseCodeNonExistent: true,
	imap.ResponseCodeNoPerm: true, imap.ResponseCodeOverQuota: true, imap.ResponseCodePrivacyRequired: true,
	imap.ResponseCodeServerBug: true, imap.ResponseCodeTryCreate: true, imap.ResponseCodeUnavailable: true,
}

// refused is the error of an APPEND that the server refused. Without a code
// nobody can tell whether that is about the message, as the refusals of Cyrus
// for NULs and bare line ends are, or an outage; to set one message aside is
// the smaller evil.
func refused(status *imap.Error) error {
	err := failed("APPEND", status)
	if outages[status.Code] {
		return err
	}
	return fmt.Errorf("%w: %w", sink.ErrRefused, err)
}
