//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postwain/postwain/test/rig"
)

// letter is one message of the corpus.
type letter struct {
	name string
	data string // as it lies on disk; LF line ends unless CR is the subject
	// mailed says that SMTP and LMTP can carry it: no NUL, no lone CR or LF, a
	// last line end (RFC 5321 §2.3.8, §4.1.1.4).
	mailed bool
}

const header = "From: Ann <ann@example.net>\nTo: bob@example.org\nSubject: "

// corpus is what clients and servers are known to trip over.
func corpus() []letter {
	filler := strings.Repeat("The quick brown fox jumps over the lazy dog, and the dog does not mind.\n", 8)
	return []letter{
		{"plain", header + "plain\nMessage-ID: <1@example.net>\n\nHello.\n", true},
		{"dot lines", header + "dots\n\n.\n..\n...\n.dot\n. \n.\n\n.\n", true},
		{"dot at the end", header + "dot at the end\n\ntext\n.\n", true},
		{"8 bit", header + "caf\xe9 and \u65e5\u672c\n\nna\u00efve \xff\xfe\x80\n", true},
		{"line of 70 KiB", header + "long line\n\n" + strings.Repeat("0123456789", 7<<10) + "\nend\n", true},
		{"dots after 4096", header + "edge\n\n" + strings.Repeat("x", 4096) + "\n.\n" + strings.Repeat("y", 4095) + "\n..\n", true},
		{"1 MiB", header + "big\n\n" + strings.Repeat(filler, 1<<20/len(filler)), true},
		{"empty body", header + "empty body\n\n", true},
		{"blank lines", header + "blank lines\n\n\n\nmiddle\n\n\n\n", true},
		{"trailing blanks", header + "trailing blanks\n\nline \t \n \n\t\n", true},
		{"From line", header + "From line\n\nFrom ann@example.net Thu Jan  1 00:00:00 1970\n>From her\n", true},
		{"words of the protocol", header + "words\n\n+OK\n-ERR no\nQUIT\nDELE 1\n", true},
		{"header only", header + "header only\n", false},
		{"no last line end", header + "no last line end\n\nlast line", false},
		{"dot first", ".hidden: header\n" + header + "dot first\n\nbody\n", false},
		{"dot alone last", header + "dot alone last\n\nbody\n.", false},
		{"CRLF", strings.ReplaceAll(header+"CRLF\n\nstored with CRLF\n.\n", "\n", "\r\n"), false},
		{"mixed line ends", header + "mixed\r\n\r\none\r\ntwo\nthree\r\n", false},
		{"lone CR", header + "lone CR\n\none\rtwo\r\r\nthree\n", false},
		{"NUL", header + "NUL\n\nbefore\x00after\n", false},
	}
}

// crlf is the form in which a client holds a message (RFC 1939 §11): every
// line ends in CRLF and the last line has an end. It is written here a second
// time and plainly, so that a mistake of the program does not confirm itself.
func crlf(data []byte) []byte {
	out := make([]byte, 0, len(data)+len(data)/32+2)
	for i, c := range data {
		if c == '\n' && (i == 0 || data[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}

// stored is a message in a Maildir.
type stored struct {
	name string // of its file, without flags
	data []byte
}

// readMaildir reads all messages of a Maildir.
func readMaildir(dir string) ([]stored, error) {
	var all []stored
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			if err != nil {
				return nil, err
			}
			name, _, _ := strings.Cut(e.Name(), ":")
			all = append(all, stored{name, data})
		}
	}
	return all, nil
}

// writeMaildir puts messages into a Maildir under their own names, half of them
// as a mail reader leaves what it has shown: flagged, in cur.
func writeMaildir(dir string, messages []stored) error {
	if err := rig.MakeMaildir(dir); err != nil {
		return err
	}
	for i, m := range messages {
		path := filepath.Join(dir, "new", m.name)
		if i%2 == 1 {
			path = filepath.Join(dir, "cur", m.name+":2,S")
		}
		if err := os.WriteFile(path, m.data, 0o600); err != nil {
			return err
		}
	}
	return rig.Own(dir)
}

// asStored gives the letters the file names of a delivery agent that records
// no sizes.
func asStored(letters []letter) []stored {
	var all []stored
	for i, l := range letters {
		all = append(all, stored{fmt.Sprintf("%d.M%dP1.host", 1700000000+i, i), []byte(l.data)})
	}
	return all
}

// letterOf finds the letter that a message is, under whatever header lines its
// carriers have added.
func letterOf(m []byte) string {
	for _, l := range corpus() {
		i := strings.Index(l.data, "Subject: ")
		line, _, _ := strings.Cut(l.data[i:], "\n")
		if bytes.Contains(m, []byte(strings.TrimSpace(line)+"\n")) || bytes.Contains(m, []byte(strings.TrimSpace(line)+"\r\n")) {
			return l.name
		}
	}
	return ""
}

// bodies gives the octets of messages.
func bodies(messages []stored) [][]byte {
	all := make([][]byte, len(messages))
	for i, m := range messages {
		all[i] = m.data
	}
	return all
}

// compare says in words how got differs from want, whatever the order. It is
// nil if both hold the same messages, by SHA-256 of the CRLF form.
func compare(got, want [][]byte) error {
	missing := map[[32]byte][][]byte{}
	for _, m := range want {
		h := sha256.Sum256(crlf(m))
		missing[h] = append(missing[h], m)
	}
	var faults []error
	if len(got) != len(want) {
		faults = append(faults, fmt.Errorf("%d messages came, not %d", len(got), len(want)))
	}
	var surplus [][]byte
	for _, m := range got {
		h := sha256.Sum256(crlf(m))
		if len(missing[h]) == 0 {
			surplus = append(surplus, m)
			continue
		}
		missing[h] = missing[h][1:]
	}
	var left [][]byte
	for _, group := range missing {
		left = append(left, group...)
	}
	faults = append(faults, name("missing", left)...)
	faults = append(faults, name("not expected", surplus)...)
	return errors.Join(faults...)
}

// name describes the first few messages.
func name(what string, messages [][]byte) []error {
	slices.SortFunc(messages, bytes.Compare)
	var faults []error
	for i, m := range messages {
		if i == 4 {
			return append(faults, fmt.Errorf("%s: %d more", what, len(messages)-i))
		}
		faults = append(faults, fmt.Errorf("%s: %s", what, describe(m)))
	}
	return faults
}

// describe shows a message by its subject, its length and its two ends.
func describe(m []byte) string {
	c := crlf(m)
	subject := ""
	for line := range bytes.Lines(c) {
		if rest, ok := bytes.CutPrefix(line, []byte("Subject: ")); ok {
			subject = string(bytes.TrimSpace(rest))
			break
		}
	}
	head, tail := c, c
	if len(c) > 60 {
		head, tail = c[:60], c[len(c)-60:]
	}
	return fmt.Sprintf("%q, %d octets, %q … %q", subject, len(c), head, tail)
}
