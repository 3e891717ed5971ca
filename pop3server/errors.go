package pop3server

import (
	"errors"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// refusal is the one place where an error becomes a reply. A *pop3.Error is
// shown as it is; other errors are never shown themselves. It tells the Trace
// of what only the operator can mend.
func (c *conn) refusal(err error) reply {
	var shown *pop3.Error
	switch {
	case errors.As(err, &shown):
		return reply{kind: refused, code: shown.Code, note: shown.Text}
	case errors.Is(err, sasl.ErrRefused):
		return refuse(pop3.CodeAuth, textRefused)
	case errors.Is(err, sasl.ErrMalformed):
		return refuse("", textResponse)
	case errors.Is(err, maildrop.ErrInUse), errors.Is(err, ErrTooManySessions):
		return refuse(pop3.CodeInUse, textInUse)
	case errors.Is(err, ErrLoginDelay):
		return refuse(pop3.CodeLoginDelay, textDelay)
	case errors.Is(err, maildrop.ErrGone):
		return refuse("", textGone)
	}
	c.fault(err)
	switch {
	case errors.Is(err, sasl.ErrBusy):
		return refuse(pop3.CodeSysTemp, textBusy)
	case errors.Is(err, maildrop.ErrNoDrop):
		return refuse(pop3.CodeSysPerm, textNoDrop)
	case errors.Is(err, maildrop.ErrDamaged):
		return refuse(pop3.CodeSysPerm, textDamaged)
	}
	return refuse(pop3.CodeSysTemp, textTemporary)
}

func (c *conn) fault(err error) {
	if f := c.opt.Trace.Fault; f != nil {
		f(c.sum.Peer, c.sum.Account, err)
	}
}
