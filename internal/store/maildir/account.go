package maildir

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postwain/postwain/maildrop"
)

// maxPart is the longest name of a directory that a template may give.
const maxPart = 255

// template turns the name of an account into the path of its Maildir below the
// root of the store: one element for each directory.
type template []string

// parseTemplate splits a path such as "%d/%n/Maildir". Each part may hold %u
// (the whole name), %n (what is before the last @), %d (what is behind it) and
// %% (a percent sign).
func parseTemplate(s string) (template, error) {
	parts := strings.Split(s, "/")
	for _, part := range parts {
		if part == "" || part == "." || part == ".." || len(part) > maxPart {
			return nil, fmt.Errorf("maildir: %q is no path below the mail root", s)
		}
		for i := 0; i < len(part); i++ {
			if part[i] != '%' {
				continue
			}
			if i++; i == len(part) || strings.IndexByte("und%", part[i]) < 0 {
				return nil, fmt.Errorf("maildir: %q: only %%u, %%n, %%d and %%%% are known", s)
			}
		}
	}
	return parts, nil
}

// path gives the directories of account. It returns an error that wraps
// maildrop.ErrNoDrop for a name that cannot have any: no name that passes can
// lead out of the root, or to a hidden file.
func (t template) path(account string) ([]string, error) {
	if !safeName(account) {
		return nil, fmt.Errorf("maildir: account name is not usable as a path: %w", maildrop.ErrNoDrop)
	}
	local, domain := account, ""
	if at := strings.LastIndexByte(account, '@'); at >= 0 {
		local, domain = account[:at], account[at+1:]
	}
	path := make([]string, len(t))
	for i, part := range t {
		name, ok := expand(part, account, local, domain)
		if !ok || name[0] == '.' || name[len(name)-1] == '.' || len(name) > maxPart {
			return nil, fmt.Errorf("maildir: account name does not fit the mail path: %w", maildrop.ErrNoDrop)
		}
		path[i] = name
	}
	return path, nil
}

// expand fills one part of a template in; ok is false if something that it
// asks for is empty, so that two accounts cannot meet in one directory.
func expand(part, account, local, domain string) (name string, ok bool) {
	if strings.IndexByte(part, '%') < 0 {
		return part, true
	}
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] != '%' {
			b.WriteByte(part[i])
			continue
		}
		i++
		value := "%"
		switch part[i] {
		case 'u':
			value = account
		case 'n':
			value = local
		case 'd':
			value = domain
		}
		if value == "" {
			return "", false
		}
		b.WriteString(value)
	}
	return b.String(), true
}

// safeName is the allow-list: letters, digits and marks of any script and some
// signs that mean nothing to a file system.
func safeName(account string) bool {
	if account == "" || !utf8.ValidString(account) || strings.Contains(account, "..") {
		return false
	}
	for _, r := range account {
		if strings.ContainsRune("@._+-=~'&!#", r) {
			continue
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			return false
		}
	}
	return true
}
