package lmtp

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postwain/postwain/internal/testkit"
)

// TestTranscripts plays testdata/*.lmtp, in the language of testkit. Options
// in them: "hello" begins after the reply to LHLO; "delivers account text" is
// one message that the account has at the end, without the fields on top, in
// their order. There are no others.
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
			script, err := testkit.ParseTranscript(string(text))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, script) })
		})
	}
}

func play(t *testing.T, script *testkit.Transcript) {
	hello := false
	want := make(map[string][]string)
	for _, o := range script.Options {
		what, rest, _ := strings.Cut(o, " ")
		account, text, _ := strings.Cut(rest, " ")
		switch what {
		case "hello":
			hello = true
		case "delivers":
			text, err := strconv.Unquote(`"` + text + `"`)
			if err != nil {
				t.Fatal(o, err)
			}
			want[account] = append(want[account], text)
		default:
			t.Fatal("no option", o)
		}
	}
	d := &drops{}
	srv := NewServer(options(d))
	script.Run(t, func() net.Conn {
		client, server := testkit.Pipe()
		go srv.ServeConn(server)
		if hello {
			greet(t, client)
		}
		return client
	}, nil)
	synctest.Wait()
	for account := range people {
		if got := d.of(account); !slices.Equal(got, want[account]) {
			t.Errorf("%s has %q, want %q", account, got, want[account])
		}
	}
}

// greet says LHLO and reads what comes, up to its last line.
func greet(t *testing.T, conn net.Conn) {
	if _, err := conn.Write([]byte("LHLO mx.example.org\r\n")); err != nil {
		t.Fatal(err)
	}
	for got, b := "", make([]byte, 1); !strings.HasSuffix(got, "250 SIZE 1000\r\n"); got += string(b) {
		if _, err := conn.Read(b); err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
	}
}
