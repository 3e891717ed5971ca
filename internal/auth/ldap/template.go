package ldap

import (
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// template is a filter or a DN with places for a name: at odd places one of the
// letters u, n and d, at even ones text.
type template []string

func parseTemplate(text string) (template, error) {
	t := template{""}
	for i := 0; i < len(text); i++ {
		last := len(t) - 1
		if text[i] != '%' {
			t[last] += text[i : i+1]
			continue
		}
		i++
		switch {
		case i < len(text) && text[i] == '%':
			t[last] += "%"
		case i < len(text) && strings.IndexByte("und", text[i]) >= 0:
			t = append(t, text[i:i+1], "")
		default:
			return nil, fmt.Errorf("ldap: %q: only %%u, %%n, %%d and %%%% are known", text)
		}
	}
	if len(t) == 1 {
		return nil, fmt.Errorf("ldap: %q has no %%u, %%n or %%d: it would be the same for all names", text)
	}
	return t, nil
}

// expand puts a name in; what it puts in is not looked at for signs again. ok is
// false if a part of the name that is asked for is empty: a search for nothing,
// or a DN of nothing, could match what was not meant.
func (t template) expand(name string, escape func(string) string) (text string, ok bool) {
	local, domain := name, ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	var b strings.Builder
	for i, part := range t {
		if i%2 == 0 {
			b.WriteString(part)
			continue
		}
		value := map[string]string{"u": name, "n": local, "d": domain}[part]
		if value == "" {
			return "", false
		}
		b.WriteString(escape(value))
	}
	return b.String(), true
}

// strange is a name that would be more than a value wherever it is not escaped
// for the place where it stands.
const strange = `a)(b=*+c="x",d=\@example)(e=,f=+g`

// parseFilter reads a template of a filter, and makes sure that names stand
// where values do.
func parseFilter(text string) (template, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	before := ""
	for i, part := range t {
		item := before[strings.LastIndexByte(before, '(')+1:]
		if i%2 == 1 && strings.IndexByte(item, '=') < 0 {
			return nil, fmt.Errorf("ldap: filter %q: names can only stand for values", text)
		}
		before += part
	}
	for _, name := range []string{"name@example", strange} {
		filter, _ := t.expand(name, ldap.EscapeFilter)
		if _, err := ldap.CompileFilter(filter); err != nil {
			return nil, fmt.Errorf("ldap: filter %q with names for values: %w", text, err)
		}
	}
	return t, nil
}

// parseDN reads a template of a DN, and makes sure that names stand where
// values do.
func parseDN(text string) (template, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	shape := ""
	for _, name := range []string{"name@example", strange} {
		dn, _ := t.expand(name, ldap.EscapeDN)
		parsed, err := ldap.ParseDN(dn)
		if err != nil {
			return nil, fmt.Errorf("ldap: DN %q with names for values: %w", text, err)
		}
		types := ""
		for _, rdn := range parsed.RDNs {
			for _, a := range rdn.Attributes {
				types += "+" + a.Type
			}
			types += ","
		}
		if shape != "" && types != shape {
			return nil, fmt.Errorf("ldap: DN %q: names can only stand for values", text)
		}
		shape = types
	}
	return t, nil
}
