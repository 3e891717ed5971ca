package apppassword

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/auth/linefile"
	"github.com/postwain/postwain/sasl"
)

// Errors of the editing functions.
var (
	// ErrExists says that the account has a password for that device already.
	ErrExists = errors.New("the account has an app password for a device of this name already")
	// ErrNone says that there is no such password.
	ErrNone = errors.New("the account has no such app password")
	// ErrBusy says that somebody else has been editing the file for a while.
	ErrBusy = linefile.ErrBusy
)

// Password is what is known of an app password. Nobody can learn it again.
type Password struct {
	Account, Device string
	Made            time.Time // to the second
	Used            time.Time // about the last use, to the hour; zero: none
	From            netip.Addr
}

// Add makes a password for an account's device in the file path, which is made
// with mode 0600 if it is not there, and returns it to be shown once. device is
// a name that its owner knows it by, at most 64 octets. Whether there is such
// an account is not looked at. It returns ErrExists if the device has one, and
// an error if the account has 32.
//
// All edits keep comments, order, owner and mode, and replace the file in one
// durable step, one edit at a time. They refuse a file that Open would refuse.
func Add(path, account, device string) (secret string, err error) {
	if err := checkDevice(device); err != nil {
		return "", fmt.Errorf("apppassword: %w", err)
	}
	word := newWord()
	err = edit(path, account, func(t *table, name string, lines []string) ([]string, error) {
		a := t.accounts[name]
		switch {
		case a.device(device) != nil:
			return nil, ErrExists
		case a != nil && len(a.passwords) == maxDevices:
			return nil, errTooMany
		}
		p := password{account: name, device: device, hash: hashed(name, word), made: time.Now()}
		return append(lines, p.entry()), nil
	})
	if err != nil {
		return "", err
	}
	return shown(word), nil
}

// Remove revokes the password of an account's device in the file path, or
// returns ErrNone.
func Remove(path, account, device string) error {
	return edit(path, account, func(t *table, name string, lines []string) ([]string, error) {
		p := t.accounts[name].device(device)
		if p == nil {
			return nil, ErrNone
		}
		return slices.Delete(lines, p.line-1, p.line), nil
	})
}

// RemoveAll revokes all of an account's passwords in the file path, and takes
// away the mark that it has no others. It returns ErrNone if there is neither.
func RemoveAll(path, account string) error {
	return edit(path, account, func(t *table, name string, lines []string) ([]string, error) {
		a := t.accounts[name]
		if a == nil {
			return nil, ErrNone
		}
		return without(lines, a, true), nil
	})
}

// SetOnly says whether an account takes app passwords only.
func SetOnly(path, account string, only bool) error {
	return edit(path, account, func(t *table, name string, lines []string) ([]string, error) {
		a := t.accounts[name]
		switch has := a != nil && len(a.marks) > 0; {
		case only && !has:
			lines = append(lines, name+":"+onlyMark)
		case !only && has:
			lines = without(lines, a, false)
		}
		return lines, nil
	})
}

// without gives the lines without an account's marks, and without its
// passwords where all is true.
func without(lines []string, a *account, all bool) []string {
	drop := map[int]bool{}
	for _, n := range a.marks {
		drop[n] = true
	}
	if all {
		for _, p := range a.passwords {
			drop[p.line] = true
		}
	}
	var left []string
	for i, line := range lines {
		if !drop[i+1] {
			left = append(left, line)
		}
	}
	return left
}

// List returns the passwords of an account in the file path, in their order
// there; of all if account is empty. Uses that cannot be read are none.
func List(path, account string) ([]Password, error) {
	t, err := readTable(path)
	if err != nil {
		return nil, err
	}
	if account != "" {
		if account, err = checkName(account); err != nil {
			return nil, err
		}
	}
	last, _, _ := readUses(path + usedSuffix)
	var list []Password
	for _, p := range t.order {
		if account == "" || p.account == account {
			u := p.use(last)
			list = append(list, Password{p.account, p.device, p.made, u.at, u.from})
		}
	}
	return list, nil
}

// Only returns the accounts of the file path that take app passwords only, in
// the order of the alphabet.
func Only(path string) ([]string, error) {
	t, err := readTable(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, a := range t.accounts {
		if len(a.marks) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func readTable(path string) (*table, error) {
	text, _, err := linefile.Read(path, maxFile)
	var t *table
	if err == nil {
		t, err = parse(path, text, maphash.MakeSeed())
	}
	if err != nil {
		return nil, fmt.Errorf("apppassword: %w", err)
	}
	return t, nil
}

// checkName gives the canonical spelling of a name that can stand in the file.
func checkName(name string) (string, error) {
	account, err := sasl.PrepareUser(name)
	if err != nil || strings.ContainsAny(account, ":\r\n\t\x00") || account[0] == '#' {
		return "", errors.New("apppassword: this name cannot be an account")
	}
	return account, nil
}

// edit replaces the lines of a file, under its lock.
func edit(path, account string, change func(t *table, name string, lines []string) ([]string, error)) error {
	name, err := checkName(account)
	if err != nil {
		return err
	}
	err = editLocked(path, func(t *table, lines []string) ([]string, error) { return change(t, name, lines) })
	if err != nil {
		return fmt.Errorf("apppassword: %s: %w", path, err)
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
