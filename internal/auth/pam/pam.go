// Package pam is the account source that is PAM, such as the passwords of the
// machine's own users.
//
// PAM is a library in C whose modules may do anything to the process that calls
// it. So a program of its own does, postwain-pam (contrib/pam), one run for each
// login, and the server stays without cgo. What becomes of a login is what the
// file of the service in /etc/pam.d says; if there is none, PAM goes by the file
// other. There is no session and there are no credentials: authentication and
// account management are all that is asked.
//
// The program runs as the server does. pam_unix has to read /etc/shadow, for
// which it needs root or, on Debian and its like, the group shadow; without, it
// says for known names that it cannot tell, which is an outage. Modules that ask
// a server, or read a file of their own, need nothing of the sort.
package pam

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postwain/postwain/internal/auth/command"
	"github.com/postwain/postwain/sasl"
)

// DefaultService is the service that PAM is asked for.
const DefaultService = "postwain"

// maxService is how long the name of a service may be, in octets.
const maxService = 64

// exitRefused is the helper's exit code for wrong credentials.
const exitRefused = 1

// Options say how PAM is asked. Helper must be set.
type Options struct {
	// Helper is the program postwain-pam. Without a separator in it it is
	// looked up in PATH, once.
	Helper string
	// Service is the name of a file in /etc/pam.d: letters, digits, '.', '_'
	// and '-', no '.' in front. Empty: DefaultService.
	Service string
	// Env, entries NAME=value, is added to PATH, LANG, LC_ALL and TZ of this
	// process, all that modules see of its environment.
	Env []string
	// Limits bound the runs. The delays that PAM's modules want after a wrong
	// password are not kept; RefusedAfter and those of the server are.
	command.Limits
}

// PAM asks PAM. It may be used by many goroutines. It is a
// [sasl.Authenticator] and nothing else: PAM tells nobody which names exist.
type PAM struct {
	runner  *command.Runner
	helper  string
	service string
}

var errRefused = fmt.Errorf("pam: %w", sasl.ErrRefused)

// New returns the source that asks PAM. It fails if there is no such helper. It
// does not look whether there is such a service.
func New(o Options) (*PAM, error) {
	if o.Service == "" {
		o.Service = DefaultService
	}
	if !isService(o.Service) {
		return nil, fmt.Errorf("pam: %.100q is not the name of a service", o.Service)
	}
	r, err := command.NewRunner(command.Program{
		Argv: []string{o.Helper}, Env: o.Env, Refused: []int{exitRefused}, Output: true,
	}, o.Limits)
	if err != nil {
		return nil, fmt.Errorf("pam: the helper: %w", err)
	}
	return &PAM{r, o.Helper, o.Service}, nil
}

func isService(s string) bool {
	const may = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return s != "" && len(s) <= maxService && s[0] != '.' && strings.Trim(s, may) == ""
}

// Authenticate implements [sasl.Authenticator]. The account is the name that
// PAM gives it, which a module may have changed, in its canonical spelling. An
// empty password is refused, whatever PAM would say.
func (p *PAM) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	q := command.Question{Secret: sasl.PreparePassword(l.Password)}
	user, err := sasl.PrepareUser(l.User)
	if err == nil {
		q.Input, err = p.request(user, q.Secret, l)
	}
	if err != nil { // nobody has such a name or password: no need to look busy
		return "", errRefused
	}
	name, err := p.runner.Run(ctx, q)
	if errors.Is(err, sasl.ErrRefused) {
		return "", errRefused
	}
	if err != nil {
		return "", fmt.Errorf("pam: %s: %w", p.helper, err)
	}
	if account, err = sasl.PrepareUser(string(name)); err != nil {
		return "", fmt.Errorf("pam: service %s gives the account a name that cannot be one", p.service)
	}
	return account, nil
}

// request is what the helper reads. PAM takes NUL for the end of a string.
func (p *PAM) request(user, password string, l sasl.Login) ([]byte, error) {
	if password == "" || len(password) > sasl.MaxPassword || strings.Contains(user+password, "\x00") {
		return nil, sasl.ErrRefused
	}
	remote := ""
	if l.Remote.IsValid() {
		remote = l.Remote.Unmap().WithZone("").String()
	}
	b := make([]byte, 0, len(p.service)+len(user)+len(password)+len(remote)+4)
	for _, s := range []string{p.service, user, password, remote} {
		b = append(append(b, s...), 0)
	}
	return b, nil
}
