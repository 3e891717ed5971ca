package lmtp

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTranscripts plays testdata/*.lmtp against a server. Lines of a file:
//
//	C: text         sent with CRLF; escapes as in Go, lines in a row in one write
//	R: text         likewise, without CRLF
//	S: text         the next line of the server; a final … stands for anything
//	-- hello --     the greeting and LHLO
//	-- idle 5m --   time passes
//	-- closed --    the server hangs up
//	M: account text the account's next message, without the fields on top
//
// At the end no account has further messages. Empty lines and # are for the
// reader.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.lmtp")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".lmtp"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, file, string(text)) })
		})
	}
}

func play(t *testing.T, file, text string) {
	d := &drops{}
	srv := NewServer(options(d))
	c := dial(t, srv)
	seen := make(map[string]int)
	var out strings.Builder
	for i, line := range strings.Split(text, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		if kind != "C:" && kind != "R:" && out.Len() > 0 {
			c.send(out.String())
			out.Reset()
		}
		where := fmt.Sprintf("%s:%d", file, i+1)
		switch kind {
		case "C:":
			out.WriteString(unescape(t, where, rest) + "\r\n")
		case "R:":
			out.WriteString(unescape(t, where, rest))
		case "S:":
			t.Log(where)
			c.expect(rest)
		case "M:":
			account, want, _ := strings.Cut(rest, " ")
			n := seen[account]
			seen[account]++
			if got := d.of(account); len(got) <= n || got[n] != unescape(t, where, want) {
				t.Fatalf("%s: %s has %q", where, account, got)
			}
		case "--":
			direct(t, c, where, strings.TrimSuffix(rest, " --"))
		case "", "#":
		default:
			t.Fatalf("%s: what is %q?", where, line)
		}
	}
	c.conn.Close()
	synctest.Wait()
	for account := range d.mail {
		if got := d.of(account); len(got) != seen[account] {
			t.Errorf("%s: %s also has %q", file, account, got[seen[account]:])
		}
	}
}

// direct does what is written between the dashes.
func direct(t *testing.T, c *client, where, what string) {
	switch what {
	case "hello":
		c.hello()
	case "closed":
		c.expectClosed()
	default:
		wait, err := time.ParseDuration(strings.TrimPrefix(what, "idle "))
		if err != nil {
			t.Fatal(where, err)
		}
		time.Sleep(wait)
	}
}

func unescape(t *testing.T, where, s string) string {
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatal(where, err)
	}
	return out
}
