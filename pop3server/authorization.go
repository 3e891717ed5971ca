package pop3server

import (
	"context"
	"errors"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// authorizing is the AUTHORIZATION state (RFC 1939 §4). It ends with an open
// maildrop or with the connection. What it knows of the client dies with it at
// STLS.
type authorizing struct {
	*conn
	user    string // given by USER
	refused int    // logins
}

// authorizationHandler is the table of the state; nil: the command has no place in it.
func authorizationHandler(v pop3.Verb) func(*authorizing, context.Context, []byte) reply {
	switch v {
	case pop3.User:
		return (*authorizing).userCommand
	case pop3.Pass:
		return (*authorizing).passCommand
	case pop3.Apop:
		return (*authorizing).apopCommand
	case pop3.Auth:
		return (*authorizing).authCommand
	case pop3.Stls:
		return (*authorizing).stlsCommand
	case pop3.Capa:
		return (*authorizing).capaCommand
	case pop3.Lang:
		return (*authorizing).langCommand
	case pop3.Utf8:
		return (*authorizing).utf8Command
	case pop3.Quit:
		return (*authorizing).quitCommand
	}
	return nil
}

// authorization runs the state. The Box is nil if the connection is to end.
func (c *conn) authorization(ctx context.Context) maildrop.Box {
	for {
		a := &authorizing{conn: c}
		switch c.commands(ctx, maxBadBefore, a.handle) {
		case loggedIn:
			return c.box
		case quit:
			c.note(ReasonQuit, nil)
			return nil
		case startTLS:
			if !c.startTLS(ctx) {
				return nil
			}
		default:
			return nil
		}
	}
}

func (a *authorizing) handle(ctx context.Context, cmd pop3.Command) reply {
	if h := authorizationHandler(cmd.Verb); h != nil {
		return h(a, ctx, cmd.Arg)
	}
	if cmd.Verb == pop3.Unknown {
		return blame(textUnknown)
	}
	return blame(textState)
}

func (c *conn) quitCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	return reply{kind: accepted, text: textBye, then: quit}
}

// userCommand takes any name: whether it exists is said, if at all, by PASS.
func (a *authorizing) userCommand(_ context.Context, arg []byte) reply {
	a.user = ""
	if a.find("PLAIN") == nil {
		return a.noPasswords()
	}
	if len(arg) == 0 {
		return refuse("", textArgument)
	}
	for _, c := range arg {
		if c < ' ' || c == 0x7F {
			return blame(textControl)
		}
	}
	a.user = string(arg)
	return accept(textName)
}

// passCommand runs PLAIN. The password is all of the argument, spaces included.
func (a *authorizing) passCommand(ctx context.Context, arg []byte) reply {
	m := a.find("PLAIN")
	if m == nil {
		return a.noPasswords()
	}
	user := a.user
	a.user = ""
	if user == "" {
		return blame(textNoName)
	}
	response := make([]byte, 0, len(user)+len(arg)+2)
	response = append(append(append(append(response, 0), user...), 0), arg...)
	_, account, err := a.judge(ctx, m.Start(), response)
	if errors.Is(err, sasl.ErrMalformed) {
		err = sasl.ErrRefused // an empty password is no other than a wrong one
	}
	return a.login(ctx, Login{User: user, Account: account, Mechanism: "USER", Err: err})
}

// noPasswords says why USER and PASS, or a mechanism, are not there.
func (a *authorizing) noPasswords() reply {
	if !a.sum.Peer.Secure {
		return refuse("", textNeedTLS)
	}
	return refuse("", textNoMechanism)
}

// apopCommand hands the argument, name and digest, to the mechanism.
func (a *authorizing) apopCommand(ctx context.Context, arg []byte) reply {
	m := a.apop
	if m == nil {
		return refuse("", textNoMechanism)
	}
	_, account, err := a.judge(ctx, m.Start(), arg)
	return a.login(ctx, Login{Account: account, Mechanism: m.Name(), Err: err})
}

// stlsCommand refuses what cannot be (RFC 2595 §4). Octets behind the command
// may be an attacker's who wants them read inside TLS: they end the connection.
func (a *authorizing) stlsCommand(_ context.Context, arg []byte) reply {
	switch {
	case len(arg) > 0:
		return refuse("", textArgument)
	case a.sum.Peer.TLS != nil:
		return blame(textState)
	case !a.canSTLS():
		return refuse("", textNoTLS)
	case a.in.Buffered() > 0:
		a.note(ReasonInjection, nil)
		return reply{kind: refused, text: textState, then: ended}
	}
	return reply{kind: accepted, text: textBeginTLS, then: startTLS}
}

func (c *conn) canSTLS() bool {
	return c.opt.TLS != nil && c.sum.Peer.TLS == nil && c.seat == nil
}

// startTLS makes the connection one that has just begun, inside TLS.
func (c *conn) startTLS(ctx context.Context) bool {
	if err := c.out.Flush(); err != nil {
		c.stop(err)
		return false
	}
	if !c.arrive(c.handshake) {
		return false
	}
	c.open()
	c.lang, c.utf8 = 0, false
	if err := c.newSession(ctx); err != nil {
		c.bye(c.refusal(err), ReasonStorage)
		return false
	}
	return true
}

// login ends an attempt: after a proof it opens the maildrop, and only then is
// it a login.
func (a *authorizing) login(ctx context.Context, l Login) reply {
	if l.Err == nil {
		l.Holder, l.Err = a.enter(ctx, l.Account)
	}
	l.TLS = a.sum.Peer.TLS != nil
	if f := a.opt.Trace.Login; f != nil {
		f(a.sum.Peer, l)
	}
	if l.Err != nil {
		r := a.refusal(l.Err)
		if a.refused++; a.refused >= maxRefused {
			a.note(ReasonRefused, nil)
			r.then = ended
		}
		return r
	}
	a.sum.Account, a.sum.Mechanism = l.Account, l.Mechanism
	a.wire.limit = time.Time{}
	return reply{kind: accepted, text: textLoggedIn, then: loggedIn}
}

// enter opens the maildrop of account. A session of this process that has been
// idle there gives way.
func (c *conn) enter(ctx context.Context, account string) (holder Peer, err error) {
	ctx, cancel := context.WithDeadline(ctx, c.began.Add(c.opt.LoginTimeout))
	defer cancel()
	err = c.tryEnter(ctx, account)
	if errors.Is(err, maildrop.ErrInUse) || errors.Is(err, ErrTooManySessions) {
		var done bool
		if done, holder = c.opt.Sessions.takeOver(ctx, account, c); done {
			err = c.tryEnter(ctx, account)
		}
	}
	if err == nil {
		c.opt.Sessions.delay(account, c.policy.LoginDelay)
		holder = Peer{}
	}
	return holder, err
}

func (c *conn) tryEnter(ctx context.Context, account string) error {
	seat, err := c.opt.Sessions.enter(account, c)
	if err != nil {
		return err
	}
	box, policy, err := c.session.Open(ctx, account)
	if err != nil {
		c.opt.Sessions.leave(seat)
		return err
	}
	c.box, c.policy, c.seat = box, policy, seat
	return nil
}
