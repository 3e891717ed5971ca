package rcfile

import (
	"strings"
)

// key is a key of a getmail rc file with its value, whose lines are joined by
// line feeds.
type key struct {
	line        int
	name, value string
	used        bool
}

// section is a section of a getmail rc file. Its name is as it is written.
type section struct {
	line int
	name string
	keys []*key
	by   map[string]*key
}

// get gives the value of a key, and marks it as used.
func (s *section) get(name string) (value string, line int) {
	k := s.by[name]
	if k == nil {
		return "", 0
	}
	k.used = true
	return k.value, k.line
}

// parseINI reads the sections of a file as Python's RawConfigParser does:
// comments are whole lines that begin with # or ;, a line that is indented
// deeper than its key goes on with the value, and the names of keys are in
// lower case.
func parseINI(text string) ([]*section, error) {
	var (
		all   []*section
		named = map[string]bool{}
		now   *section
		last  *key
		depth int // of last
		parts []string
		line  int
	)
	finish := func() {
		if last != nil {
			last.value = strings.TrimRight(strings.Join(parts, "\n"), "\n")
		}
		last, parts = nil, nil
	}
	for raw := range strings.Lines(text) {
		line++
		s := strings.TrimSpace(raw)
		indent := len(raw) - len(strings.TrimLeft(raw, " \t\v\f"))
		switch {
		case s != "" && (s[0] == '#' || s[0] == ';'):
		case s == "":
			if last != nil {
				parts = append(parts, "")
			}
		case last != nil && indent > depth:
			parts = append(parts, s)
		case s[0] == '[' && strings.IndexByte(s, ']') > 1:
			finish()
			name := s[1:strings.IndexByte(s, ']')]
			if named[name] {
				return nil, syntax(line, "this section is there twice")
			}
			named[name] = true
			now = &section{line: line, name: name, by: map[string]*key{}}
			all = append(all, now)
		default:
			finish()
			i := strings.IndexAny(s, "=:")
			if i <= 0 {
				return nil, syntax(line, "there is no key = value here")
			}
			if now == nil {
				return nil, syntax(line, "there is no section before this key")
			}
			k := &key{line: line, name: strings.ToLower(strings.TrimSpace(s[:i]))}
			if now.by[k.name] != nil {
				return nil, syntax(line, "this key is there twice")
			}
			now.by[k.name], now.keys = k, append(now.keys, k)
			last, depth, parts = k, indent, []string{strings.TrimSpace(s[i+1:])}
		}
	}
	finish()
	return all, nil
}
