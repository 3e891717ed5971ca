package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/daemon"
)

const userHelp = `postwain user add NAME [--password-file F] [--scheme S]
postwain user passwd NAME [--password-file F] [--scheme S]
postwain user remove NAME
postwain user list
postwain user app-password add|remove NAME DEVICE
postwain user app-password list [NAME]
postwain user app-password only NAME on|off

Changes who may sign in. A running server notices by itself, within a second or
two; sessions go on to their end. The mail of an account that is removed stays
where it is.

The password is asked for at a terminal, or is the first line of F; F may be -,
which is standard input. It is stored as a hash from which nobody can learn it
(ARGON2ID), and which serves the mechanisms that send the password. Others need
another --scheme: SCRAM-SHA-256 serves SCRAM-SHA-256 as well; PLAIN, the password
itself, serves all; CRAM-MD5 serves CRAM-MD5 as well. Whoever can read a file
with the last two can sign in.

An app password is for one device: it is made and shown once, counts beside the
account's own (with "only NAME on", instead of it), and is revoked alone.

The accounts are those of postwain serve with the same --config FILE or
--data DIR.

  postwain user add alice@example.org --config /etc/postwain/postwain.toml
  echo "$PASSWORD" | postwain user passwd bob --password-file -
  postwain user passwd carol --scheme SCRAM-SHA-256
  postwain user list
  postwain user app-password add bob "Bob's telephone"

Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.
`

// maxPasswordFile bounds what is read for one line.
const maxPasswordFile = 64 << 10

func (e Env) user() error {
	flags := newFlags()
	file, data := place(flags)
	from := flags.String("password-file", "", "")
	scheme := flags.String("scheme", "", "")
	rest, err := e.parse(flags, userHelp)
	if err != nil {
		return err
	}
	verb := "nothing"
	if len(rest) > 0 {
		verb, rest = rest[0], rest[1:]
	}
	switch verb {
	case "app-password":
		return e.appPassword(*file, *data, rest)
	case "list":
		if len(rest) > 0 {
			return usagef("user list takes no name")
		}
	case "add", "passwd", "remove":
		if len(rest) != 1 {
			return usagef("write: postwain user %s NAME", verb)
		}
	default:
		return usagef("user can add, passwd, list, remove and app-password, not %s", verb)
	}
	if *scheme != "" && verb != "add" && verb != "passwd" {
		return usagef("user %s takes no --scheme", verb)
	}
	path, mail, err := e.passwdFile(*file, *data)
	if err != nil {
		return err
	}
	if path == "" {
		return fmt.Errorf("%s has no passwd_file in [accounts]: its users are kept elsewhere", *file)
	}
	if verb == "add" && !strings.Contains(rest[0], "@") && strings.Contains(strings.ReplaceAll(mail, "%%", ""), "%d") {
		return fmt.Errorf("%s has no domain, and mail.path in %s needs one for %%d; write %[1]s@DOMAIN", rest[0], *file)
	}
	if verb == "list" {
		return e.listUsers(path)
	}
	return e.editUser(path, verb, rest[0], *from, *scheme)
}

// passwdFile is the file of accounts that serve would use, and mail the path
// of their mail.
func (e Env) passwdFile(file, data string) (path, mail string, err error) {
	if file != "" {
		c, err := config.Load(file)
		if err != nil {
			return "", "", err
		}
		return c.Accounts.PasswdFile, c.Mail.Path, nil
	}
	z, err := daemon.NewZero(data, e.Getenv)
	if err != nil {
		return "", "", err
	}
	return z.PasswdFile(), z.Config().Mail.Path, os.MkdirAll(z.Data, 0o700)
}

func (e Env) listUsers(path string) error {
	names, err := passwdfile.List(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := fmt.Fprintln(e.Stdout, name); err != nil {
			return err
		}
	}
	return nil
}

func (e Env) editUser(path, verb, name, from, scheme string) error {
	if verb == "remove" {
		return passwdfile.Remove(path, name)
	}
	password, err := e.password(from)
	if err != nil {
		return err
	}
	if verb == "add" {
		return passwdfile.AddAs(path, name, password, scheme)
	}
	return passwdfile.SetPasswordAs(path, name, password, scheme)
}

// password reads a new password from a file, from standard input, or from
// whoever sits at the terminal.
func (e Env) password(from string) (string, error) {
	if from == "" && term.IsTerminal(int(e.Stdin.Fd())) {
		return e.ask()
	}
	var in io.Reader = e.Stdin
	if from != "" && from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPasswordFile))
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", errors.New("the password is empty")
	}
	return string(line), nil
}

// ask reads a password twice, without showing it.
func (e Env) ask() (string, error) {
	read := func(prompt string) ([]byte, error) {
		fmt.Fprint(e.Stderr, prompt)
		defer fmt.Fprintln(e.Stderr)
		return term.ReadPassword(int(e.Stdin.Fd()))
	}
	first, err := read("New password: ")
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	second, err := read("Once more: ")
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	switch {
	case !bytes.Equal(first, second):
		return "", errors.New("the two passwords are not the same; nothing was changed")
	case len(first) == 0:
		return "", errors.New("the password is empty; nothing was changed")
	}
	return string(first), nil
}
