package pop3server

import (
	"testing"
	"unicode/utf8"
)

// Each sentence is there in each language, in one line of UTF-8 that does not
// look like a response code; English is ASCII, being the default (RFC 6856 §3).
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	for i := textNone + 1; i < textCount; i++ {
		for l, s := range texts[i] {
			if s == "" || !utf8.ValidString(s) || s[0] == '[' || len(s) > 200 {
				t.Errorf("text %d in %s: %q", i, languages[l].tag, s)
			}
			for _, c := range s {
				if c < ' ' || l == 0 && c > '~' {
					t.Errorf("text %d in %s has %q", i, languages[l].tag, c)
				}
			}
		}
	}
}

func TestFindLanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"en": "en", "EN-gb": "en", "de": "de", "De-at-1901": "de", "fr-CA": "fr", "es": "es", "ja": "ja", "*": "en", "i-default": "en",
		"": "", "d": "", "deu": "", "zh": "", "ｄｅ": "", "-": "", "de ": "",
	} {
		l, ok := findLanguage([]byte(tag))
		if ok != (want != "") || ok && languages[l].tag != want {
			t.Errorf("%q finds %v, %v", tag, languages[l].tag, ok)
		}
	}
}
