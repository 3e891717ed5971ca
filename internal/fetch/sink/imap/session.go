package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/postwain/postwain/sasl"
)

// allowance is what a server may send in answer to a command that asks for
// nothing long.
const allowance = 256 << 10

// session is a connection that is signed in and has the mailbox open.
type session struct {
	*imapclient.Client
	conn     *conn
	answers  *answers
	secured  *tls.Conn // nil: no TLS
	selected *imap.SelectData
	forget   func() bool // Close of the sink shall not end it any more
}

// channel is what a mechanism may bind to.
func (s *session) channel() *tls.ConnectionState {
	if s.secured == nil {
		return nil
	}
	state := s.secured.ConnectionState()
	return &state
}

// alive says whether the session may still be used. The library notes that the
// mailbox is selected a moment after it says that SELECT is done.
func (s *session) alive() bool {
	state := s.State()
	return state == imap.ConnStateSelected || state == imap.ConnStateAuthenticated
}

// connect opens a session. The mailbox is opened for reading only, so that
// looking at it changes nothing.
func connect(ctx context.Context, o *Options) (*session, error) {
	dialCtx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	nc, err := o.Dialer.DialContext(dialCtx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &session{conn: &conn{Conn: nc, timeout: o.Timeout}}
	s.conn.allow(allowance)
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	err = s.open(dialCtx, o)
	if !stop() || err != nil {
		nc.Close()
		if s.Client != nil {
			s.Client.Close()
		}
		if err == nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return s, nil
}

func (s *session) open(ctx context.Context, o *Options) error {
	if err := s.secure(ctx, o); err != nil {
		return err
	}
	if err := s.WaitGreeting(); err != nil {
		return failed("greeting", err)
	}
	if s.State() != imap.ConnStateAuthenticated {
		if err := s.signIn(o); err != nil {
			return err
		}
	}
	return s.examine(o.Mailbox)
}

// secure begins the IMAP session, inside TLS if it is to be.
func (s *session) secure(ctx context.Context, o *Options) error {
	if o.Security == Plaintext {
		s.talk(s.conn, "")
		return nil
	}
	config := new(tls.Config)
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(o.Address)
		if err != nil {
			host = o.Address
		}
		config.ServerName = host
	}
	if o.Security == STARTTLS {
		if err := startTLS(s.conn); err != nil {
			return failed("STARTTLS", err)
		}
	}
	secure := tls.Client(s.conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return failed("TLS handshake", err)
	}
	s.secured = secure
	greeting := ""
	if o.Security == STARTTLS {
		greeting = "* OK\r\n" // the one that came in clear text does not count
	}
	s.talk(secure, greeting)
	return nil
}

// talk begins the session over c, on which the greeting is yet to come unless it
// is given.
func (s *session) talk(c net.Conn, greeting string) {
	s.answers = &answers{Conn: c, first: greeting}
	s.Client = imapclient.New(s.answers, nil)
}

func (s *session) signIn(o *Options) error {
	capabilities := s.Caps()
	if o.Auth == nil {
		if capabilities.Has(imap.CapLoginDisabled) {
			return errors.New("server takes no password here (LOGINDISABLED)")
		}
		return refusedLogin("LOGIN", s.Login(o.User, o.Password).Wait())
	}
	m, err := o.Auth(capabilities.AuthMechanisms(), s.channel())
	if err != nil {
		return failed("AUTHENTICATE", err)
	}
	if err := s.Authenticate(mechanism{m}); err != nil {
		return refusedLogin("AUTHENTICATE "+m.Name(), err)
	}
	return failed("AUTHENTICATE "+m.Name(), m.Done())
}

// mechanism is a SASL mechanism as the IMAP client wants it.
type mechanism struct{ sasl.Client }

func (m mechanism) Start() (name string, initial []byte, err error) {
	initial, has, err := m.Client.Start()
	switch {
	case !has:
		initial = nil
	case initial == nil:
		initial = []byte{}
	}
	return m.Name(), initial, err
}

// examine opens the mailbox, and makes it if it is missing.
func (s *session) examine(name string) error {
	var err error
	s.selected, err = s.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if status, ok := refusal(err); !ok || status.Type != imap.StatusResponseTypeNo {
		return failed("EXAMINE", err)
	}
	create := s.Create(name, nil).Wait()
	if status, ok := refusal(create); ok && status.Code == imap.ResponseCodeAlreadyExists {
		create = nil
	}
	if create != nil {
		return failed("CREATE", create)
	}
	s.selected, err = s.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	return failed("EXAMINE", err)
}
