package lmtp

// Names gives the names of accounts that mail for address may belong to, in
// the order in which they should be tried. Hostname is the server's own name.
//
// For the mailbox local+detail@domain they are, as Postfix looks names up:
//
//	local+detail@domain
//	local@domain
//	local+detail         if the domain is hostname, or there is none
//	local                likewise
//
// each as it is written and then, if that differs, with the ASCII letters of
// its local part in lower case, so that mail for Postmaster or John arrives. The
// domain is always taken in lower case; labels outside ASCII stay as they
// are, so an account in an internationalized domain is named in the form that
// the mail transfer agent uses. A mailbox without a domain is taken to be at
// hostname. The quotes of a local part do not belong to it.
//
// There are no names for an address that is no mailbox, or whose local part is
// empty or has a control character, "@", "/" or "\".
func Names(address, hostname string) []string {
	n := scanLocal(address)
	if n == 0 || n > maxMailbox {
		return nil
	}
	local, rest := unquote(address[:n]), address[n:]
	hostname = lowerASCII(hostname)
	domain := hostname
	if rest != "" {
		if rest[0] != '@' || rest == "@" || scanDomain(rest[1:]) != len(rest)-1 {
			return nil
		}
		domain = lowerASCII(rest[1:])
	}
	if _, ok := checkText(address); !ok || !isNamePart(local) {
		return nil
	}
	locals := make([]string, 0, 4)
	locals = appendCases(locals, local)
	if base := withoutDetail(local); base != local {
		locals = appendCases(locals, base)
	}
	names := make([]string, 0, 2*len(locals))
	if domain != "" {
		for _, l := range locals {
			names = append(names, l+"@"+domain)
		}
	}
	if domain == hostname {
		names = append(names, locals...)
	}
	return names
}

// appendCases appends local, and its lower case if that differs.
func appendCases(to []string, local string) []string {
	to = append(to, local)
	if lower := lowerASCII(local); lower != local {
		to = append(to, lower)
	}
	return to
}

// withoutDetail cuts local at its first "+", unless nothing would be left.
func withoutDetail(local string) string {
	for i := 1; i < len(local); i++ {
		if local[i] == '+' {
			return local[:i]
		}
	}
	return local
}

// unquote gives the octets that a local part stands for (RFC 5321 §4.1.2).
func unquote(local string) string {
	if local[0] != '"' {
		return local
	}
	out := make([]byte, 0, len(local))
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' {
			i++
		}
		out = append(out, local[i])
	}
	return string(out)
}

func isNamePart(local string) bool {
	for i := range len(local) {
		switch c := local[i]; {
		case c < ' ', c == 0x7F, c == '@', c == '/', c == '\\':
			return false
		}
	}
	return local != ""
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
