package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/fetch/token"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

type (
	dialFunc   = func(context.Context) (*pop3client.Client, error)
	signInFunc = func(context.Context, *pop3client.Client) error
)

// dialer gives a function that connects to the source of a section.
func (f *Fetch) dialer(s *config.Fetch) (dialFunc, error) {
	o := pop3client.Options{Timeout: s.Timeout, NoCapa: s.NoCapa, Serial: s.Serial}
	security := pop3client.STLS
	switch {
	case s.Source.TLS:
		security = pop3client.TLS
	case s.Plaintext:
		security = pop3client.Plaintext
	}
	var err error
	o.TLS, err = tlsConfig(s.CA)
	addr, inUse, dialer := s.Source.Addr(), f.inUse(s), plainDialer
	if s.Source.KPOP {
		security = pop3client.Plaintext
		dialer, err = f.kpopDialer(s)
	}
	return func(ctx context.Context) (*pop3client.Client, error) {
		select {
		case inUse <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		release := sync.OnceFunc(func() { <-inUse })
		c, err := dialBy(ctx, dialer, lineDialer{release}, addr, security, o)
		if err != nil {
			release()
		}
		return c, err
	}, err
}

// dialerFunc gives what connects the next session, by way of line.
type dialerFunc = func(ctx context.Context, line lineDialer) (pop3client.Dialer, error)

func plainDialer(_ context.Context, line lineDialer) (pop3client.Dialer, error) { return line, nil }

func dialBy(ctx context.Context, dialer dialerFunc, line lineDialer, addr string, s pop3client.Security, o pop3client.Options) (*pop3client.Client, error) {
	var err error
	if o.Dialer, err = dialer(ctx, line); err != nil {
		return nil, err
	}
	return pop3client.Dial(ctx, addr, s, o)
}

// inUse is full while there is a session with the remote mailbox of a section:
// another one of ours would be refused as long.
func (f *Fetch) inUse(s *config.Fetch) chan struct{} {
	key := s.Source.User + "@" + s.Source.Host
	if f.shared[key] == nil {
		f.shared[key] = make(chan struct{}, 1)
	}
	return f.shared[key]
}

// lineDialer makes connections that call release when they are closed.
type lineDialer struct{ release func() }

func (d lineDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return line{conn, d.release}, nil
}

type line struct {
	net.Conn
	release func()
}

func (l line) Close() error {
	defer l.release()
	return l.Conn.Close()
}

// tlsConfig gives a configuration that trusts the certificates in a file, or
// nil if there is no file.
func tlsConfig(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates: %s: there is none in it; it must be in PEM", file)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}

// signIn gives a function that signs in at the source of a section.
func (f *Fetch) signIn(ctx context.Context, s *config.Fetch) (signInFunc, error) {
	k := pop3client.Credentials{
		User: s.Source.User, Mechanism: string(s.Auth), OneLine: s.OneLine, Plaintext: s.Plaintext,
	}
	if k.Mechanism == "" {
		k.Mechanism = s.Source.Auth
	}
	switch {
	case s.Source.KPOP:
		return kpopSignIn(s), nil
	case s.Ticket():
		return f.ticketSignIn(s)
	case s.TokenCommand != nil || s.Authorized():
		tokens, err := f.tokens(s)
		return tokenSignIn(k, tokens), err
	}
	password, err := f.password(ctx, s)
	return func(ctx context.Context, c *pop3client.Client) error {
		k := k
		var err error
		if k.Password, err = password(ctx); err != nil {
			return err
		}
		return c.SignIn(ctx, k)
	}, err
}

// tokenSignIn signs in by token. One that a server has refused is not sent to
// it again.
func tokenSignIn(k pop3client.Credentials, tokens token.Source) signInFunc {
	return func(ctx context.Context, c *pop3client.Client) error {
		k, sent := k, ""
		k.Token = func(ctx context.Context) (string, error) {
			text, err := tokens.Token(ctx)
			sent = text
			return text, err
		}
		err := c.SignIn(ctx, k)
		if refused, ok := errors.AsType[*pop3.Error](err); ok && !refused.Temporary() {
			tokens.Forget(sent)
		}
		return err
	}
}

// passwordVariable is where a password is looked for that nothing else gives.
const passwordVariable = "POSTWAIN_PASSWORD"

// password gives the source of the password of a section. Where a person must
// be asked it does that now: later the question would stand in the middle of
// other lines.
func (f *Fetch) password(ctx context.Context, s *config.Fetch) (secret.Source, error) {
	if source := f.secret(s.PasswordFile, s.PasswordCommand, s.PasswordEnv); source != nil {
		return source, nil
	}
	if len(f.options.Mailboxes) == 1 && f.options.Getenv(passwordVariable) != "" {
		return secret.Env(passwordVariable, f.options.Getenv, secret.MaxPassword), nil
	}
	if !term.IsTerminal(int(f.options.Stdin.Fd())) {
		return nil, fmt.Errorf("there is no password, and nobody to ask for it; write %s or %s, or set the environment variable %s",
			f.spelled("password_file"), f.spelled("password_command"), passwordVariable)
	}
	asked := &secret.Terminal{In: f.options.Stdin, Out: f.options.Terminal}
	source := asked.Ask(fmt.Sprintf("Password of %s at %s: ", s.Source.User, s.Source.Host), secret.MaxPassword)
	_, err := source(ctx)
	return source, err
}

// secret gives the source of a password that is kept somewhere, or nil.
func (f *Fetch) secret(file string, command []string, variable string) secret.Source {
	switch {
	case file != "":
		if err := secret.CheckMode(file); err != nil {
			f.log.Warn("fetch", "warning", err.Error())
		}
		return secret.File(file, secret.MaxPassword)
	case command != nil:
		return secret.Command(command, secret.MaxPassword)
	case variable != "":
		return secret.Env(variable, f.options.Getenv, secret.MaxPassword)
	}
	return nil
}
