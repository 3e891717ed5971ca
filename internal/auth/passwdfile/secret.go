package passwdfile

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// served is a scheme of which Secret has secrets.
type served struct {
	scheme     string
	users      int
	iterations int // that most of them have; 0: they have none
}

// serves is the scheme under which Secret gives what is stored of u, or "".
func (u *user) serves() (scheme string, iterations int) {
	if u.secret == nil || u.noLogin {
		return "", 0
	}
	switch s := u.secret.(type) {
	case plain:
		return "PLAIN", 0
	case cram:
		return "CRAM-MD5", 0
	case *scram:
		return s.hash.String(), s.Iterations()
	}
	return "", 0
}

// serve lists what the users serve, one of each scheme, and counts those who
// can sign in at all.
func (t *table) serve() (list []served, signers int) {
	type kind struct {
		scheme     string
		iterations int
	}
	kinds := map[kind]int{}
	for _, u := range t.users {
		if u.secret != nil && !u.noLogin {
			signers++
		}
		if scheme, n := u.serves(); scheme != "" {
			kinds[kind{scheme, n}]++
		}
	}
	for k, users := range kinds {
		list = append(list, served{k.scheme, users, k.iterations})
	}
	slices.SortFunc(list, func(a, b served) int {
		return cmp.Or(strings.Compare(a.scheme, b.scheme), b.users-a.users, b.iterations-a.iterations)
	})
	unique := list[:0]
	for _, s := range list {
		if last := len(unique) - 1; last >= 0 && unique[last].scheme == s.scheme {
			unique[last].users += s.users
			continue
		}
		unique = append(unique, s)
	}
	return unique, signers
}

// Schemes returns those for which Secret has a secret of anybody at all, in
// alphabetical order: what mechanisms it makes sense to offer. It costs a look
// at the file once a second.
func (f *File) Schemes() []string {
	var names []string
	for _, s := range f.current().served {
		names = append(names, s.scheme)
	}
	return names
}

// ServesAll reports whether everybody who can sign in has a secret under one of
// schemes, and there is somebody. A mechanism that only some can use keeps the
// others out if their program prefers it. It costs what Schemes does.
func (f *File) ServesAll(schemes ...string) bool {
	t := f.current()
	users := 0
	for _, s := range t.served {
		if slices.Contains(schemes, s.scheme) {
			users += s.users
		}
	}
	return users > 0 && users == t.signers
}

// Iterations returns how many most of the secrets of a scheme of SCRAM have, of
// equals the more, so that others can be told the same ([sasl.SCRAMOptions]).
// Zero: there are none.
func (f *File) Iterations(scheme string) int {
	for _, s := range f.current().served {
		if s.scheme == scheme {
			return s.iterations
		}
	}
	return 0
}

// Secret implements [sasl.SecretSource]: for "PLAIN" the password itself where
// it is stored so, for "CRAM-MD5", "SCRAM-SHA-1" and "SCRAM-SHA-256" what
// Dovecot stores under that scheme.
func (f *File) Secret(ctx context.Context, name, scheme string) (account string, value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	u := f.fresh().find(name)
	if u == nil {
		return "", nil, errRefused
	}
	if has, _ := u.serves(); has == "" || has != scheme {
		return "", nil, errRefused
	}
	return u.account, []byte(u.value), nil
}
