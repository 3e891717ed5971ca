package krb

import (
	"errors"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Bounds of a name, far above what anybody has.
const (
	maxComponents = 8
	maxNameOctets = 1 << 10
)

// Principal is a name in Kerberos (RFC 4120 §6.2). It is compared octet by
// octet: no two spellings are the same principal.
type Principal struct {
	Name  []string // "bob"; "pop", "mail.example.org"
	Realm string
}

// Service returns the principal of a service on a host. The name of the host
// is what the caller knows it by, with the letters A to Z in lower case: asking
// DNS for another would let DNS choose the server.
func Service(service, host, realm string) Principal {
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return Principal{Name: []string{service, strings.Map(lower, strings.TrimSuffix(host, "."))}, Realm: realm}
}

// ParsePrincipal reads name/name@REALM. There are no escapes: a name that needs
// them is refused. The realm may be missing.
func ParsePrincipal(s string) (Principal, error) {
	name, realm, found := strings.Cut(s, "@")
	p := Principal{Name: strings.Split(name, "/"), Realm: realm}
	if found && realm == "" || !wellFormed(p.Name, "x"+realm) {
		return Principal{}, errors.New("krb: " + quote(s) + " is not a principal, such as bob@EXAMPLE.ORG")
	}
	return p, nil
}

// wellFormed reports whether a name can be shown and compared as text without
// being taken for another: no part is empty, nor has it a separator, an escape
// or a control character.
func wellFormed(name []string, realm string) bool {
	if len(name) == 0 || len(name) > maxComponents {
		return false
	}
	total := 0
	for _, part := range append([]string{realm}, name...) {
		if part == "" || strings.ContainsFunc(part, unfit) {
			return false
		}
		total += len(part)
	}
	return total <= maxNameOctets && !strings.Contains(strings.Join(name, ""), "/")
}

func unfit(r rune) bool {
	return r < ' ' || r == 0x7F || r == '@' || r == '\\' || r == '\uFFFD'
}

// String gives name/name@REALM, without the realm if there is none.
func (p Principal) String() string {
	s := strings.Join(p.Name, "/")
	if p.Realm != "" {
		s += "@" + p.Realm
	}
	return s
}

// Equal reports whether p and q are the same principal.
func (p Principal) Equal(q Principal) bool {
	return p.Realm == q.Realm && slices.Equal(p.Name, q.Name)
}

// wire gives the name as the library has it. The type of a name is only a hint
// (RFC 4120 §6.2).
func (p Principal) wire() types.PrincipalName {
	kind := nametype.KRB_NT_PRINCIPAL
	switch {
	case len(p.Name) > 1 && p.Name[0] == "krbtgt":
		kind = nametype.KRB_NT_SRV_INST
	case len(p.Name) > 1:
		kind = nametype.KRB_NT_SRV_HST
	}
	return types.PrincipalName{NameType: int32(kind), NameString: p.Name}
}
