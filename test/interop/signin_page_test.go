package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const signInDocument = "../../docs/SIGN-IN.md"

// signInPage is docs/SIGN-IN.md. proved says which cells of the table hold.
func signInPage(proved func(signInCell) bool, versions string) string {
	return fmt.Sprintf(signInText, signInTable(proved), sourceTable(), lackList(), wayList(), failureTable(), versions)
}

// signInTable has a row for each way and each source that serves it, and a
// column for each client.
func signInTable(proved func(signInCell) bool) string {
	clients := signInClients()
	rows := [][]string{{"Mechanism", "Account source"}}
	for _, c := range clients {
		rows[0] = append(rows[0], c.name)
	}
	for _, w := range signInWays() {
		for _, s := range signInSources() {
			if !slices.Contains(s.serves, w.name) {
				continue
			}
			row := []string{w.name, s.name}
			for _, c := range clients {
				row = append(row, verdict(c, signInCell{s.id, w.name, c.id}, proved))
			}
			rows = append(rows, row)
		}
	}
	return markdownTable(rows)
}

func verdict(c signInClient, cell signInCell, proved func(signInCell) bool) string {
	switch {
	case !slices.Contains(c.has, cell.way):
		return "–"
	case proved(cell):
		return "yes"
	}
	return "FAILED"
}

// sourceTable says which ways each source serves.
func sourceTable() string {
	rows := [][]string{{"Account source", "In the names of tests", "Serves"}}
	for _, s := range signInSources() {
		rows = append(rows, []string{s.name, s.id, strings.Join(s.serves, ", ")})
	}
	return markdownTable(rows)
}

func lackList() string {
	var b strings.Builder
	for _, c := range signInClients() {
		fmt.Fprintf(&b, "- *%s* (`%s`): %s.\n", c.name, c.id, c.lacks)
	}
	return b.String()
}

func wayList() string {
	var b strings.Builder
	for _, w := range signInWays() {
		fmt.Fprintf(&b, "**%s**. %s\n\n", w.name, w.text)
	}
	return b.String()
}

func failureTable() string {
	rows := [][]string{{"What is wrong", "The client is told", "The log says", "What to do"}}
	for _, f := range signInFailures() {
		log := "nothing"
		if f.log != "" {
			log = "`" + f.log + "`"
		}
		rows = append(rows, []string{f.what, "`" + f.told + "`", log, f.help})
	}
	return markdownTable(rows)
}

func markdownTable(rows [][]string) string {
	var b strings.Builder
	for i, cells := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(cells)))
		}
	}
	return b.String()
}

// TestSignInPage shows that the page has what TestSignIn proves, and no cell
// more: it is the page that a run writes in which all cells hold.
func TestSignInPage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(signInDocument)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := strings.Cut(signInPage(func(signInCell) bool { return true }, "\x00"), "\x00")
	have := strings.Split(string(data), "\n")
	for i, line := range strings.Split(strings.TrimSuffix(want, "\n"), "\n") {
		if i >= len(have) || !strings.HasPrefix(have[i], line) {
			t.Fatalf("docs/SIGN-IN.md, line %d: it should be\n%s\nwrite it anew; it says how", i+1, line)
		}
	}
}

// TestSignInRows finds what would leave a cell out.
func TestSignInRows(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, w := range signInWays() {
		if known[w.name] {
			t.Errorf("%s stands there twice", w.name)
		}
		known[w.name] = true
	}
	accounts := map[string]bool{}
	for _, s := range signInSources() {
		for _, way := range s.serves {
			if !known[way] {
				t.Errorf("%s serves %s, which is no way to sign in", s.id, way)
			}
		}
		for _, c := range signInCells(s) {
			if accounts[c.account()] {
				t.Errorf("the account of %v is another's too", c)
			}
			accounts[c.account()] = true
		}
	}
	for _, c := range signInClients() {
		for _, way := range c.has {
			if !known[way] {
				t.Errorf("%s has %s, which is no way to sign in", c.id, way)
			}
		}
		if len(c.has) < len(known) && c.lacks == "" {
			t.Errorf("%s does not have all, and it does not say why", c.id)
		}
	}
}

const signInText = `# Signing in

Which programs can sign in, by which mechanism, and to accounts of which source.
Each *yes* is a test: the program signs in with what is right and fetches a
message, and with what is wrong (another password, the ticket, certificate or
token of somebody else) it is refused and says so. – is what the program does
not have. All run inside TLS, KPOP excepted.

%s
The test of a cell is ` + "`TestSignIn/SOURCE/MECHANISM/CLIENT`" + `, in test/interop;
` + "`make interop`" + ` runs them all with Debian's programs. The log of the server says
that it was this mechanism. Sources that know passwords, and do not serve a
mechanism, refuse it with the right password too: that is
` + "`TestSignIn/SOURCE/MECHANISM/refused`" + `.

%s
What the programs do not have:

%s
## Mechanisms

` + "`[sasl] mechanisms`" + ` in the configuration names what is offered. See
[config.md](config.md). Which one a program takes is its own choice.

%s## When it fails

Who cannot sign in is told in words what to look at, and so is the operator, in
the log. A wrong password and a name that does not exist are told alike, and the
line of a refused login always has the same form, which
[fail2ban](../contrib/fail2ban) reads. Each row is a test,
` + "`TestSignInFailures`" + `.

%s
This page is written by ` + "`go test -tags interop -run '^TestSignIn$' -args -write`" + ` in test/interop. %s.
`
