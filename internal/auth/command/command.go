// Package command is the account source that is a program with the interface
// of checkpassword, which qmail's, vpopmail's (vchkpw) and those written for
// Dovecot have (https://cr.yp.to/checkpwd/interface.html).
//
// The program reads on descriptor 3
//
//	user NUL password NUL timestamp NUL
//
// and ends with 1 if the two do not belong together. If they do, it runs the
// program that its arguments name. Here that is true(1), which is put behind
// the arguments that the operator gives, so exit code 0 says that the password
// is right. The account is the name that was asked for, in its canonical
// spelling. What the program sets in the environment of that other one, such as
// USER and HOME, counts for nothing: many such programs take on the user's
// identity before, and then it would be for the user to say who they are.
//
// The timestamp, the challenge of APOP, is another one each time that no client
// gets to see, since there are programs that would take an APOP response for a
// password.
package command

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/postwain/postwain/sasl"
)

// maxInput is how much such a program reads, in octets.
const maxInput = 512

// Options says which program is run, and how often. Argv must be set.
type Options struct {
	// Argv is the program and its arguments. Without a separator in it the
	// program is looked up in PATH, once. No shell is run.
	Argv []string
	// Env, entries NAME=value, is added to PATH, LANG, LC_ALL and TZ of this
	// process, the rest of whose environment is not handed on, and to
	// PROTO=TCP, SERVICE=pop3 and TCPLOCALPORT=110, which it may replace.
	// (vchkpw would judge by its rules for sending mail without the last.)
	// TCPREMOTEIP is the client's address, if it has one.
	Env []string
	// Dir is where it runs. Empty: where this process does.
	Dir string
	// Refused are the exit codes that say that the name or the password is
	// wrong. Empty: 1, and 3, with which vchkpw says so, and programs for
	// Dovecot that there is no such user. All others but 0 are an outage, 2
	// (wrongly used) and 111 (temporary trouble) among them.
	Refused []int
	Limits
}

// Command asks a program. It may be used by many goroutines. It is a
// [sasl.Authenticator] and nothing else: who asks such a program needs the
// password.
type Command struct{ runner *Runner }

var (
	errRefused = fmt.Errorf("command: %w", sasl.ErrRefused)
	errMisused = errors.New("exit code 2: the program says that it is wrongly used; see whether its arguments are right")
)

// New returns the source that runs a program. It fails if there is none, or if
// there is no true(1) on this machine.
func New(o Options) (*Command, error) {
	if len(o.Argv) == 0 {
		return nil, errors.New("command: no program to run")
	}
	then, err := exec.LookPath("true")
	if err != nil {
		return nil, fmt.Errorf("command: the program to run after the one that checks passwords: %w", err)
	}
	if len(o.Refused) == 0 {
		o.Refused = []int{1, 3}
	}
	r, err := NewRunner(Program{
		Argv:    append(slices.Clone(o.Argv), then),
		Env:     append([]string{"PROTO=TCP", "SERVICE=pop3", "TCPLOCALPORT=110"}, o.Env...),
		Dir:     o.Dir,
		Refused: o.Refused,
	}, o.Limits)
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return &Command{r}, nil
}

// Authenticate implements [sasl.Authenticator]. A name and a password that do
// not fit into what such a program reads, or that have a NUL in them, are
// refused.
func (c *Command) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	q := Question{Secret: sasl.PreparePassword(l.Password)}
	account, err = sasl.PrepareUser(l.User)
	if err == nil {
		q.Input, err = request(account, q.Secret)
	}
	if err != nil { // nobody has such a name or password: no need to look busy
		return "", errRefused
	}
	if l.Remote.IsValid() {
		q.Env = []string{"TCPREMOTEIP=" + l.Remote.Unmap().WithZone("").String()}
	}
	_, err = c.runner.Run(ctx, q)
	if err != nil {
		return "", c.explain(err)
	}
	return account, nil
}

// explain makes of a runner's error the source's.
func (c *Command) explain(err error) error {
	var code ExitError
	switch {
	case errors.Is(err, sasl.ErrRefused):
		return errRefused
	case errors.As(err, &code) && code.Code == 2:
		err = fmt.Errorf("%w%s", errMisused, code.Said)
	}
	return fmt.Errorf("command: %s: %w", c.runner.program.Argv[0], err)
}

// request is what the program reads.
func request(user, password string) ([]byte, error) {
	var stamp [8]byte
	rand.Read(stamp[:]) // never fails
	b := make([]byte, 0, maxInput)
	for _, s := range []string{user, password, hex.EncodeToString(stamp[:])} {
		if s == "" || strings.IndexByte(s, 0) >= 0 || len(b)+len(s)+1 > maxInput {
			return nil, sasl.ErrRefused
		}
		b = append(append(b, s...), 0)
	}
	return b, nil
}
