package pop3server_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// root is the folder of the project.
const root = ".."

// document is a page in which each row of a table names tests.
type document struct {
	name    string
	rows    int  // at least
	ordered bool // rows begin with numbers, which go up
}

// TestDocuments checks that what the pages name is there: files, tests and
// transcripts; and that each row names a test.
func TestDocuments(t *testing.T) {
	t.Parallel()
	sources := testSources(t)
	for _, d := range []document{{name: "PROTOCOL.md", rows: 170}, {name: "QUIRKS.md", rows: 90, ordered: true}} {
		rows, last := 0, 0
		for i, line := range strings.Split(readFile(t, "docs", d.name), "\n") {
			if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| tests |") {
				continue
			}
			rows++
			checkRow(t, sources, d.name+":"+strconv.Itoa(i+1), line)
			first, _, _ := strings.Cut(line[2:], " ")
			if n, err := strconv.Atoi(first); d.ordered && (err != nil || n != last+1 && n != firstFault) {
				t.Errorf("%s:%d: row %q follows row %d", d.name, i+1, first, last)
			} else {
				last = n
			}
		}
		if rows < d.rows {
			t.Errorf("%s: only %d rows were understood", d.name, rows)
		}
	}
}

// firstFault is the number with which the hostile servers of QUIRKS.md begin.
const firstFault = 91

// TestQuirksAreNamed checks that whoever reads docs/QUIRKS.md finds all of the
// client's transcripts that show one.
func TestQuirksAreNamed(t *testing.T) {
	t.Parallel()
	page := readFile(t, "docs", "QUIRKS.md")
	files, err := filepath.Glob(filepath.Join(root, "pop3client", "testdata", "*-[0-9]*-*.pop3"))
	if err != nil || len(files) < 90 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".pop3"); !strings.Contains(page, "`pop3client.TestTranscripts/"+name+"`") {
			t.Errorf("docs/QUIRKS.md does not name %s", name)
		}
	}
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// testSources are the tests of the packages that the pages name.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	sources := make(map[string]string)
	for name, folder := range map[string]string{
		"auth": "internal/auth", "cli": "internal/cli", "daemon": "internal/daemon", "dot": "internal/dot", "exec": "internal/fetch/sink/exec",
		"fetch": "internal/fetch", "imap": "internal/fetch/sink/imap", "inbox": "internal/fetch/sink/inbox", "listen": "internal/listen",
		"lmtp": "internal/lmtp", "mbox": "internal/fetch/sink/mbox", "passwdfile": "internal/auth/passwdfile", "pop3": "pop3",
		"pop3client": "pop3client", "pop3server": "pop3server", "pop3test": "pop3test", "progress": "internal/progress", "sasl": "sasl",
		"smtp": "internal/fetch/sink/smtp", "token": "internal/fetch/token",
		"command": "internal/auth/command", "kerberos": "internal/auth/kerberos", "kpop": "internal/kpop", "krb": "internal/krb",
		"ldap": "internal/auth/ldap", "oauth": "internal/auth/oauth", "pam": "internal/auth/pam", "sandbox": "internal/sandbox",
		"sql": "internal/auth/sql",
	} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s: %v", folder, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[name] += string(text)
		}
	}
	return sources
}

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	testName   = regexp.MustCompile(`^(\w+)\.((?:Test|Fuzz)\w+)(?:/(.+))?$`)
	transcript = map[string]string{
		"lmtp": "internal/lmtp/testdata/%.lmtp", "pop3client": "pop3client/testdata/%.pop3", "pop3server": "pop3server/testdata/%.pop3",
	}
)

// checkRow checks one row of a table.
func checkRow(t *testing.T, sources map[string]string, at, row string) {
	t.Helper()
	tests := 0
	for _, m := range quoted.FindAllStringSubmatch(row, -1) {
		name := m[1]
		if p := testName.FindStringSubmatch(name); p != nil {
			tests++
			if !strings.Contains(sources[p[1]], "\nfunc "+p[2]+"(") {
				t.Errorf("%s: there is no test %s", at, name)
			}
			if p[3] == "" {
				continue
			}
			name = strings.Replace(transcript[p[1]], "%", p[3], 1)
		} else if !strings.Contains(name, "/") {
			continue // a word of the protocol
		}
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if tests == 0 {
		t.Errorf("%s names no test: %s", at, row)
	}
}
