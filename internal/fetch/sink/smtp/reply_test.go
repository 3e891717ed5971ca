package smtp

import (
	"bufio"
	"strings"
	"testing"
)

func TestReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, lines, status string
		code              int
	}{
		{"250 2.1.5 ok\r\n", "2.1.5 ok", "1.5", 250},
		{"250-a\r\n250-\r\n250 b\r\n", "a||b", "", 250},
		{"250\r\n", "", "", 250},
		{"550 5.7.1\n", "5.7.1", "7.1", 550},
		{"550 4.7.1 other class\r\n", "4.7.1 other class", "", 550},
		{"550 5.7.1234 x\r\n", "5.7.1234 x", "", 550},
		{"550 5..1 x\r\n", "5..1 x", "", 550},
		{"550 5.7 x\r\n", "5.7 x", "", 550},
	} {
		r, err := readReply(bufio.NewReaderSize(strings.NewReader(tt.in), maxLine))
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		status, _ := r.status()
		if r.code != tt.code || strings.Join(r.lines, "|") != tt.lines || status != tt.status {
			t.Errorf("%q: %d %q, status %q", tt.in, r.code, r.lines, status)
		}
	}
	for _, in := range []string{"", "250", "250 x", "\r\n", "25 x\r\n", "250x\r\n", "150 x\r\n", "600 x\r\n", "2a0 x\r\n", "250-x\r\n", "250-x\r\n250y\r\n", "250-x\r\n550 y\r\n"} {
		if r, err := readReply(bufio.NewReaderSize(strings.NewReader(in), maxLine)); err == nil {
			t.Errorf("%q is taken for %v", in, r)
		}
	}
}

// Whatever a server says is bounded, and shown without control characters.
func FuzzReply(f *testing.F) {
	f.Add("250-a\r\n250 b\r\n")
	f.Add("550 5.7.1 \x1b[2J\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := readReply(bufio.NewReaderSize(strings.NewReader(in), maxLine))
		if err == nil {
			err = refused("end of the message", r)
			if (&refusal{"AUTH", r, true}).Error() == "" {
				t.Error("no text")
			}
		}
		text := err.Error()
		if len(text) > 4*4*maxText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			t.Errorf("%q becomes %q", in, text)
		}
	})
}
