package rcfile

import (
	"slices"
	"strings"
	"testing"
)

func TestTuple(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want []string // nil: an error
	}{
		{`("pass", "mail/alice")`, []string{"pass", "mail/alice"}},
		{`('pass', 'mail/alice',)`, []string{"pass", "mail/alice"}},
		{`("pass",)`, []string{"pass"}},
		{`"pass", "x"`, []string{"pass", "x"}},
		{`"pass",`, []string{"pass"}},
		{"( 'a' ,\n # comment )\n'b'\n)", []string{"a", "b"}},
		{`('a' "b" r'\c', 5)`, []string{`ab\c`, "5"}},
		{`('''it's''', """a
"b" """)`, []string{"it's", "a\n\"b\" "}},
		{`('\'', "\"", '\\', '\n\t\x41\101\u00e9\U0001F600\q')`, []string{"'", `"`, `\`, "\n\tAA\u00e9\U0001F600\\q"}},
		{"('a\\\nb',)", []string{"ab"}},
		{`(r'\'', '')`, []string{`\'`, ""}},
		{`()`, []string{}},
		{``, []string{}},
		{`("pass")`, nil}, // a string
		{`"pass"`, nil},
		{`pass, x`, nil},
		{`("a" "b")`, nil},
		{`("a", b)`, nil},
		{`("a",, "b")`, nil},
		{`(,)`, nil},
		{`("a", "b"`, nil},
		{`("a", "b") x`, nil},
		{`("a", 'b`, nil},
		{"('a\nb',)", nil},
		{`('\x4',)`, nil},
		{`('\U00110000',)`, nil},
		{`('\N{BULLET}',)`, nil},
		{`(b'a',)`, nil},
		{`(f'a',)`, nil},
		{`('a\`, nil},
		{`(("a", "b"),)`, nil},
		{`__import__('os').system('id')`, nil},
		{"(" + strings.Repeat(`"x",`, maxWords) + ")", slices.Repeat([]string{"x"}, maxWords)},
		{"(" + strings.Repeat(`"x",`, maxWords+1) + ")", nil},
	} {
		got, err := parseTuple(tt.text)
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%.60q: %.60q, %v, want %.60q", tt.text, got, err, tt.want)
		}
	}
}

func TestINI(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"[a]\nb = c\nD: e f\n", "[a] b=c d=e f"},
		{"# x\n; y\n\n[a]\nb=c # no comment\n", "[a] b=c # no comment"},
		{"[a]\nb = c\n  d\n# x\n\n\te\n\nf=g", "[a] b=c/d//e f=g"},
		{"[a]\n  b = c\n  d = e\n    f\n", "[a] b=c d=e/f"},
		{"[a]\nb =\n  c\n", "[a] b=/c"},
		{"[a]\nb = c = d : e\n", "[a] b=c = d : e"},
		{"[a]\nb = c\n  [d]\n[e]\n", "[a] b=c/[d] [e]"},
		{"[a]\r\nb = c\r\n", "[a] b=c"},
		{"[A] x\n", "[A]"},
		{"b = c\n", "1: there is no section"},
		{"[a]\nb\n", "2: there is no key = value"},
		{"[a]\n= c\n", "2: there is no key = value"},
		{"[]\n", "1: there is no key = value"},
		{"[a]\nb = c\nB = d\n", "3: this key is there twice"},
		{"[a]\n[b]\n[a]\n", "3: this section is there twice"},
	} {
		sections, err := parseINI(tt.text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
			}
			continue
		}
		var words []string
		for _, s := range sections {
			words = append(words, "["+s.name+"]")
			for _, k := range s.keys {
				words = append(words, k.name+"="+strings.ReplaceAll(k.value, "\n", "/"))
			}
		}
		if got := strings.Join(words, " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

const (
	simple  = "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = mx.example.org\nusername = alice\npassword = sesame\n"
	maildir = "[destination]\ntype = Maildir\npath = ~/Maildir/\n"
)

func TestGetmail(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file  string
		want  []string
		notes []string
	}{
		"simple": {simple + maildir + "[options]\ndelete = true\n", []string{
			`name = "alice@mx.example.org"`, `source = "pops://alice@mx.example.org"`, `to = "maildir:~/Maildir/"`,
			`password_file = "passwords/alice@mx.example.org"`, `timeout = "3m"`, "received = true", "!keep", "!delete_after"}, nil},
		"kept": {simple + maildir, []string{"keep = true"}, []string{"read_all: "}},
		"delete after": {simple + maildir + "[options]\ndelete_after = 7\nread_all = no\nmax_message_size = 1000\nmax_messages_per_session = 9\nreceived = off\n",
			[]string{"!keep", `delete_after = "7d"`, `max_size = "1000"`, "limit = 9", "received = false"}, nil},
		"both": {simple + maildir + "[options]\ndelete_after = 7\ndelete = yes\n", []string{"!keep", "!delete_after"}, []string{"delete_after: "}},
		"clear": {strings.Replace(simple, "SSL", "", 1) + maildir + "[options]\ndelete=1\n", []string{`source = "pop://alice@mx.example.org"`, "!plaintext"},
			[]string{"getmail sends the password in clear"}},
		"port": {simple + "port = 1995\ntimeout = 60\nuse_apop = true\nca_certs = ${HOME}/ca.pem\n" + maildir + "[options]\ndelete=1\n",
			[]string{"mx.example.org:1995", `timeout = "1m"`, `auth = "APOP"`, `ca = "~/ca.pem"`}, nil},
		"bad numbers": {simple + "port = x\ntimeout = -1\n" + maildir + "[options]\ndelete=maybe\nread_all=no\n", []string{`pops://alice@mx.example.org"`, "keep = true"},
			[]string{"port: ", "timeout: ", "delete: "}},
		"command": {strings.Replace(simple, "password = sesame", `password_command = ("pass", "it's")`, 1) + maildir + "[options]\ndelete=1\n",
			[]string{`password_command = "pass 'it'\\''s'"`, "!password_file"}, nil},
		"token": {strings.Replace(simple, "password = sesame", `password_command = ("token", "alice")`+"\nuse_xoauth2 = True", 1) + maildir + "[options]\ndelete=1\n",
			[]string{`token_command = "token alice"`, `auth = "XOAUTH2"`, "!password_command"}, nil},
		"nothing": {strings.Replace(simple, "password = sesame", "", 1) + maildir + "[options]\ndelete=1\n", []string{"!password"}, []string{"there is no password"}},
		"IMAP":    {strings.Replace(simple, "POP3", "IMAP", 1) + "mailboxes = ALL\n" + maildir, []string{"!fetch"}, []string{"the mailbox is left out"}},
		"mbox":    {simple + "[destination]\ntype = Mboxrd\npath = /var/mail/alice\nlocktype = flock\n[options]\ndelete=1\n", []string{`to = "mbox:/var/mail/alice"`}, []string{`"locktype"`}},
		"mda":     {simple + "[destination]\ntype = MDA_external\npath = /bin/lda\narguments = ('-d', 'a b')\n[options]\ndelete=1\n", []string{`to = "exec:/bin/lda -d 'a b'"`}, nil},
		"mda with sender": {simple + "[destination]\ntype = MDA_external\npath = ~/lda\narguments = ('-f', '%(sender)', '$HOME')\n[options]\ndelete=1\n",
			[]string{`to = "exec:'~/lda' -f '%(sender)' '$HOME'"`}, []string{"path: ~", "arguments: %(sender)", "arguments: ~"}},
		"lmtp": {simple + "[destination]\ntype = MDA_lmtp\nhost = 127.0.0.1\nport = 24\noverride = bob@example.org\n[options]\ndelete=1\n",
			[]string{`to = "lmtp://127.0.0.1:24"`, `recipient = "bob@example.org"`}, nil},
		"lmtp socket": {simple + "[destination]\ntype = MDA_lmtp\nhost = /run/lmtp\nfallback = x\n[options]\ndelete=1\n", []string{`to = "lmtp:/run/lmtp"`},
			[]string{"the recipients are not looked up", `"fallback"`}},
		"sorter": {simple + "[destination]\ntype = MultiSorter\ndefault = [x]\nlocals = (('a', '[x]'),)\n[x]\ntype = Maildir\npath = ~bob/x/\n[filter-1]\ntype = F\n[options]\ndelete=1\n",
			[]string{"# to ="}, []string{"a destination", `"default"`, `"locals"`, `section "x": dest`, `section "filter-1": filters`}},
		"other's home": {simple + "[destination]\ntype = Maildir\npath = ~bob/x/\n[options]\ndelete=1\n", []string{`to = "maildir:~bob/x/"`}, []string{"path: other people's"}},
		"unknown":      {simple + maildir + "[options]\ndelete=1\nfoo=1\n", nil, []string{`"foo": there is no counterpart`}},
		"no retriever": {maildir, []string{"error: rcfile: rc:1: there is no section [retriever]"}, nil},
		"twice":        {simple + simple, []string{"error: rcfile: rc:6: this section is there twice"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sections, notes := read(t, tt.file)
			for _, want := range tt.want {
				if not, negated := strings.CutPrefix(want, "!"); strings.Contains(sections, not) == negated {
					t.Errorf("want %q in\n%s", want, sections)
				}
			}
			var lines []string
			for line := range strings.Lines(notes) {
				_, text, _ := strings.Cut(line, ": ")
				lines = append(lines, text)
			}
			if !slices.EqualFunc(lines, tt.notes, strings.HasPrefix) {
				t.Errorf("notes %q, want %q", lines, tt.notes)
			}
		})
	}
}

// getmailKeys are the keys that getmail6 6.18 has for POP3 and for its
// destinations, with a value that is not the usual one.
var getmailKeys = map[string]string{
	"retriever": "timeout=7 port=7 use_apop=true delete_dup_msgids=true keyfile=x certfile=x ca_certs=/x ssl_fingerprints=('x',) " +
		"ssl_version=x ssl_ciphers=x ssl_cert_hostname=x envelope_recipient=x:1 use_xoauth2=true password_command=('x',)",
	"destination": "user=x filemode=0644 locktype=flock group=x allow_root_commands=true unixfrom=true ignore_stderr=true pipe_stdout=false " +
		"arguments=('x',) qmaillocal=x homedir=x localdomain=x defaultdelivery=x conf-break=x localpart_translate=('x',) strip_delivered_to=true " +
		"destinations=('x',) default=x locals=()",
	"options": "read_all=false delete=true delete_after=7 delete_bigger_than=7 max_message_size=7 max_messages_per_session=7 max_bytes_per_session=7 " +
		"delivered_to=true received=false verbose=2 message_log=x message_log_verbose=true message_log_syslog=true fingerprint=true use_netrc=true " +
		"netrc_file=x skip_imap_fetch_size=true",
}

// Each key changes the section or is noted; to_oldmail_on_each_mail is what
// always happens.
func TestNoGetmailKeyIsDropped(t *testing.T) {
	t.Parallel()
	base := map[string]string{"retriever": simple, "destination": maildir, "options": "[options]\nto_oldmail_on_each_mail = true\n"}
	file := func(in, key string) string {
		text := ""
		for _, s := range []string{"retriever", "destination", "options"} {
			text += base[s]
			if s == in {
				text += key + "\n"
			}
		}
		return text
	}
	sections, notes := read(t, file("", ""))
	for in, keys := range getmailKeys {
		for key := range strings.FieldsSeq(keys) {
			s, n := read(t, file(in, key))
			if s == sections && withoutLines(n) == withoutLines(notes) {
				t.Errorf("%s is dropped", key)
			}
		}
	}
}

// withoutLines leaves the numbers of lines out of notes.
func withoutLines(notes string) string {
	var b strings.Builder
	for line := range strings.Lines(notes) {
		_, text, _ := strings.Cut(line, ": ")
		b.WriteString(text)
	}
	return b.String()
}
