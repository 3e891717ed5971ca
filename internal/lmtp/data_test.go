package lmtp

import (
	"strings"
	"testing"
)

// TestLineEnds tries every short message at every cut into three parts.
func TestLineEnds(t *testing.T) {
	t.Parallel()
	messages := []string{""}
	for i := 0; len(messages[i]) < 6; i++ {
		for _, c := range []string{"a", "\r", "\n"} {
			messages = append(messages, messages[i]+c)
		}
	}
	for _, m := range messages {
		want := strings.ContainsAny(strings.ReplaceAll(m, "\r\n", ""), "\r\n")
		for i := range len(m) + 1 {
			for j := i; j <= len(m); j++ {
				var e lineEnds
				for _, part := range []string{m[:i], m[i:j], m[j:]} {
					e.look([]byte(part))
				}
				if got := e.bare || e.cr; got != want {
					t.Fatalf("%q | %q | %q: %v, want %v", m[:i], m[i:j], m[j:], got, want)
				}
			}
		}
	}
}

func TestChunkArguments(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"0": 0, "7": 7, "7 LAST": 7, "7 last": 7, "18446744073709551616": 1<<63 - 1} {
		if n, last, ok := parseChunk(in); !ok || n != want || last != strings.ContainsAny(in, "Ll") {
			t.Errorf("%q: %d %v %v", in, n, last, ok)
		}
	}
	for _, in := range []string{"", " ", "LAST", " LAST", "7 ", "7 LAST ", "7  LAST", "7 LAST LAST", "-7", "+7", "7.0", "0x7", "7 LA\u017fT", "111111111111111111111"} {
		if n, last, ok := parseChunk(in); ok {
			t.Errorf("%q: %d %v", in, n, last)
		}
	}
}
