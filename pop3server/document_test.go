package pop3server_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProtocolDocument checks that what docs/PROTOCOL.md names is there: files,
// tests and transcripts; and that each row names a test.
func TestProtocolDocument(t *testing.T) {
	t.Parallel()
	const root = ".."
	data, err := os.ReadFile(filepath.Join(root, "docs", "PROTOCOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]string{
		"auth": "internal/auth", "dot": "internal/dot", "listen": "internal/listen", "lmtp": "internal/lmtp",
		"passwdfile": "internal/auth/passwdfile", "pop3": "pop3", "pop3server": "pop3server", "sasl": "sasl",
	}
	sources := make(map[string]string)
	for name, folder := range folders {
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
	quoted := regexp.MustCompile("`([^`]+)`")
	test := regexp.MustCompile(`^(\w+)\.((?:Test|Fuzz)\w+)(?:/(.+))?$`)
	rows := 0
	for i, line := range strings.Split(string(data), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| tests |") {
			continue
		}
		rows++
		tests := 0
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name := m[1]
			if p := test.FindStringSubmatch(name); p != nil {
				tests++
				if !strings.Contains(sources[p[1]], "\nfunc "+p[2]+"(") {
					t.Errorf("line %d: there is no test %s", i+1, name)
				}
				if p[3] == "" {
					continue
				}
				name = "pop3server/testdata/" + p[3] + ".pop3"
				if p[1] == "lmtp" {
					name = "internal/lmtp/testdata/" + p[3] + ".lmtp"
				}
			} else if !strings.Contains(name, "/") {
				continue // a word of the protocol
			}
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("line %d: %v", i+1, err)
			}
		}
		if tests == 0 {
			t.Errorf("line %d names no test: %s", i+1, line)
		}
	}
	if rows < 140 {
		t.Errorf("only %d rows were understood", rows)
	}
}
