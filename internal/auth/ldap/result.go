package ldap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

// result is a result code of a server (RFC 4511 §4.1.9) other than success. The
// text that comes with it is left out: what a server says of a bind may repeat
// the password.
type result uint16

func (r result) Error() string {
	name, ok := ldap.LDAPResultCodeMap[uint16(r)]
	if !ok {
		name = "a result that nobody has registered"
	}
	return fmt.Sprintf("the server says: %s (%d)", name, uint16(r))
}

// resultOf makes a result of the library's error, where it is one. Its own
// codes, for what went wrong here or on the way, are above those of servers.
func resultOf(err error) error {
	var e *ldap.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return errBroken
	case e.ResultCode < ldap.ErrorNetwork:
		return result(e.ResultCode)
	case e.ResultCode == ldap.ErrorNetwork:
		return errBroken
	}
	return errors.New("the server's answer makes no sense")
}

// errBroken is an answer that did not come, or not whole.
var errBroken = errors.New("the connection broke")

// bind proves dn, which is not empty, by a password that is not empty.
func bind(c *ldap.Conn, dn, password string) error {
	if dn == "" {
		return errors.New("no DN to bind as")
	}
	return resultOf(c.Bind(dn, password))
}

// refuses reports whether err, of a bind as the user, says that the
// credentials are wrong or that the account may not be used. All else is an
// outage.
func refuses(err error, name string) bool {
	return is(err,
		ldap.LDAPResultInvalidCredentials,
		ldap.LDAPResultInappropriateAuthentication, // the entry has no password
		ldap.LDAPResultConstraintViolation,         // it is locked, for some servers
		ldap.LDAPResultInsufficientAccessRights,    // it may not bind
	) || absent(err, name)
}

// absent reports whether err says that there is no entry with the DN that was
// made of a name. A server finds a DN wrong too if a value is not in its
// attribute's syntax. No name of ASCII letters and digits is to blame for that,
// but the template.
func absent(err error, name string) bool {
	return is(err, ldap.LDAPResultNoSuchObject) || is(err, ldap.LDAPResultInvalidDNSyntax) && !plain(name)
}

func is(err error, codes ...uint16) bool {
	var r result
	return errors.As(err, &r) && slices.Contains(codes, uint16(r))
}

// plain reports whether a name fits every usual syntax.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '.' && c != '-' && c != '@' {
			return false
		}
	}
	return true
}

// elsewhere reports whether another server, or a new connection, may do better.
func elsewhere(err error) bool {
	var r result
	if errors.As(err, &r) {
		return is(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable)
	}
	return err != nil && !errors.Is(err, errAmbiguous)
}
