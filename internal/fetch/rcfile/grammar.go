package rcfile

import "strconv"

// option is an option as it was last given.
type option struct {
	line  int
	no    bool
	words []string
}

// settings are options by their names.
type settings map[string]option

// defaulted gives s with the options of base that s does not have. Lists grow
// by those of base.
func (s settings) defaulted(base settings) settings {
	all := make(settings, len(s)+len(base))
	for name, o := range base {
		all[name] = o
	}
	for name, o := range s {
		if under, ok := all[name]; ok && rules[name].value == several {
			o.words = append(o.words[:len(o.words):len(o.words)], under.words...)
		}
		all[name] = o
	}
	return all
}

func (s settings) has(name string) bool { return s[name].line > 0 }

// on reports whether a flag is set.
func (s settings) on(name string) bool { return s.has(name) && !s[name].no }

// str gives the string of an option, or "".
func (s settings) str(name string) string {
	if o := s[name]; len(o.words) > 0 {
		return o.words[len(o.words)-1]
	}
	return ""
}

// num gives the number of an option, or 0.
func (s settings) num(name string) int64 {
	n, _ := strconv.ParseInt(s.str(name), 10, 64)
	return max(n, 0)
}

// host is a server entry of a fetchmailrc.
type host struct {
	line  int
	name  string
	skip  bool
	set   settings
	users []person
}

// person is a user description.
type person struct {
	line   int
	remote string
	local  []local
	set    settings
}

// local is a local user, who gets the mail for a name there, or for all.
type local struct{ there, here string }

// parser reads the grammar of a fetchmailrc.
type parser struct {
	in     *importer
	lex    lexer
	at     token
	global settings
	hosts  []host
}

func (p *parser) advance() { p.at = p.lex.next() }

func (p *parser) isWord(s string) bool { return p.at.kind == word && p.at.s == s }

func (p *parser) unexpected() error {
	switch p.at.kind {
	case end:
		return syntax(p.at.line, "the file ends too early")
	case equals:
		return syntax(p.at.line, "= in a wrong place; a value with a = in it needs quotes")
	case text: // it may be a password that was not quoted
		return syntax(p.at.line, "there is a word in a wrong place; a value with a space or one of , ; : in it needs quotes")
	}
	return syntax(p.at.line, "%s in a wrong place", p.at.s)
}

func (p *parser) file() error {
	for p.advance(); p.at.kind != end; {
		var err error
		switch {
		case p.isWord("set"):
			p.advance()
			err = p.option(global, p.global)
		case p.isWord("poll"), p.isWord("skip"), p.isWord("defaults"):
			err = p.host()
		default:
			err = p.unexpected()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) host() error {
	h := host{line: p.at.line, name: "defaults", skip: p.at.s == "skip", set: settings{}}
	named := !p.isWord("defaults")
	p.advance()
	if named {
		if p.at.kind != text {
			return p.unexpected()
		}
		h.name = p.at.s
		p.advance()
	} else if len(p.hosts) > 0 {
		return syntax(h.line, "defaults must stand before all servers")
	}
	for p.begins(server) {
		if err := p.option(server, h.set); err != nil {
			return err
		}
	}
	implicit := p.begins(user)
	for implicit && len(h.users) == 0 || p.isWord("user") {
		u := person{line: p.at.line, set: settings{}}
		if !implicit {
			p.advance()
			if err := p.person(&u); err != nil {
				return err
			}
		}
		for p.begins(user) {
			if err := p.userOption(&u); err != nil {
				return err
			}
		}
		h.users = append(h.users, u)
		if implicit {
			break
		}
	}
	if p.begins(server) {
		return syntax(p.at.line, "an option of the server stands behind those of a user")
	}
	if len(h.users) == 0 {
		h.users = []person{{line: h.line, set: settings{}}}
	}
	p.hosts = append(p.hosts, h)
	if len(p.hosts) > maxEntries {
		return syntax(h.line, "more than %d servers", maxEntries)
	}
	return nil
}

// begins reports whether an option of that scope is next. It looks behind "no".
func (p *parser) begins(s scope) bool {
	if p.at.kind != word {
		return false
	}
	name := p.at.s
	if name == "no" {
		ahead := p.lex // a copy
		name = ahead.next().s
	}
	r, ok := rules[name]
	return ok && r.scope == s || s == user && (name == "is" || name == "to")
}

// person reads what follows "user": the name there, or those here.
func (p *parser) person(u *person) error {
	names, err := p.mappings()
	switch {
	case err != nil:
		return err
	case p.isWord("here"):
		u.local = names
	case len(names) != 1 || names[0].there != "":
		return syntax(u.line, "user has more than one name, and no \"here\"")
	default:
		u.remote = names[0].here
		if !p.isWord("there") {
			return nil
		}
	}
	p.advance()
	return nil
}

// mappings reads names, or pairs THERE = HERE.
func (p *parser) mappings() ([]local, error) {
	var names []local
	for p.at.kind == text {
		name := local{here: p.at.s}
		p.advance()
		if p.at.kind == equals {
			if p.advance(); p.at.kind != text {
				return nil, p.unexpected()
			}
			name = local{there: name.here, here: p.at.s}
			p.advance()
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, p.unexpected()
	}
	return names, nil
}

func (p *parser) userOption(u *person) error {
	if !p.isWord("is") && !p.isWord("to") {
		return p.option(user, u.set)
	}
	is := p.isWord("is")
	p.advance()
	names, err := p.mappings()
	if err != nil {
		return err
	}
	if is && p.isWord("there") && len(names) == 1 && names[0].there == "" {
		u.remote = names[0].here
		p.advance()
		return nil
	}
	if u.local = append(u.local, names...); len(u.local) > maxWords {
		return syntax(u.line, "more than %d local names", maxWords)
	}
	if p.isWord("here") {
		p.advance()
	}
	return nil
}

// option reads an option into to, and notes what is not taken over.
func (p *parser) option(s scope, to settings) error {
	o := option{line: p.at.line}
	if o.no = p.isWord("no"); o.no {
		p.advance()
	}
	name := p.at.s
	r, ok := rules[name]
	if s == global && name == "properties" {
		r.scope = global
	}
	if p.at.kind != word || !ok || r.scope != s || o.no && r.value != flag && name != "envelope" {
		return p.unexpected()
	}
	p.advance()
	if s == global && r.value != flag && p.at.kind == equals {
		p.advance()
	}
	var err error
	if !o.no {
		if o.words, err = p.value(name, r.value, o.line); err != nil {
			return err
		}
	}
	if was := to[name]; r.value == several || r.value == counts {
		o.words = append(was.words, o.words...)
	}
	if len(o.words) > maxWords {
		return syntax(o.line, "%s has more than %d words", name, maxWords)
	}
	to[name] = o
	if o.no && r.no != "" {
		p.in.note(o.line, "no %s: %s", name, r.no)
	} else if !o.no && r.yes != "" {
		p.in.note(o.line, "%s: %s", name, r.yes)
	}
	return nil
}

// value reads what follows an option.
func (p *parser) value(name string, v value, line int) ([]string, error) {
	var words []string
	take := func(kinds ...kind) bool {
		for _, k := range kinds {
			if p.at.kind == k {
				words = append(words, p.at.s)
				p.advance()
				return true
			}
		}
		return false
	}
	ok := true
	switch v {
	case one:
		ok = take(text)
	case count:
		ok = take(number)
	case several:
		for ok = take(text); ok && take(text); {
		}
	case counts:
		for ok = take(number); ok && take(number); {
		}
	case special:
		switch name {
		case "protocol":
			ok = take(protocol)
		case "auth":
			ok = take(mechanism)
		case "service":
			ok = take(text, number)
		case "envelope":
			if p.at.kind == number { // how many such lines to skip
				p.advance()
			}
			ok = take(text)
		case "bad-header":
			ok = p.isWord("accept") || p.isWord("reject")
			if ok && p.at.s == "reject" {
				p.in.note(line, "bad-header: messages with a bad header are fetched like all others")
			}
			if ok {
				p.advance()
			}
		}
	}
	if !ok {
		return nil, p.unexpected()
	}
	return words, nil
}
