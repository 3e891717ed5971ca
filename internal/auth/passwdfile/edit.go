package passwdfile

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/postwain/postwain/internal/auth/linefile"
	"github.com/postwain/postwain/sasl"
)

// Errors of the editing functions, beside [sasl.ErrNoUser].
var (
	// ErrExists says that the account is in the file already.
	ErrExists = errors.New("the account exists already")
	// ErrBusy says that somebody else has been editing the file for a while.
	ErrBusy = linefile.ErrBusy
)

// Add adds an account to the file path, made with mode 0600 if it is not
// there. The name is written in its canonical spelling. It returns ErrExists if
// there is such an account.
//
// Add and SetPassword hash new passwords with Argon2id. All edits keep comments,
// order, owner and mode, and replace the file in one durable step, one edit at
// a time. They refuse a file that Open would refuse.
func Add(path, name, password string) error { return AddAs(path, name, password, "") }

// AddAs is Add with a scheme of NewSchemes for the password.
func AddAs(path, name, password, scheme string) error {
	account, err := checkName(name)
	if err != nil {
		return err
	}
	hash, err := newField(password, scheme)
	if err != nil {
		return err
	}
	return edit(path, func(t *table, lines []string) ([]string, error) {
		if t.users[account] != nil {
			return nil, ErrExists
		}
		return append(lines, account+":"+hash), nil
	})
}

// SetPassword gives an account of the file path another password. It returns
// an error that wraps [sasl.ErrNoUser] if there is no such account.
func SetPassword(path, name, password string) error { return SetPasswordAs(path, name, password, "") }

// SetPasswordAs is SetPassword with a scheme of NewSchemes, whichever the
// account has had.
func SetPasswordAs(path, name, password, scheme string) error {
	hash, err := newField(password, scheme)
	if err != nil {
		return err
	}
	return edit(path, func(t *table, lines []string) ([]string, error) {
		u := t.find(name)
		if u == nil {
			return nil, sasl.ErrNoUser
		}
		line := &lines[u.line-1]
		first, rest, _ := strings.Cut(*line, ":")
		_, behind, more := strings.Cut(rest, ":")
		if *line = first + ":" + hash; more {
			*line += ":" + behind
		}
		return lines, nil
	})
}

// Remove removes an account from the file path. It returns an error that wraps
// [sasl.ErrNoUser] if there is no such account.
func Remove(path, name string) error {
	return edit(path, func(t *table, lines []string) ([]string, error) {
		u := t.find(name)
		if u == nil {
			return nil, sasl.ErrNoUser
		}
		return append(lines[:u.line-1], lines[u.line:]...), nil
	})
}

// List returns the accounts of the file path in their order there.
func List(path string) ([]string, error) {
	text, _, err := linefile.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("passwdfile: %w", err)
	}
	t, err := parse(path, text, maphash.MakeSeed())
	if err != nil {
		return nil, fmt.Errorf("passwdfile: %w", err)
	}
	names := make([]string, 0, len(t.users))
	for u := range t.inOrder() {
		names = append(names, u.account)
	}
	return names, nil
}

// checkName says in plain words what a new name may not be.
func checkName(name string) (account string, err error) {
	switch {
	case name == "":
		err = errors.New("the name is empty")
	case len(name) > sasl.MaxUser:
		err = fmt.Errorf("the name is longer than %d octets", sasl.MaxUser)
	case strings.ContainsAny(name, ":\r\n\x00"):
		err = errors.New("the name has a colon, a line end or a NUL in it")
	case strings.HasPrefix(name, "#"):
		err = errors.New("the name begins with #, which makes its line a comment")
	}
	if err == nil {
		if account, err = sasl.PrepareUser(name); err == nil {
			// Full-width forms have become ASCII.
			if account != name {
				return checkName(account)
			}
			return account, nil
		}
		err = errors.New("the name has spaces or signs in it that names cannot have (RFC 8265 §3.3)")
	}
	return "", fmt.Errorf("passwdfile: %w", err)
}

// edit replaces the lines of a file, under its lock.
func edit(path string, change func(t *table, lines []string) ([]string, error)) error {
	if err := editLocked(path, change); err != nil {
		return fmt.Errorf("passwdfile: %s: %w", path, err)
	}
	return nil
}

func editLocked(path string, change func(t *table, lines []string) ([]string, error)) error {
	return linefile.Edit(path, maxFile, func(text string, lines []string) ([]string, error) {
		t, err := parse(path, text, maphash.MakeSeed())
		if err != nil {
			return nil, err
		}
		return change(t, lines)
	})
}
