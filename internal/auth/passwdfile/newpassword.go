package passwdfile

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/postwain/postwain/sasl"
)

// NewSchemes returns the schemes that AddAs and SetPasswordAs can write, by
// their names in any case. The first is the one that "" stands for, from which
// nobody can learn the password, and no mechanism but those that send it can
// sign in. The others serve their mechanisms too: SCRAM-SHA-256 its own, PLAIN
// all, CRAM-MD5 its own; who reads a file with the last two can sign in.
func NewSchemes() []string {
	return []string{"ARGON2ID", "SCRAM-SHA-256", "PLAIN", "CRAM-MD5"}
}

// newField makes the field of the file for a password that a mail program can
// send.
func newField(password, scheme string) (string, error) {
	field, err := "", checkPassword(password)
	if err == nil {
		field, err = encodePassword(sasl.PreparePassword(password), capitals(scheme))
	}
	if err != nil {
		return "", fmt.Errorf("passwdfile: %w", err)
	}
	return field, nil
}

// checkPassword says in plain words what a new password may not be.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case len(password) > sasl.MaxPassword:
		return fmt.Errorf("the password is longer than %d octets", sasl.MaxPassword)
	case strings.ContainsAny(password, "\r\n\x00"):
		return errors.New("the password has a line end or a NUL in it")
	}
	return nil
}

func encodePassword(password, scheme string) (string, error) {
	switch scheme {
	case "", "ARGON2ID":
		return newArgon(password).String(), nil
	case "SCRAM-SHA-256":
		keys, err := sasl.NewSCRAMKeys(sasl.SCRAMSHA256, password, nil, 0)
		return "{SCRAM-SHA-256}" + keys.Encode(), err
	case "PLAIN":
		if strings.Contains(password, ":") { // where the field would end
			return "{PLAIN.B64}" + base64.StdEncoding.EncodeToString([]byte(password)), nil
		}
		return "{PLAIN}" + password, nil
	case "CRAM-MD5":
		return "{CRAM-MD5}" + hex.EncodeToString(sasl.CRAMMD5Keys(password)), nil
	}
	return "", fmt.Errorf("no such scheme for new passwords: there are %s", strings.Join(NewSchemes(), ", "))
}
