package rcfile

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// read parses a file and gives the sections and the notes, or an error as the
// sections.
func read(t *testing.T, file string) (sections, notes string) {
	t.Helper()
	entries, list, err := Parse("rc", strings.NewReader(file))
	if err != nil {
		return "error: " + err.Error(), ""
	}
	var b strings.Builder
	if _, err := Write(&b, entries, nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		notes += n.String() + "\n"
	}
	return b.String(), notes
}

// The first half of each row is a file, the second what fetchmail 6.4.37 makes
// of it (fetchmail --configdump): user, password, local names and mda.
func TestFetchmailTokens(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, want string }{
		{`poll a user x pass y`, `x y`},
		{`poll a user "x\x41\65\065\0101\q" pass 'a b\n'`, "xAA5\b1q a_b\n"},
		{`poll a user x pass "se\"cret"`, `x "se"cret"`}, // the glued rest makes it an unquoted word
		{"poll a user x pass \"unterminated\nis y", `x "unterminated y`},
		{`poll a user 1234 pass 5678`, `1234 5678`},
		{`poll a user poll pass keep`, `poll keep`},
		{`poll a:user;x,pass:y`, `x y`},
		{`poll a with user x and has pass and options keep`, `x and`}, // a word behind pass is a password
		{"poll a # proto imap\n#\nuser x#y pass z # keep", `x#y z`},
		{"poll a user \"x\\\ny\" pass \"1\n2\"", "xy 1\n2"},
		{"poll a user x\\\nkeep", `x`},
		{`poll a user x there is y here`, `x - y`},
		{`poll a user y here is x there`, `x - y`},
		{`poll a user x is y`, `x - y`},
		{`poll a user x to b=c d * here`, `x - b=c,d,*`},
		{`poll a pass p is q`, `- p q`},
		{`poll a user x pass "a=b"`, `x a=b`},
		{`poll a auth password user any`, `any`},
		{`poll a user x user y`, `x|y`},
		{`poll a user x poll b user y`, `x|y`},
		{`server a user x`, `x`},
		{`defaults user d pass e poll a`, `d e`},
		{`defaults pass e poll a user x poll b user y pass f`, `x e|y f`},
		{`poll a user ""`, ``},
		{`poll a user x mda "cat >> 'a b'"`, `x - - cat_>>_'a_b'`},
		{``, ``},

		{`poll a user x pass a=b`, `error 1: = in a wrong place`},
		{`poll a user x pass "a b"c`, `error 1: there is a word in a wrong place`},
		{`poll a user x is y timeout 5`, `error 1: an option of the server stands behind`},
		{"poll a user x\nnobody", `error 1: user has more than one name`},
		{`poll`, `error 1: the file ends too early`},
		{"poll\n\n", `error 3: the file ends too early`},
		{`poll a auth pass user x`, `error 1: there is a word in a wrong place`},
		{`poll POP3 user x`, `error 1: pop3 in a wrong place`},
		{`poll a user x limit many`, `error 1: there is a word in a wrong place`},
		{`poll a user x no limit`, `error 1: limit in a wrong place`},
		{`poll a no keep user x`, `error 1: user in a wrong place`},
		{"poll b\ndefaults keep", `error 2: defaults must stand before`},
		{`set daemon = 60`, `error 1: there is a word in a wrong place`},
		{`set keep`, `error 1: keep in a wrong place`},
		{"poll a\x00", `error  there is a NUL`},
	} {
		if want, wrong := strings.CutPrefix(tt.want, "error "); wrong {
			if _, _, err := Parse("rc", strings.NewReader(tt.file)); err == nil || !strings.HasPrefix(err.Error(), "rcfile: rc:"+want) {
				t.Errorf("%q: %v, want %q", tt.file, err, want)
			}
			continue
		}
		if got := people(t, tt.file); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.file, got, tt.want)
		}
	}
}

// people gives, of each user of a file, name, password, local names and mda. A
// space in these is written as _, and what is missing as -, but at the end.
func people(t *testing.T, file string) string {
	t.Helper()
	in := &importer{noted: map[Note]bool{}}
	p := parser{in: in, lex: lexer{in: file, line: 1}, global: settings{}}
	if err := p.file(); err != nil {
		t.Errorf("%q: %v", file, err)
		return ""
	}
	hosts, base := p.hosts, person{}
	if len(hosts) > 0 && hosts[0].name == "defaults" {
		hosts, base = hosts[1:], hosts[0].users[0]
	}
	var all []string
	for _, h := range hosts {
		for _, u := range h.users {
			u.set = u.set.defaulted(base.set)
			words := []string{cmp.Or(u.remote, base.remote), u.set.str("password"), "", u.set.str("mda")}
			for i, l := range u.local {
				if i > 0 {
					words[2] += ","
				}
				if l.there != "" {
					words[2] += l.there + "="
				}
				words[2] += l.here
			}
			for i, w := range words {
				words[i] = cmp.Or(strings.ReplaceAll(w, " ", "_"), "-")
			}
			all = append(all, strings.TrimRight(strings.Join(words, " "), " -"))
		}
	}
	return strings.Join(all, "|")
}

// What becomes of the settings. Sections are given by some of their lines, and
// notes by their beginnings.
func TestFetchmail(t *testing.T) {
	t.Parallel()
	const poll = "poll mx.example.org proto pop3 "
	for _, tt := range []struct {
		file  string
		want  []string // lines of the sections; "!" before what must not be in there
		notes []string
	}{
		{poll + "user alice pass p ssl is al here", []string{
			`name = "alice@mx.example.org"`, `source = "pops://alice@mx.example.org"`, `to = "smtp://localhost:25"`,
			`recipient = "al@localhost"`, `to_plaintext = true`, `received = true`, "!keep", "!plaintext = true\n#", "!every", "!auth", "!\nca ="}, nil},
		{poll + "user alice@example.org pass p ssl is al", []string{`name = "alice@example.org"`, `source = "pops://alice%40example.org@mx.example.org"`}, nil},
		{poll + "user a pass p is b", []string{`source = "pop://a@mx.example.org"`, "!\nplaintext"}, []string{"without ssl"}},
		{poll + "user a pass p is b sslproto ''", []string{`source = "pop://a@mx.example.org"`, "\nplaintext = true"}, []string{"sslproto: no TLS"}},
		{poll + "port 1995 user a pass p is b ssl", []string{`source = "pops://a@mx.example.org:1995"`}, nil},
		{poll + "service pop3s user a pass p is b", []string{`source = "pops://a@mx.example.org"`}, []string{"port 995"}},
		{poll + "service 'pop3' user a pass p is b ssl", []string{`source = "pops://a@mx.example.org:110"`}, nil},
		{poll + "service foo user a pass p", []string{"!fetch"}, []string{"the mailbox is left out: service"}},
		{poll + "via mx2.example.org user a pass p is b ssl", []string{`source = "pops://a@mx2.example.org"`}, nil},
		{"poll ::1 proto pop3 user a pass p is b ssl", nil, nil},
		{"poll '::1' proto pop3 user a pass p is b ssl", []string{`source = "pops://a@[::1]"`}, nil},
		{"poll h user a pass p ssl is b", []string{`source = "pops://a@h"`}, []string{"fetchmail tries IMAP"}},
		{"poll h proto imap user a", []string{"!fetch"}, []string{"the mailbox is left out: imap"}},
		{"poll h proto KPOP user a", []string{"!fetch"}, []string{"the mailbox is left out: kpop"}},
		{"poll h proto apop user a pass p ssl is b", []string{`auth = "APOP"`}, nil},
		{poll + "pass p is b ssl", []string{"!fetch"}, []string{"the mailbox is left out: without user"}},
		{poll + "user \"a\\nQUIT\" pass p is b ssl", []string{"!fetch", "!QUIT"}, []string{"the mailbox is left out: user"}},
		{poll + "user a ssl is b", []string{"!password"}, []string{"there is no password"}},
		{poll + "user a pass \"p\\nq\" ssl is b", []string{"!password"}, []string{"the password is too long or"}},
		{poll + "user a passwordfile /p pass p ssl is b", []string{`password_file = "/p"`, "!put the password"}, []string{"password: it has no effect"}},
		{poll + "user a passwordfile /p ssl is b", []string{`password_file = "/p"`}, nil},
		{poll + "auth cram-md5 user a pass p ssl is b", []string{`auth = "CRAM-MD5"`}, nil},
		{poll + "auth xoauth2 user a pass p ssl is b", []string{`auth = "XOAUTH2"`}, []string{"auth xoauth2"}},
		{poll + "auth ntlm user a pass p ssl is b", []string{"!auth"}, []string{"auth ntlm"}},
		{poll + "timeout 90 user a pass p ssl is b keep limit 1048576 expunge 5 fetchlimit 7 sslcertfile /ca", []string{
			`timeout = "90s"`, "keep = true", `max_size = "1MiB"`, "batch = 5", "limit = 7", `ca = "/ca"`}, nil},
		{poll + "user a pass p ssl is b sslcertfile ca", []string{`ca = "ca"`}, []string{"sslcertfile: the path is a relative one"}},
		{poll + "user a pass p ssl is b no sslcertck", nil, []string{"no sslcertck"}},
		{poll + "user a pass p ssl is b sslproto SSL3", nil, []string{"sslproto: TLS 1.2"}},
		{poll + "user a pass p ssl is b keep no keep", []string{"!keep"}, nil},
		{poll + "user a pass p ssl is b keep fetchall flush", nil, []string{"flush: mail that", "fetchall: ", "flush: with keep"}},
		{"set daemon 300 " + poll + "interval 2 user a pass p ssl is b", []string{`every = "10m"`}, nil},
		{"set daemon 9223372036854775807 " + poll + "interval 9223372036854775807 user a pass p ssl is b", []string{`every = "36500d"`}, nil},
		{poll + "interval 2 user a pass p ssl is b", []string{"!every"}, []string{"interval: "}},
		{"set invisible " + poll + "user a pass p ssl is b", []string{"received = false"}, nil},
		{"skip h proto pop3 user a pass p ssl is b", []string{"# [[fetch]]", "# name = ", "!\nname"}, nil},
		{poll + "user a pass p ssl is b user a pass q is c", []string{`name = "a@mx.example.org-2"`, `"passwords/a@mx.example.org-2"`}, []string{"without ssl"}},

		{poll + "user a pass p ssl is b smtphost s.example.org/2525 t", []string{`to = "smtp://s.example.org:2525"`, `recipient = "b@s.example.org"`, "to_plaintext = true"},
			[]string{"smtphost: only the first", "fetchmail delivers to"}},
		{poll + "user a pass p ssl is b smtpaddress d.example.org", []string{`recipient = "b@d.example.org"`}, nil},
		{poll + "user a pass p ssl is b smtpname c@d.example.org", []string{`recipient = "c@d.example.org"`}, nil},
		{poll + "user a pass p ssl is c@d.example.org", []string{`recipient = "c@d.example.org"`}, nil},
		{poll + "user a pass p ssl is b lmtp smtphost localhost/2003", []string{`to = "lmtp://localhost:2003"`, "!to_plaintext"}, nil},
		{poll + "user a pass p ssl is b lmtp smtphost /run/lmtp", []string{`to = "lmtp:/run/lmtp"`, `recipient = "b@localhost"`}, nil},
		{poll + "user a pass p ssl is b smtphost /run/smtp", []string{"# to ="}, []string{"smtphost: SMTP over a socket"}},
		{poll + "user a pass p ssl is b bsmtp /x lmtp", []string{"# to ="}, []string{"lmtp: it has no effect", "bsmtp: "}},
		{poll + "user a pass p ssl", []string{"!recipient"}, []string{"without a local name"}},
		{poll + "user a pass p ssl to b c d", []string{`recipient = "b@localhost"`}, []string{multidrop}},
		{poll + "user a pass p ssl to x=b *", []string{`recipient = "b@localhost"`}, []string{multidrop}},
		{poll + "user a pass p ssl to *", []string{"!recipient"}, []string{multidrop, "without a local name"}},
		{poll + "user a pass p ssl is b mda '/usr/bin/procmail -d %T'", []string{`to = "exec:/usr/bin/procmail -d b"`, "!recipient"}, nil},
		{poll + "user a pass p ssl is \"b'; x\" mda '/usr/bin/procmail -d %s'", []string{`to = "exec:/bin/sh -c '/usr/bin/procmail -d '\\''b'\\''\\'\\'''\\''; x'\\'''"`}, []string{"mda: a shell"}},
		{poll + "user a pass p ssl is b mda 'lda -f %F -d %T -x %% %'", []string{`to = "exec:lda -f '' -d b -x %% %"`}, []string{"mda: the sender"}},
		{poll + "user a pass p ssl is b mda \"tee -a x | lda\" smtphost x", []string{`to = "exec:/bin/sh -c 'tee -a x | lda'"`}, []string{"smtphost: it has no effect", "mda: a shell"}},
		{poll + "user a pass p ssl is \xff smtphost x.example.org", []string{"!recipient"}, []string{"fetchmail delivers to", `"\xff@x.example.org" is not UTF-8`}},
	} {
		sections, notes := read(t, tt.file)
		for _, want := range tt.want {
			if not, negated := strings.CutPrefix(want, "!"); strings.Contains(sections, not) != negated {
				continue
			}
			t.Errorf("%q: want %q in\n%s", tt.file, want, sections)
		}
		lines := strings.Split(strings.TrimSuffix(notes, "\n"), "\n")
		if notes == "" {
			lines = nil
		}
		fits := len(lines) == len(tt.notes)
		for i := 0; fits && i < len(lines); i++ {
			fits = strings.HasPrefix(lines[i], "rc:1: "+tt.notes[i])
		}
		if !fits && !strings.HasPrefix(sections, "error") {
			t.Errorf("%q: notes %q, want %q", tt.file, lines, tt.notes)
		}
	}
}

// usual are the options that do here what always happens, as "no x" or as "x".
var usual = []string{
	"no bouncemail", "no spambounce", "softbounce", "no syslog", "no invisible", "no showdots",
	"uidl", "no dns", "no checkalias", "no envelope", "no tracepolls", "bad-header accept", "protocol pop3", "auth any", "auth password",
	"no keep", "no flush", "no limitflush", "fetchall", "no fetchall", "no rewrite", "no forcecr", "no stripcr", "no pass8bits",
	"no dropstatus", "no dropdelivered", "no mimedecode", "no idle", "no forceidle", "no ssl", "sslcertck",
}

// Every option changes a section or is noted, or it is in the list above.
func TestNoOptionIsDropped(t *testing.T) {
	t.Parallel()
	build := func(s scope, option string) string {
		parts := []string{"", "poll h proto pop3 ", "", "user a pass p is b ", ""}
		parts[map[scope]int{global: 0, server: 2, user: 4}[s]] = option + " "
		if s == global && option != "" {
			parts[0] = "set " + parts[0]
		}
		if option == "interval 7" {
			parts[0] = "set daemon 60 "
		}
		return strings.Join(parts, "")
	}
	sections, notes := read(t, build(user, ""))
	for name, r := range rules {
		if name == "password" { // no section shows it
			continue
		}
		var forms []string
		switch r.value {
		case flag:
			forms = []string{name, "no " + name}
		case set:
			forms = []string{name}
		case one:
			forms = []string{name + " 'other'"}
		case count, counts:
			forms = []string{name + " 7"}
		case several:
			forms = []string{name + " x y"}
		case special:
			forms = map[string][]string{
				"protocol": {"protocol pop3", "protocol auto", "protocol imap", "protocol apop", "protocol sdps", "protocol kpop", "protocol etrn"},
				"auth":     {"auth any", "auth password", "auth ntlm", "auth otp", "auth msn", "auth ssh", "auth gssapi", "auth external", "auth kerberos_v5", "auth cram-md5"},
				"service":  {"service 7", "service pop3s", "service x"}, "envelope": {"envelope 'x'", "envelope 2 'x'", "no envelope"},
				"bad-header": {"bad-header accept", "bad-header reject"},
			}[name]
		}
		if len(forms) == 0 {
			t.Errorf("%s is not tested", name)
		}
		for _, form := range forms {
			s, n := read(t, build(r.scope, form))
			if strings.HasPrefix(s, "error") {
				t.Errorf("%s: %s", form, s)
			}
			dropped := s == sections && n == notes
			if dropped != slices.Contains(usual, form) {
				t.Errorf("%s: dropped is %v", form, dropped)
			}
		}
	}
}

// What an attacker, or a cat, may write is read in a time that grows with its
// length only.
func TestLargeFiles(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"\"", "'\"", "\\", "#", "no ", "x=", "poll a user b pass c is d ", "user a ", "is a ", "poll a ", "aka a ", ":;, ", "[a]\n", "\n "} {
		for _, front := range []string{"", "poll a user b is ", "[retriever]\ntype = ", "[retriever]\npassword_command = (", "defaults aka x " + strings.Repeat("y ", 900)} {
			file := front + strings.Repeat(part, (maxFile-len(front))/len(part))
			entries, _, _ := Parse("rc", strings.NewReader(file))
			if len(entries) > maxEntries {
				t.Errorf("%q: %d entries", part, len(entries))
			}
		}
	}
	if _, _, err := Parse("rc", strings.NewReader(strings.Repeat(" ", maxFile+1))); err == nil {
		t.Error("a larger file is read")
	}
}
