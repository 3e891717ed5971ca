package apppassword

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postwain/postwain/sasl"
)

// Limits of a file.
const (
	maxFile    = 64 << 20
	maxLine    = 1 << 10
	maxDevices = 32 // of an account
	maxDevice  = 64 // octets of its name
)

// onlyMark is the field of an account that takes no other passwords.
const onlyMark = "{ONLY}"

// table is a file that was read. It is never changed.
type table struct {
	accounts map[string]*account
	order    []*password // as in the file
}

type account struct {
	passwords []*password
	marks     []int // the lines that say that it takes no others
	version   uint64
}

// password is one line.
type password struct {
	account, device string
	hash            hash
	made            time.Time
	line            int
}

// parse reads a file named path, for errors.
func parse(path, text string, seed maphash.Seed) (*table, error) {
	t := &table{accounts: map[string]*account{}}
	for number := 1; text != ""; number++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		line = strings.TrimSuffix(line, "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := t.parseLine(line, number, seed); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	return t, nil
}

func (t *table) parseLine(line string, number int, seed maphash.Seed) error {
	name, fields, ok := strings.Cut(line, ":")
	if !ok || len(line) > maxLine {
		return errors.New("no line of the form account:{SHA256}hash:time:device")
	}
	name, err := sasl.PrepareUser(name)
	if err != nil {
		return errors.New("this name cannot be an account")
	}
	a := t.accounts[name]
	if a == nil {
		a = &account{}
		t.accounts[name] = a
	}
	a.version = a.version*31 + maphash.String(seed, line)
	if fields == onlyMark {
		a.marks = append(a.marks, number)
		return nil
	}
	p, err := parsePassword(fields)
	if err != nil {
		return err
	}
	p.account, p.line = name, number
	if a.device(p.device) != nil {
		return fmt.Errorf("%q has a password for the device %q already", name, p.device)
	}
	if len(a.passwords) == maxDevices {
		return errTooMany
	}
	a.passwords = append(a.passwords, p)
	t.order = append(t.order, p)
	return nil
}

var errTooMany = fmt.Errorf("the account has more than %d app passwords", maxDevices)

// parsePassword reads what stands behind the account.
func parsePassword(fields string) (*password, error) {
	part := strings.SplitN(fields, ":", 2)
	p := &password{}
	var err error
	if p.hash, err = parseHash(part[0]); err != nil {
		return nil, err
	}
	const stamp = len("2006-01-02T15:04:05Z")
	if len(part) < 2 || len(part[1]) < stamp+2 || part[1][stamp] != ':' {
		return nil, errors.New("no time and device behind the hash")
	}
	if p.made, err = time.Parse(time.RFC3339, part[1][:stamp]); err != nil {
		return nil, errors.New("the time is not of the form 2006-01-02T15:04:05Z")
	}
	p.device = part[1][stamp+1:]
	return p, checkDevice(p.device)
}

// entry is the line of the file.
func (p *password) entry() string {
	return p.account + ":" + p.hash.String() + ":" + p.made.UTC().Format(time.RFC3339) + ":" + p.device
}

// checkDevice says in plain words what the name of a device may not be.
func checkDevice(name string) error {
	switch {
	case name == "":
		return errors.New("the device has no name")
	case len(name) > maxDevice:
		return fmt.Errorf("the name of the device is longer than %d octets", maxDevice)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the name of the device has signs in it that cannot be shown")
	case name[0] == ' ' || name[len(name)-1] == ' ':
		return errors.New("the name of the device begins or ends with a space")
	}
	return nil
}

// device gives the password for a device, or nil.
func (a *account) device(name string) *password {
	if a != nil {
		for _, p := range a.passwords {
			if p.device == name {
				return p
			}
		}
	}
	return nil
}
