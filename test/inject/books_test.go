package inject

import (
	"strings"
	"testing"

	"github.com/postwain/postwain/test/campaign"
)

// Whoever breaks a promise is seen, and who does not is not.
func TestBooks(t *testing.T) {
	t.Parallel()
	text := func(token string) string { return tokenHeader + token + "\n\nbody of " + token + "\n" }
	as := func(tokens ...string) (seen []copyOf) {
		for _, token := range tokens {
			seen = append(seen, copyOf{"uid-" + token, "Received: x\n" + text(token)})
		}
		return seen
	}
	for name, c := range map[string]struct {
		seen []copyOf
		want string
	}{
		"as promised":             {as("b", "d", "e"), ""},
		"unanswered mail came":    {as("b", "c", "d", "e"), ""},
		"unanswered QUIT is done": {as("b"), ""},
		"lost":                    {as("d", "e"), "is lost"},
		"back":                    {as("a", "b", "d", "e"), "is back"},
		"doubled":                 {as("b", "b", "d", "e"), "2 times"},
		"half a QUIT":             {as("b", "d"), "removed 1 of 2"},
		"cut":                     {append(as("d", "e"), copyOf{"uid-b", tokenHeader + "b\n\nbody"}), "octets"},
		"another UID":             {append(as("d", "e"), copyOf{"other", text("b")}), "had the UID"},
		"a UID again":             {append(as("b", "d"), copyOf{"uid-a", text("e")}), "was of a"},
		"nobody's":                {append(as("b", "d", "e"), copyOf{"z", text("z")}), "nobody sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBooks("alice")
			for _, token := range []string{"a", "b", "c", "d", "e"} {
				b.offer(token, text(token))
				if token != "c" {
					b.accept(token)
				}
			}
			var r campaign.Result
			b.judge(as("a", "b", "c", "d", "e"), true, &r)
			if len(r.Findings) > 0 {
				t.Fatal(r.Findings)
			}
			b.doubt([]string{"a"})
			b.removed([]string{"a"})
			b.doubt([]string{"d", "e"})
			b.messages["c"].status = offered
			b.judge(c.seen, true, &r)
			if got := strings.Join(r.Findings, "\n"); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
