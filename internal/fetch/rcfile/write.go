package rcfile

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Secret is a password and the file that it belongs into: a path that begins at
// the directory of the configuration, for a file of mode 0600.
type Secret struct {
	File  string
	Value Clear
}

// Write writes entries as [[fetch]] sections with the notes, as comments, in
// front of them. No secret is written: those that the entries had are returned
// with the files that the sections name for them.
func Write(w io.Writer, entries []Entry, notes []Note) ([]Secret, error) {
	out := bufio.NewWriter(w)
	if len(notes) > 0 {
		fmt.Fprint(out, "# Not all was taken over as it was:\n#\n")
		for _, n := range notes {
			fmt.Fprintf(out, "# %s\n", comment(n.String()))
		}
		fmt.Fprint(out, "\n")
	}
	var secrets []Secret
	for i := range entries {
		if i > 0 {
			fmt.Fprint(out, "\n")
		}
		e := &entries[i]
		text := e.section()
		if e.Skip {
			text = "# It was switched off.\n" + text
			text = "# " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n# ") + "\n"
			text = strings.Replace(text, "# # ", "# ", 1)
		}
		out.WriteString(text)
		if e.Password != "" {
			secrets = append(secrets, Secret{e.PasswordFile, e.Password})
		}
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("rcfile: %w", err)
	}
	return secrets, nil
}

// section is the text of one section.
func (e *Entry) section() string {
	var b strings.Builder
	b.WriteString("[[fetch]]\n")
	line := func(key, value, remark string) {
		if value == "" {
			return
		}
		fmt.Fprintf(&b, "%s = %s", key, value)
		if remark != "" {
			b.WriteString(" # " + remark)
		}
		b.WriteByte('\n')
	}
	line("name", basic(e.Name), "")
	line("source", basic(e.Source), "")
	if e.To == "" {
		b.WriteString("# to = \"maildir:PATH\" # write where the mail is to go\n")
	}
	line("to", basic(e.To), "")
	remark := ""
	if e.Password != "" {
		remark = "put the password into this file, mode 0600"
	}
	line("password_file", basic(e.PasswordFile), remark)
	line("password_command", basic(join(e.PasswordCommand)), "")
	line("token_command", basic(join(e.TokenCommand)), "")
	line("auth", basic(e.Auth), "")
	line("ca", basic(e.CA), "")
	line("plaintext", yes(e.Plaintext), "the password and the mail can be read on the way")
	line("timeout", duration(e.Timeout), "")
	line("keep", yes(e.Keep), "")
	line("delete_after", duration(e.DeleteAfter), "")
	line("max_size", size(e.MaxSize), "")
	line("batch", integer(e.Batch), "")
	line("limit", integer(e.Limit), "")
	line("every", duration(e.Every), "")
	line("received", strconv.FormatBool(e.Received), "")
	line("recipient", basic(e.Recipient), "")
	line("to_plaintext", yes(e.ToPlaintext), "")
	return b.String()
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func integer(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// duration gives the form with one unit.
func duration(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if d > 0 && d%u.unit == 0 {
			return basic(strconv.FormatInt(int64(d/u.unit), 10) + u.name)
		}
	}
	return ""
}

// size gives the form with one unit.
func size(n int64) string {
	for _, u := range []struct {
		name   string
		octets int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}} {
		if n > 0 && n%u.octets == 0 {
			return basic(strconv.FormatInt(n/u.octets, 10) + u.name)
		}
	}
	return ""
}

// basic gives a basic string of TOML, or "" for an empty one.
func basic(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c >= 0x7F && c < 0xA0:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// comment makes s one line that a comment can have.
func comment(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7F && c < 0xA0 || c == 0x2028 || c == 0x2029 {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}
