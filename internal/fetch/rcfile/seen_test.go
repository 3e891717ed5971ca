package rcfile

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, want, notes string }{
		{"alice@mx.example.org 1\nalice@mx.example.org 2\nbob@mx.example.org 1\n", "alice@mx.example.org 1 2|bob@mx.example.org 1", ""},
		{"alice@example.org@mx.example.org u@id\n", "alice@example.org@mx.example.org u@id", ""},
		{"alice smith@mx.example.org <1@x>\n", "alice smith@mx.example.org <1@x>", ""},
		{"  alice@mx.example.org   1  2\r\n\n", "alice@mx.example.org 1", ""},
		{"alice@mx.example.org 1", "alice@mx.example.org 1", ""},
		{"\nalice\nalice@mx.example.org\n@mx 1\nalice@ 1\nalice@mx.example.org  \n", "", "2 3 4 5 6"},
		{"UID1\x001700000000\nUID 2\x000\n", "@ UID1(1700000000) UID 2", ""},
		{"UID1\x00x\n\x001\nUID1\x00-1\nUID1\x0099999999999999\n", "", "1 2 3 4"},
		{"", "", ""},
	} {
		boxes, notes, err := Seen("ids", strings.NewReader(tt.file))
		if err != nil {
			t.Errorf("%q: %v", tt.file, err)
			continue
		}
		var all, lines []string
		for _, b := range boxes {
			s := b.User + "@" + b.Server
			for _, m := range b.Messages {
				s += " " + m.UID
				if !m.Time.IsZero() {
					s += fmt.Sprintf("(%d)", m.Time.Unix())
				}
			}
			all = append(all, s)
		}
		for _, n := range notes {
			lines = append(lines, fmt.Sprint(n.Line))
		}
		if got := strings.Join(all, "|"); got != tt.want || strings.Join(lines, " ") != tt.notes {
			t.Errorf("%q: %q, notes in %v, want %q, %q", tt.file, got, lines, tt.want, tt.notes)
		}
	}
	if _, _, err := Seen("ids", strings.NewReader(strings.Repeat("x", maxLine+1))); err == nil || !strings.Contains(err.Error(), "8192 octets") {
		t.Error(err)
	}
}

// The mailbox of an entry is found by what both files call it.
func TestOldmail(t *testing.T) {
	t.Parallel()
	entries, _, err := Parse("rc", strings.NewReader(strings.Replace(simple, "alice", "al/:ice", 1)+"port = 1995\n"+maildir))
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if got := entries[0].Oldmail(); got != "oldmail-mx.example.org-1995-al-ice" {
		t.Error(got)
	}
	entries, _, err = Parse("rc", strings.NewReader("poll a via mx.example.org proto pop3 user alice pass x ssl is b"))
	if err != nil || len(entries) != 1 || entries[0].Server != "mx.example.org" || entries[0].User != "alice" {
		t.Error(entries, err)
	}
}

func FuzzSeen(f *testing.F) {
	f.Add("alice@mx.example.org 1\nUID\x001\n")
	f.Fuzz(func(t *testing.T, file string) {
		boxes, notes, err := Seen("ids", strings.NewReader(file))
		if err != nil {
			return
		}
		lines := len(notes)
		for _, b := range boxes {
			for _, m := range b.Messages {
				lines++
				if m.UID == "" || strings.ContainsAny(m.UID, "\n\x00") || m.Time.After(time.Unix(1<<40, 0)) {
					t.Errorf("%+v", m)
				}
			}
		}
		if most := strings.Count(file, "\n") + 1; lines > most {
			t.Errorf("%d of %d lines", lines, most)
		}
	})
}
