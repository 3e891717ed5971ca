package testkit

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestLeak(t *testing.T) {
	t.Parallel()
	const secret = "canary+horse/Ω7"
	wide := func(s string) (out []byte) {
		for _, u := range utf16.Encode([]rune(s)) {
			out = append(out, byte(u), byte(u>>8))
		}
		return out
	}
	for name, text := range map[string]string{
		"raw":             "error: " + secret,
		"in capitals":     strings.ToUpper("error: canary+horse/Ω7"),
		"hexadecimal":     "x" + hex.EncodeToString([]byte("pass "+secret+"\r\n")),
		"octets":          fmt.Sprintf("%v", []byte("PASS "+secret)),
		"quoted":          fmt.Sprintf("%+q", "PASS "+secret),
		"query":           "https://x/?p=" + url.QueryEscape(secret) + "&x",
		"UTF-16":          string(wide("PASS " + secret)),
		"PLAIN":           base64.StdEncoding.EncodeToString([]byte("\x00bob\x00" + secret)),
		"PLAIN, longer":   base64.StdEncoding.EncodeToString([]byte("\x00bobby\x00" + secret)),
		"PLAIN, longer 2": base64.RawURLEncoding.EncodeToString([]byte("\x00bobbi\x00" + secret + "xx")),
		"LOGIN":           base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if Leak(text, secret) == "" {
			t.Errorf("%s: not found in %q", name, text)
		}
	}
	for _, text := range []string{"", "canary", "horse", base64.StdEncoding.EncodeToString([]byte("another one of this length"))} {
		if form := Leak(text, secret); form != "" {
			t.Errorf("%q is taken for it (%s)", text, form)
		}
	}
}
