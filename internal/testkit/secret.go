package testkit

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Leak returns the form in which secret is in text, or an empty string if it is
// not there: as it is, in hexadecimal digits, base32 or base64 at any place of a
// longer text, as in URLs, in UTF-16, quoted, as decimal octets, or backwards.
// Letters of either case count. secret should have eight octets or more.
func Leak(text, secret string) string {
	text = strings.ToLower(text)
	for name, form := range forms(secret) {
		if form != "" && strings.Contains(text, strings.ToLower(form)) {
			return name
		}
	}
	return ""
}

func forms(secret string) map[string]string {
	octets := []byte(secret)
	backwards := slices.Clone(octets)
	slices.Reverse(backwards)
	var little, big, escaped strings.Builder
	for _, unit := range utf16.Encode([]rune(secret)) {
		little.Write([]byte{byte(unit), byte(unit >> 8)})
		big.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	for _, c := range octets {
		fmt.Fprintf(&escaped, "%%%02x", c)
	}
	all := map[string]string{
		"raw":                 secret,
		"backwards":           string(backwards),
		"hexadecimal":         hex.EncodeToString(octets),
		"hexadecimal, spaced": fmt.Sprintf("% x", octets),
		"decimal":             strings.Trim(fmt.Sprint(octets), "[]"),
		"URL":                 url.QueryEscape(secret),
		"URL, all escaped":    escaped.String(),
		"quoted":              strings.Trim(strconv.QuoteToASCII(secret), `"`),
		"UTF-16LE":            little.String(),
		"UTF-16BE":            big.String(),
		"UTF-16LE in base64":  inner(base64.StdEncoding.EncodeToString([]byte(little.String())), 0, 4),
		"base32":              inner(base32.StdEncoding.EncodeToString(octets), 0, 8),
	}
	for shift := range 3 { // octets may stand before it
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), octets...))
		all[fmt.Sprintf("base64, %d octets behind", shift)] = inner(text, shift, 4)
		all[fmt.Sprintf("URL's base64, %d octets behind", shift)] = strings.NewReplacer("+", "-", "/", "_").Replace(inner(text, shift, 4))
	}
	return all
}

// inner is the part of an encoded text that does not depend on what stands
// around: without the first group if octets were put before, and without the
// last one.
func inner(text string, shift, group int) string {
	if shift > 0 {
		text = text[group:]
	}
	return text[:max(0, len(text)-group)]
}
