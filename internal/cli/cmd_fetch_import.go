package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/internal/fetch/rcfile"
	"github.com/postwain/postwain/internal/progress"
)

const fetchImportHelp = `postwain fetch import FILE [--passwords DIR]

Reads the settings of another fetcher, a ~/.fetchmailrc or an rc file of getmail,
and prints the [[fetch]] sections that say the same. What cannot be said is told
in comments at the beginning. FILE may be -, which is standard input.

Passwords are not printed. --passwords DIR writes them to the files that the
sections name, below DIR, which is where the new configuration will be; files
that are there already stay as they are.

  postwain fetch import ~/.fetchmailrc > postwain.toml
  postwain fetch import ~/.config/getmail/getmailrc --passwords . > postwain.toml
  postwain config check postwain.toml

Exit codes: 0 done, 1 failed, 2 wrong command line.
`

func (e Env) fetchImport() error {
	flags := newFlags()
	dir := ""
	flags.Func("passwords", "", func(value string) error {
		if value == "" {
			return errors.New("it is empty")
		}
		dir = value
		return nil
	})
	rest, err := e.parse(flags, fetchImportHelp)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usagef("write: postwain fetch import FILE")
	}
	var in io.Reader = e.Stdin
	if rest[0] != "-" {
		f, err := os.Open(rest[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	entries, notes, err := rcfile.Parse(rest[0], in)
	if err != nil {
		return escaped(err)
	}
	secrets, err := rcfile.Write(e.Stdout, entries, notes)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Stderr, "%s", plural(len(entries), "mailbox", "mailboxes"))
	if len(notes) > 0 {
		fmt.Fprintf(e.Stderr, "; %s at the beginning", plural(len(notes), "remark", "remarks"))
	}
	fmt.Fprintln(e.Stderr)
	return e.keepPasswords(dir, secrets)
}

// keepPasswords writes passwords to their files below dir, or says where they
// belong if there is no dir.
func (e Env) keepPasswords(dir string, secrets []rcfile.Secret) error {
	var wrong []error
	for _, s := range secrets {
		if dir == "" {
			fmt.Fprintf(e.Stderr, "a password belongs into %s; --passwords DIR writes it there\n", progress.Escape(s.File))
			continue
		}
		if err := writePassword(filepath.Join(dir, filepath.FromSlash(s.File)), s.Value); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

func writePassword(file string, password rcfile.Clear) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	text := []byte(password) // its String method tells nothing
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}
