package pop3_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/postwain/postwain/pop3"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		verb pop3.Verb
		arg  string
	}{
		{"QUIT", pop3.Quit, ""},
		{"qUiT", pop3.Quit, ""},
		{"QUIT ", pop3.Quit, ""},
		{"RETR 1", pop3.Retr, "1"},
		{"TOP 1 0", pop3.Top, "1 0"},
		{"RETR  1", pop3.Retr, " 1"},
		{"RETR 1 ", pop3.Retr, "1 "},
		{"PASS  a b ", pop3.Pass, " a b "},
		{"PASS p\tq", pop3.Pass, "p\tq"},
		{"USER jörg", pop3.User, "jörg"},
		{"", pop3.Unknown, ""},
		{" QUIT", pop3.Unknown, "QUIT"},
		{"\tQUIT", pop3.Unknown, ""},
		{"QUIT\t", pop3.Unknown, ""},
		{"QUITX", pop3.Unknown, ""},
		{"QUI", pop3.Unknown, ""},
		{"ſtlſ", pop3.Unknown, ""},
		{"\u212aAPA", pop3.Unknown, ""},
		{"\xffQUIT", pop3.Unknown, ""},
		{"GET / HTTP/1.1", pop3.Unknown, "/ HTTP/1.1"},
		{"unknown", pop3.Unknown, ""},
	} {
		got, err := pop3.ParseCommand([]byte(c.line))
		if err != nil || got.Verb != c.verb || c.verb != pop3.Unknown && string(got.Arg) != c.arg {
			t.Errorf("%q: %v %q, %v, want %v %q", c.line, got.Verb, got.Arg, err, c.verb, c.arg)
		}
	}
	for _, line := range []string{"PASS a\x00b", "PASS a\rb", "PASS a\nb", "\x00", "QUIT\r"} {
		if _, err := pop3.ParseCommand([]byte(line)); err != pop3.ErrSyntax {
			t.Errorf("%q: %v, want ErrSyntax", line, err)
		}
	}
}

func TestVerbString(t *testing.T) {
	t.Parallel()
	for v := pop3.Unknown + 1; v < pop3.Verbs; v++ {
		if c, err := pop3.ParseCommand([]byte(v.String())); err != nil || c.Verb != v {
			t.Errorf("%v does not parse as itself", v)
		}
	}
	if s := pop3.Verb(200).String(); s != "unknown" {
		t.Errorf("a verb that is none is %q", s)
	}
}

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{
		"0": 0, "1": 1, "10": 10, "4294967295": 4294967295, strconv.Itoa(math.MaxInt): math.MaxInt,
	} {
		if got, err := pop3.ParseNumber([]byte(s)); err != nil || got != want {
			t.Errorf("%q = %d, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "-1", "+1", "01", "00", "1e3", "0x1", "1 ", " 1", "1\t", "1 2", "1_0", "١", "１", "1.0",
		"9223372036854775808", "18446744073709551617", "1" + strings.Repeat("0", 400),
	} {
		if got, err := pop3.ParseNumber([]byte(s)); err != pop3.ErrNumber {
			t.Errorf("%q = %d, %v, want ErrNumber", s, got, err)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte("RETR 1"))
	f.Add([]byte("ſtlſ"))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := pop3.ParseCommand(line)
		if err != nil || c.Verb == pop3.Unknown {
			return
		}
		if !strings.EqualFold(string(line[:len(c.Verb.String())]), c.Verb.String()) || len(line) < len(c.Arg) {
			t.Fatalf("%q parses as %v %q", line, c.Verb, c.Arg)
		}
		if n, err := pop3.ParseNumber(c.Arg); err == nil && strconv.Itoa(n) != string(c.Arg) {
			t.Fatalf("%q parses as %d", c.Arg, n)
		}
	})
}
