package apppassword

import (
	"hash/maphash"
	"strings"
	"testing"
)

const good = "bob:{SHA256}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:2026-03-01T09:30:00Z:Tablet"

func TestParse(t *testing.T) {
	t.Parallel()
	h := strings.Split(good, ":")[1]
	for text, want := range map[string]string{
		good:                                     "",
		"# c\n\n" + good + "\r\nbob:{ONLY}\n":    "",
		good + "\n" + good + "2\n":               "",
		good + ":2":                              "",
		"bob":                                    ":1: no line of the form",
		"bob:":                                   ":1: no hash",
		"\n" + good + "\n" + good:                `:3: "bob" has a password for the device "Tablet" already`,
		good + "\nBOB" + good[3:]:                ":2:",
		"b b" + good[3:]:                         "cannot be an account",
		"bob:{ONLY}:x":                           "no hash",
		"bob:{SHA512}" + h[8:] + good[len(h)+4:]: "no hash",
		"bob:" + h[:len(h)-1] + ":2026-03-01T09:30:00Z:Tablet": "no hash",
		"bob:" + h[:len(h)-1] + "B:2026-03-01T09:30:00Z:x":     "no hash", // bits beyond the end
		"bob:" + h:                                      "no time",
		"bob:" + h + ":2026-03-01T09:30:00Z":            "no time",
		"bob:" + h + ":2026-03-01T09:30:00Z:":           "no time",
		"bob:" + h + ":2026-13-01T09:30:00Z:Tablet":     "the time",
		"bob:" + h + ":2026-03-01T09:30:00Z: Tablet":    "a space",
		"bob:" + h + ":2026-03-01T09:30:00Z:Tab\tlet":   "cannot be shown",
		"bob:" + h + ":2026-03-01T09:30:00Z:Tab\x1b[2J": "cannot be shown",
		"bob:" + h + ":2026-03-01T09:30:00Z:Tab\xff":    "cannot be shown",
		good + strings.Repeat("x", maxDevice):           "longer",
		good + strings.Repeat("x", maxLine):             "no line of the form",
	} {
		_, err := parse("f", text, maphash.MakeSeed())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.100q: %v", text, err)
		}
	}
}

// Every letter comes up, everywhere, about as often.
func TestNewWord(t *testing.T) {
	t.Parallel()
	var count [wordLength][256]int
	var total [256]int
	const words = 23_000
	for range words {
		word := newWord()
		if letters, ok := normal(shown(word)); !ok || letters != word {
			t.Fatalf("%q, %t", letters, ok)
		}
		for i := range word {
			count[i][word[i]]++
		}
	}
	for i := range count {
		sum := 0
		for _, c := range []byte(alphabet) {
			n := count[i][c]
			sum += n
			total[c] += n
			if n < 750 || n > 1250 { // 1000, with a deviation of 31
				t.Errorf("%c comes up %d times at %d", c, n, i)
			}
		}
		if sum != words {
			t.Errorf("%d letters at %d are others", words-sum, i)
		}
	}
	for _, c := range []byte(alphabet) {
		if n := total[c]; n < 19_100 || n > 20_900 { // 20000, with a deviation of 138
			t.Errorf("%c comes up %d times", c, n)
		}
	}
}

func TestNormalIsBounded(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		for _, c := range []string{"a", "-", "\xff", "A"} {
			letters, ok := normal(strings.Repeat(c, n))
			if len(letters) > wordLength || ok != (n == wordLength && (c == "a" || c == "A")) {
				t.Errorf("%d times %q: %q, %t", n, c, letters, ok)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good + "\nalice:{ONLY}\n# c\n")
	f.Add("alice\tx\ty\tz\n")
	f.Fuzz(func(t *testing.T, text string) {
		parseUse(text)
		table, err := parse("f", text, maphash.MakeSeed())
		if err != nil {
			return
		}
		for _, p := range table.order {
			again, err := parse("f", p.entry(), maphash.MakeSeed())
			if err != nil || len(again.order) != 1 || again.order[0].entry() != p.entry() || again.order[0].hash != p.hash {
				if strings.ContainsAny(p.account, ":#") { // which only a foreign hand writes
					continue
				}
				t.Fatalf("%q becomes %v, %v", p.entry(), again, err)
			}
			if table.find(p.account, p.hash) == nil && p.hash != (hash{}) {
				t.Fatalf("%q is not found", p.entry())
			}
		}
	})
}
