package pop3server

import (
	"context"

	"github.com/postwain/postwain/pop3"
)

// language is an index to languages and to each row of texts. The zero value
// is English, which is also i-default (RFC 2277 §4.5).
type language uint8

const languageCount = 5

// languages are the tags, as keywords for comparison, and what they are called
// by those who speak them. It is read only.
var languages = [languageCount]struct{ tag, keyword, name string }{
	{"en", "EN", "English"},
	{"de", "DE", "Deutsch"},
	{"fr", "FR", "Français"},
	{"es", "ES", "Español"},
	{"ja", "JA", "日本語"},
}

// findLanguage looks a language range up (RFC 4647 §3.4): "de-AT" finds "de",
// and "*" finds English.
func findLanguage(tag []byte) (language, bool) {
	if string(tag) == "*" || pop3.EqualASCII(tag, "I-DEFAULT") {
		return 0, true
	}
	for i, c := range tag {
		if c == '-' {
			tag = tag[:i]
			break
		}
	}
	for i := range languages {
		if pop3.EqualASCII(tag, languages[i].keyword) {
			return language(i), true
		}
	}
	return 0, false
}

// langCommand chooses the language of the replies that follow, this one
// included, or lists them (RFC 6856 §3). It works in both states.
func (c *conn) langCommand(_ context.Context, arg []byte) reply {
	if len(arg) == 0 {
		c.out.OK().Text(c.say(textLanguages)).End()
		for i := range languages {
			c.out.Line(languages[i].tag).Text(languages[i].name).End()
		}
		c.out.Dot()
		return reply{}
	}
	l, ok := findLanguage(arg)
	if !ok {
		return refuse("", textNoLanguage)
	}
	c.lang = l
	return reply{kind: accepted, note: languages[l].tag, text: textLanguage}
}

// utf8Command is for both states too: RFC 6856 §2.1 wants it before login, but
// Outlook sends it after PASS and gives up if it is refused.
func (c *conn) utf8Command(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	c.utf8 = true
	return accept(textUTF8)
}

// say returns a sentence in the language of the connection.
func (c *conn) say(t text) string { return texts[t][c.lang] }
