package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postwain/postwain/internal/auth"
	"github.com/postwain/postwain/internal/auth/apppassword"
	"github.com/postwain/postwain/internal/auth/command"
	"github.com/postwain/postwain/internal/auth/ldap"
	"github.com/postwain/postwain/internal/auth/oauth"
	"github.com/postwain/postwain/internal/auth/pam"
	"github.com/postwain/postwain/internal/auth/sql"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/sasl"
)

// opener opens account sources.
type opener struct {
	daemon  *Daemon
	config  *config.Accounts
	file    string // of the configuration
	opened  *accounts
	sources []auth.Source
}

// open opens all that are configured, in the order in which they are asked.
// App passwords come first, and keep the others from accounts that take
// nothing else.
func (o *opener) open(ctx context.Context) error {
	only, err := o.appPasswords()
	if err != nil {
		return err
	}
	for _, each := range []struct {
		key  string
		open func(ctx context.Context) (auth.Source, error)
		is   bool
	}{
		{"accounts.passwd_file", o.passwdFile, o.config.PasswdFile != ""},
		{"accounts.ldap", o.ldap, o.config.LDAP.Configured()},
		{"accounts.sql", o.sql, o.config.SQL.Configured()},
		{"accounts.pam", o.pam, o.config.PAM.Configured()},
		{"accounts.command", o.command, o.config.Command.Configured()},
		{"accounts.oauth", o.oauth, o.config.OAuth.Configured()},
	} {
		if !each.is {
			continue
		}
		s, err := each.open(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", each.key, err)
		}
		if each.key != "accounts.passwd_file" && s.Authenticator != nil {
			o.opened.others = true
		}
		if only != nil && s.Authenticator != nil {
			s.Authenticator = only.Others(s.Authenticator)
		}
		if only != nil && s.Secrets != nil {
			s.Secrets = only.OtherSecrets(s.Secrets)
		}
		o.sources = append(o.sources, s)
	}
	return nil
}

// appPasswords gives the file of passwords for single devices, or nil.
func (o *opener) appPasswords() (*apppassword.File, error) {
	if o.config.AppPasswords == "" {
		return nil, nil
	}
	file, err := apppassword.Open(o.config.AppPasswords, apppassword.Options{
		Accounts: o.looker(), MayBeMissing: true, Report: o.report,
	})
	if err != nil {
		return nil, fmt.Errorf("accounts.app_passwords: %w", err)
	}
	o.opened.devices, o.opened.files = file, append(o.opened.files, file)
	o.sources = append(o.sources, auth.Source{Authenticator: file, Version: file.Version, Borrowed: true})
	return file, nil
}

// looker knows which accounts there are, once all sources are open; nil: none
// of them does.
func (o *opener) looker() sasl.Looker {
	if o.config.PasswdFile == "" && !o.config.LDAP.Configured() && !o.config.SQL.Configured() {
		return nil
	}
	return o.opened
}

// report tells the log what is no error of anybody's login.
func (o *opener) report(err error) { o.daemon.log.Error("accounts", "error", err) }

// paced is report for what strangers can bring about, such as a token that is
// for somebody else.
func (o *opener) paced() func(error) {
	p := new(pace)
	return func(err error) {
		if more, now := p.due(); now {
			o.daemon.log.Warn("accounts", "error", err, "more", more)
		}
	}
}

func (o *opener) keep(c io.Closer) { o.opened.closers = append(o.opened.closers, c) }

func (o *opener) passwdFile(context.Context) (auth.Source, error) {
	file, err := o.daemon.openPasswdFile(o.config.PasswdFile, o.file)
	if err != nil {
		return auth.Source{}, err
	}
	o.opened.users, o.opened.files = file, append(o.opened.files, file)
	return passwdSource(file), nil
}

func (o *opener) ldap(context.Context) (auth.Source, error) {
	c := &o.config.LDAP
	tls, err := tlsConfig(c.CA)
	if err != nil {
		return auth.Source{}, err
	}
	options := ldap.Options{
		URLs: c.URLs, TLS: tls, Plaintext: c.Plaintext, BindDN: c.BindDN, Password: firstLineOf(c.BindPasswordFile),
		Base: c.Base, DN: c.DN, AccountAttribute: c.AccountAttribute, Fields: c.FieldNames(), Decoy: c.DecoyDN,
		Timeout: c.Timeout, Report: o.report,
	}
	if c.DN == "" {
		options.Filter = c.Filter
	}
	s, err := ldap.New(options)
	if err != nil {
		return auth.Source{}, err
	}
	o.keep(s)
	source := auth.Source{Authenticator: s, Looker: s}
	if len(c.Fields) > 0 {
		source.Fields = s.Fields
	}
	return source, nil
}

// firstLineOf reads a secret anew each time.
func firstLineOf(path string) func() (string, error) {
	if path == "" {
		return nil
	}
	read := secret.File(path, secret.MaxPassword)
	return func() (string, error) { return read(context.Background()) }
}

func (o *opener) sql(ctx context.Context) (auth.Source, error) {
	c := &o.config.SQL
	dsn, err := secret.File(c.DSNFile, maxDSN)(ctx)
	if err != nil {
		return auth.Source{}, err
	}
	s, err := sql.New(sql.Options{
		DSN: dsn, UserQuery: c.UserQuery, LookupQuery: c.LookupQuery, FieldsQuery: c.FieldsQuery, Timeout: c.Timeout,
	})
	if err != nil {
		return auth.Source{}, err
	}
	o.keep(s)
	if err := s.Check(ctx); err != nil { // it may come later
		o.daemon.log.Warn("accounts.sql", "warning", err)
	}
	return auth.Source{Authenticator: s, Looker: s, Secrets: s, Fields: s.Fields, Costly: true}, nil
}

// maxDSN is how long a connection string may be, in octets.
const maxDSN = 4 << 10

func (o *opener) pam(context.Context) (auth.Source, error) {
	c := &o.config.PAM
	p, err := pam.New(pam.Options{Helper: c.Helper, Service: c.Service, Limits: command.Limits{Timeout: c.Timeout}})
	return auth.Source{Authenticator: p}, err
}

func (o *opener) command(context.Context) (auth.Source, error) {
	c := &o.config.Command
	p, err := command.New(command.Options{Argv: c.Run, Limits: command.Limits{Timeout: c.Timeout}})
	return auth.Source{Authenticator: p}, err
}

func (o *opener) oauth(context.Context) (auth.Source, error) {
	c := &o.config.OAuth
	tls, err := tlsConfig(c.CA)
	if err != nil {
		return auth.Source{}, err
	}
	options := oauth.Options{
		Introspection: c.Introspection, ClientID: c.ClientID, Issuer: c.Issuer, JWKS: c.JWKS,
		Audiences: c.Audience, Scopes: c.Scopes, Claim: c.Claim, UnverifiedEmail: c.UnverifiedEmail,
		TLS: tls, Report: o.paced(),
	}
	if c.ClientSecretFile != "" {
		options.ClientSecret = secret.File(c.ClientSecretFile, secret.MaxPassword)
	}
	v, err := oauth.New(options)
	if err != nil {
		return auth.Source{}, err
	}
	o.opened.bearer = sasl.BearerOptions{Scope: strings.Join(c.Scopes, " ")}
	if c.Issuer != "" {
		o.opened.bearer.OpenIDConfiguration = strings.TrimSuffix(c.Issuer, "/") + "/.well-known/openid-configuration"
	}
	return auth.Source{Tokens: v, Borrowed: o.looker() != nil}, nil
}

// errNoNames is what LMTP is told where names cannot be asked for.
var errNoNames = errors.New("no account source can tell which names exist: add a passwd_file, ldap or sql for them")
