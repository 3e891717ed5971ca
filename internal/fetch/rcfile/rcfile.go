// Package rcfile reads the settings of other fetchers, ~/.fetchmailrc of
// fetchmail and the rc files of getmail, and writes them as [[fetch]] sections.
//
// Nothing is dropped in silence: what an Entry does not say is said by a Note.
// It also reads which messages those programs have fetched, so that nothing is
// fetched a second time.
package rcfile

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postwain/postwain/pop3"
)

const (
	maxFile    = 1 << 20 // octets
	maxEntries = 1000
	// maxWords is how many words an option may have.
	maxWords    = 1000
	maxPassword = 1 << 10 // octets
)

// Entry is a mailbox and what is to become of its mail, in the words of a
// [[fetch]] section.
type Entry struct {
	Line int  // where it begins in its file
	Skip bool // it was switched off there: it is written as a comment

	Name   string
	Source string
	To     string // empty: the other program's has no counterpart

	// Password is what stood in the file in clear. It belongs into
	// PasswordFile.
	Password     Clear
	PasswordFile string
	// PasswordCommand and TokenCommand are programs with their arguments.
	PasswordCommand []string
	TokenCommand    []string
	Auth            string

	CA          string
	Plaintext   bool
	ToPlaintext bool
	Timeout     time.Duration

	Keep        bool
	DeleteAfter time.Duration
	MaxSize     int64 // octets
	Batch       int
	Limit       int
	Every       time.Duration

	Received  bool
	Recipient string

	// Server, Port and User are what the other program calls the mailbox.
	Server string
	Port   int
	User   string
}

// Clear is a secret in clear. It does not show in texts.
type Clear string

func (Clear) String() string   { return "(secret)" }
func (Clear) GoString() string { return "(secret)" }

// Note says what was not taken over, and why, or what to do by hand.
type Note struct {
	File string
	Line int // 0: the file as a whole
	Text string
}

func (n Note) String() string {
	if n.Line == 0 {
		return n.File + ": " + n.Text
	}
	return n.File + ":" + strconv.Itoa(n.Line) + ": " + n.Text
}

// Parse reads a file, which name names in notes and errors, of fetchmail or of
// getmail; it finds out which. A file that the other program would not accept
// is an error, with its line. It may be up to 1 MiB long.
func Parse(name string, r io.Reader) ([]Entry, []Note, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("rcfile: %w", err)
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("rcfile: %s: more than 1 MiB", name)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, nil, fmt.Errorf("rcfile: %s: there is a NUL in it", name)
	}
	in := &importer{file: name, noted: map[Note]bool{}, names: map[string]int{}, files: map[string]int{}}
	if isGetmail(text) {
		err = in.getmail(text)
	} else {
		err = in.fetchmail(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("rcfile: %s:%w", name, err)
	}
	slices.SortStableFunc(in.notes, func(a, b Note) int { return cmp.Compare(a.Line, b.Line) })
	return in.entries, in.notes, nil
}

// isGetmail reports whether the first line that is neither empty nor a comment
// begins a section.
func isGetmail(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != ';' {
			return line[0] == '['
		}
	}
	return false
}

// importer collects what a file gives.
type importer struct {
	file    string
	entries []Entry
	notes   []Note
	noted   map[Note]bool
	names   map[string]int // how often a name was wanted
	files   map[string]int
}

func (in *importer) note(line int, format string, args ...any) {
	n := Note{in.file, line, fmt.Sprintf(format, args...)}
	if !in.noted[n] {
		in.noted[n] = true
		in.notes = append(in.notes, n)
	}
}

// syntax is an error in a line.
func syntax(line int, format string, args ...any) error {
	return fmt.Errorf("%d: %s", line, fmt.Sprintf(format, args...))
}

// add completes an entry, whose mailbox is u, and takes it up.
func (in *importer) add(e Entry, u pop3.URL) error {
	if len(in.entries) == maxEntries {
		return syntax(e.Line, "more than %d mailboxes", maxEntries)
	}
	e.Source = u.String()
	if again, err := pop3.ParseURL(e.Source); err != nil || again != u || u.User == "" || !utf8.ValidString(u.User+u.Host) {
		in.note(e.Line, "the mailbox is left out: user %s at host %s cannot be written as pops://user@host",
			strconv.QuoteToASCII(u.User), strconv.QuoteToASCII(u.Host))
		return nil
	}
	e.User = u.User
	if e.Name = u.User; !strings.Contains(u.User, "@") {
		e.Name += "@" + u.Host
	}
	e.Name = unique(in.names, e.Name)
	if len(e.Password) > maxPassword || strings.ContainsAny(string(e.Password), "\r\n") {
		in.note(e.Line, "the password is too long or has a line end in it; it is left out")
		e.Password = ""
	}
	if e.Password != "" && e.PasswordFile == "" {
		e.PasswordFile = "passwords/" + unique(in.files, fileName(e.Name))
	}
	for _, s := range []*string{&e.To, &e.PasswordFile, &e.Auth, &e.CA, &e.Recipient} {
		if !utf8.ValidString(*s) {
			in.note(e.Line, "%s is not UTF-8; write it anew", strconv.QuoteToASCII(*s))
			*s = ""
		}
	}
	for _, argv := range []*[]string{&e.PasswordCommand, &e.TokenCommand} {
		if line := strings.Join(*argv, " "); !utf8.ValidString(line) {
			in.note(e.Line, "the command %s is not UTF-8; write it anew", strconv.QuoteToASCII(line))
			*argv = nil
		}
	}
	in.entries = append(in.entries, e)
	return nil
}

// unique gives name, or name-2 and so on if it was given before.
func unique(seen map[string]int, name string) string {
	for {
		seen[name]++
		n := seen[name]
		if n == 1 {
			return name
		}
		numbered := name + "-" + strconv.Itoa(n)
		if seen[numbered] == 0 {
			seen[numbered] = 1
			return numbered
		}
	}
}

// fileName makes a name a single path component.
func fileName(name string) string {
	b := []byte(name[:min(len(name), 100)])
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '@' && c != '-' && c != '_' &&
			(c != '.' || i == 0) {
			b[i] = '_'
		}
	}
	return string(b)
}

// relative notes that a path depends on where a program was started.
func (in *importer) relative(line int, what, path string) {
	if path != "" && path[0] != '/' && (len(path) < 2 || path[:2] != "~/") {
		in.note(line, "%s: the path is a relative one; it now begins at the directory of the new file", what)
	}
}
