package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/postwain/postwain/sasl"
)

// Masters are users who may sign in to the accounts of others by a name and
// password of their own: to alice's as alice*admin. It takes a mechanism that
// gives the password itself, such as PLAIN.
type Masters struct {
	// Source has their passwords. Its accounts have no mail: a user of the
	// same name is somebody else.
	Source Source
	// Separator stands between the account and the master user: a printable
	// ASCII character that is neither letter nor digit. Zero: '*'. With
	// masters, nobody's own name can have it in its midst.
	Separator byte
	// Networks are those from which masters may sign in. Nil: all.
	Networks []netip.Prefix
}

// check fills what is zero and returns networks in their plain form.
func (m Masters) check(accounts Source) (Masters, error) {
	if m.Separator == 0 {
		m.Separator = '*'
	}
	switch c := m.Separator; {
	case m.Source.Authenticator == nil:
		return m, errors.New("auth: the source of master users knows no passwords")
	case accounts.Authenticator == nil || accounts.Looker == nil:
		return m, errors.New("auth: master users need an account source that knows names and passwords")
	case c <= ' ' || c > '~' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
		return m, fmt.Errorf("auth: %q cannot stand between an account and a master user", c)
	}
	var nets []netip.Prefix
	for _, n := range m.Networks {
		n, err := plainNet(n)
		if err != nil {
			return m, fmt.Errorf("auth: networks of master users: %w", err)
		}
		nets = append(nets, n)
	}
	if m.Networks != nil && nets == nil {
		nets = []netip.Prefix{} // none at all
	}
	m.Networks = nets
	return m, nil
}

// masters is an Authenticator for accounts that masters may sign in to. It
// lies behind the throttle and the cache, so that what they do is the same for
// all.
type masters struct {
	Masters
	accounts Source
	inner    sasl.Authenticator // of those who sign in as themselves
}

// split gives the parts of a canonical name, if it has them.
func (m *masters) split(name string) (user, master string, ok bool) {
	if m == nil {
		return "", "", false
	}
	i := strings.LastIndexByte(name, m.Separator)
	if i <= 0 || i == len(name)-1 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// Authenticate judges the master before it looks at the account or at where
// they are, so that nobody else learns of them.
func (m *masters) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	user, master, ok := m.split(l.User)
	if !ok {
		return m.inner.Authenticate(ctx, l)
	}
	l.User = master
	if _, err := m.Source.Authenticator.Authenticate(ctx, l); err != nil {
		return "", err
	}
	if m.Networks != nil && !within(m.Networks, l.Remote) {
		return "", errRefused
	}
	if err := m.Source.Admit(ctx, master, l.Remote); err != nil {
		return "", err
	}
	account, err := m.accounts.Looker.Lookup(ctx, user)
	switch {
	case errors.Is(err, sasl.ErrNoUser):
		return "", errRefused
	case err == nil && account == "":
		return "", errNameless
	}
	return account, err
}

// guessed tells whose password is guessed at.
func (m *masters) guessed(name string) (kind, guessed string) {
	if _, master, ok := m.split(name); ok {
		return "master", master
	}
	return "", name
}

// version changes when what is known of the account or of the master does.
func (m *masters) version(name string) uint64 {
	var v uint64
	user, master, ok := m.split(name)
	if !ok {
		user = name
	}
	if ok && m.Source.Version != nil {
		v = m.Source.Version(master) * 0x9E3779B97F4A7C15 // odd: nothing is lost
	}
	if m.accounts.Version != nil {
		v += m.accounts.Version(user)
	}
	return v
}
