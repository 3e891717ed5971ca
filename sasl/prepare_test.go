package sasl_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/text/secure/precis"

	"github.com/postwain/postwain/sasl"
)

func TestPrepareUser(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"alice", "alice"},
		{"Alice@Example.ORG", "alice@example.org"},
		{"ZOË", "zoë"},
		{"zoe\u0308", "zoë"},      // a combining mark
		{"ａｌｉｃｅ", "alice"},        // full width
		{"\u212Aelvin", "kelvin"}, // the Kelvin sign
		{"STRASSE", "strasse"},    // not ß
		{"straße", "straße"},      // nor the reverse
		{"Ἀθηνᾶς", "ἀθηνᾶς"},      // the final sigma stays
		{"a／b＠c", "a/b@c"},        // so grammars come after
		{"", ""},                  // refused, as what follows
		{"a b", ""},               //
		{"a\x00b", ""},            //
		{"a\r\n", ""},             //
		{"\u017Ft", ""},           // long s
		{"o\uFB03ce", ""},         // a ligature
		{"a\u200Bb", ""},          // an invisible space
		{"\u202Eecila", ""},       // right-to-left override
		{"zo\xeb", ""},            // Latin-1
		{strings.Repeat("a", 256), ""},
	} {
		got, err := sasl.PrepareUser(tt.in)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("PrepareUser(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if err != nil && !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("PrepareUser(%q): %v is not ErrRefused", tt.in, err)
		}
	}
}

func TestPreparePassword(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"a Secret ", "a Secret "},
		{"", ""},
		{"pa\u0308ss", "päss"},     // a combining mark
		{"a\u00A0b", "a b"},        // a no-break space
		{"ｐａｓｓ", "ｐａｓｓ"},           // width is kept (RFC 8265 §4.2.1)
		{"p\xe4ss", "p\xe4ss"},     // Latin-1 as it is
		{"tab\there", "tab\there"}, // forbidden by the profile, as it is
		{"\u212A", "K"},            // canonical equivalence
	} {
		if got := sasl.PreparePassword(tt.in); got != tt.want {
			t.Errorf("PreparePassword(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestPrepareCostsNothing(t *testing.T) { // AllocsPerRun cannot be parallel
	name, password := "alice.b-c_d+e@mail.example.org", "correct horse battery staple"
	if n := testing.AllocsPerRun(100, func() {
		sasl.PrepareUser(name)
		sasl.PreparePassword(password)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The short cuts for ASCII agree with the profiles, and preparing twice is
// preparing once.
func FuzzPrepare(f *testing.F) {
	for _, s := range []string{"alice", "Alice@Example.ORG", "zoe\u0308", "a b", "p\xe4ss", "\u1E9E", "\u0345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := sasl.PrepareUser(s)
		want, werr := precis.UsernameCaseMapped.String(s)
		if err == nil && (werr != nil || got != want) {
			t.Fatalf("PrepareUser(%q) = %q; the profile says %q, %v", s, got, want, werr)
		}
		if err != nil && werr == nil && want != "" && len(s) <= sasl.MaxUser && len(want) <= sasl.MaxUser {
			t.Fatalf("PrepareUser(%q) fails: %v", s, err)
		}
		if err == nil {
			if again, err := sasl.PrepareUser(got); again != got || err != nil {
				t.Fatalf("PrepareUser(%q) = %q, then %q, %v", s, got, again, err)
			}
		}
		p := sasl.PreparePassword(s)
		if again := sasl.PreparePassword(p); again != p {
			t.Fatalf("PreparePassword(%q) = %q, then %q", s, p, again)
		}
	})
}
