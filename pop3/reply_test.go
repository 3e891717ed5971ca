package pop3_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postwain/postwain/pop3"
)

func TestParseReply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		sign pop3.Sign
		text string
	}{
		{"+OK", pop3.OK, ""},
		{"+OK ", pop3.OK, ""},
		{"+ok 2 320", pop3.OK, "2 320"},
		{"+OK  two  blanks ", pop3.OK, "two  blanks "},
		{"+OK, ready", pop3.OK, ", ready"},
		{"-ERR", pop3.Refused, ""},
		{"-err no", pop3.Refused, "no"},
		{"+ERR Invalid user name or password.", pop3.Refused, "Invalid user name or password."},
		{"+", pop3.Challenge, ""},
		{"+ ", pop3.Challenge, ""},
		{"+ YWI=", pop3.Challenge, "YWI="},
		{"+YWI=", pop3.Challenge, "YWI="},
	} {
		r, err := pop3.ParseReply([]byte(c.line))
		if err != nil || r.Sign != c.sign || string(r.Text) != c.text {
			t.Errorf("%q: %v %q, %v", c.line, r.Sign, r.Text, err)
		}
	}
	for _, line := range []string{"", " ", "OK", "-OK", "-", "-ER", " +OK", "warning: auth_error: no", "* OK", "220 ready", "ERR", "+\u212a"[1:]} {
		if r, err := pop3.ParseReply([]byte(line)); err != pop3.ErrNotReply {
			t.Errorf("%q: %v %q, %v, want ErrNotReply", line, r.Sign, r.Text, err)
		}
	}
}

func TestReplyErr(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]pop3.Error{
		"":                               {},
		"no":                             {Text: "no"},
		"[IN-USE] Another session":       {pop3.CodeInUse, "Another session"},
		"[in-use]  Another session":      {pop3.CodeInUse, "Another session"},
		"[Sys/Temp]":                     {pop3.CodeSysTemp, ""},
		"[X/Y/z] text":                   {"X/Y/z", "text"},
		"[] text":                        {"", "[] text"},
		"[two words] text":               {"", "[two words] text"},
		"[never ends":                    {"", "[never ends"},
		"[a\x1b[2J] text":                {"", `[a\x1b[2J] text`},
		"text [AUTH]":                    {"", "text [AUTH]"},
		"\x1b]0;title\a":                 {"", `\x1b]0;title\a`},
		"\u202etxt.exe \u009b2J\xff\x00": {"", `\u202etxt.exe \u009b2J\xff\x00`},
		"schön":                          {"", "schön"},
	} {
		r, _ := pop3.ParseReply([]byte("-ERR " + text))
		if got := r.Err(); *got != want {
			t.Errorf("%q: %+q", text, *got)
		}
	}
	long := "[" + strings.Repeat("A", 65) + "] text"
	if r, _ := pop3.ParseReply([]byte("-ERR " + long)); r.Err().Code != "" || r.Err().Text != long {
		t.Errorf("a code of 65 octets: %+v", r.Err())
	}
	r, _ := pop3.ParseReply([]byte("-ERR " + strings.Repeat("ä", 1<<20)))
	if got := r.Err().Text; got != strings.Repeat("ä", 256)+"…" {
		t.Errorf("a long text has %d octets", len(got))
	}
}

func TestTemporary(t *testing.T) {
	t.Parallel()
	for e, want := range map[pop3.Error]bool{
		{Code: pop3.CodeInUse}:                             true,
		{Code: pop3.CodeLoginDelay}:                        true,
		{Code: pop3.CodeSysTemp}:                           true,
		{Code: pop3.CodeSysPerm, Text: "locked"}:           false,
		{Code: pop3.CodeAuth, Text: "try again later"}:     false,
		{Code: pop3.CodeUTF8}:                              false,
		{Code: "SOMETHING"}:                                false,
		{}:                                                 false,
		{Text: "Wrong password, try again"}:                false,
		{Text: "This address is blocked"}:                  false,
		{Text: "Authentication failed"}:                    false,
		{Text: "Unable to lock maildrop: Mailbox is busy"}: true,
		{Text: "mailbox already IN USE"}:                   true,
		{Text: "Service Unavailable"}:                      true,
		{Text: "Can't get the letter, try again later"}:    true,
		{Text: "temporarily out"}:                          true,
		{Text: "wait 5 minutes"}:                           true,
		{Text: "Exceeded the login limit"}:                 true,
	} {
		if got := e.Temporary(); got != want {
			t.Errorf("%+v: %v", e, got)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add([]byte("-ERR [SYS/TEMP] \x1b[2J\u202e"))
	f.Add([]byte("+ERR"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := pop3.ParseReply(line)
		if err != nil {
			return
		}
		if !strings.HasSuffix(string(line), string(r.Text)) {
			t.Fatalf("%q gives the text %q", line, r.Text)
		}
		e := r.Err()
		for _, c := range e.Error() {
			if c < ' ' || 0x7F <= c && c < 0xA0 || 0x202A <= c && c <= 0x202E || 0x2066 <= c && c <= 0x2069 {
				t.Fatalf("%q gives %q", line, e.Error())
			}
		}
		if !utf8.ValidString(e.Error()) || len(e.Text) > 4*512+3 || len(e.Code) > 64 {
			t.Fatalf("%q gives %q", line, e.Error())
		}
	})
}
