package rcfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/postwain/postwain/internal/config"
)

// What is written is a configuration that loads, and has no secret in it.
func TestWrite(t *testing.T) {
	t.Parallel()
	const file = `set daemon 300
defaults proto pop3 timeout 60
poll mx.example.org user "alice" pass "sesame 1" ssl is "al'ice" keep mda "/bin/lda -d %T"
	user bob@example.org pass sesame2 is bob smtphost mail.example.org/2525
skip mx2.example.org user "carol" pass sesame3 is carol lmtp smtphost /run/lmtp esmtppassword sesame4`
	_, _, err := Parse("rc", strings.NewReader(file))
	if err == nil { // esmtppassword belongs to the server
		t.Fatal("no error")
	}
	entries, notes, err := Parse("rc", strings.NewReader(strings.Replace(strings.Replace(file, "esmtppassword sesame4", "", 1),
		"timeout 60", "esmtppassword sesame4 timeout 60", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	secrets, err := Write(&b, entries, notes)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{b.String(), fmt.Sprintf("%v %+v %#v %q", entries, entries, entries, secrets)} {
		if strings.Contains(text, "sesame") {
			t.Errorf("there is a secret in\n%s", text)
		}
	}
	var got []string
	for _, s := range secrets {
		got = append(got, s.File+"="+string(s.Value))
	}
	if s := strings.Join(got, " "); s != "passwords/alice@mx.example.org=sesame 1 passwords/bob@example.org=sesame2 passwords/carol@mx2.example.org=sesame3" {
		t.Error(s)
	}
	c, err := config.Parse(config.Fetching, "postwain.toml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if len(c.Fetch) != 2 {
		t.Fatalf("%d mailboxes", len(c.Fetch))
	}
	alice, bob := c.Fetch[0], c.Fetch[1]
	if alice.Source.String() != "pops://alice@mx.example.org" || !alice.Keep || alice.Timeout != time.Minute || alice.Every != 5*time.Minute ||
		fmt.Sprintf("%q", []string(alice.To.Command)) != `["/bin/sh" "-c" "/bin/lda -d 'al'\\''ice'"]` {
		t.Errorf("%+v", alice)
	}
	if bob.Source.User != "bob@example.org" || bob.To.Addr() != "mail.example.org:2525" || bob.Recipient != "bob@mail.example.org" || !bob.ToPlaintext {
		t.Errorf("%+v", bob)
	}
}

// Our words come out of the configuration as they went in.
func TestCommandsAreQuoted(t *testing.T) {
	t.Parallel()
	argv := []string{"/bin/x", "", " ", "it's", `"`, `\`, "a\nb", "\t", "$HOME", "é", "-", "''"}
	var b strings.Builder
	_, err := Write(&b, []Entry{{Name: "x", Source: "pops://a@b", To: "exec:" + join(argv), PasswordCommand: argv}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(config.Fetching, "x.toml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	for _, got := range [][]string{c.Fetch[0].To.Command, c.Fetch[0].PasswordCommand} {
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", argv) {
			t.Errorf("%q, want %q", got, argv)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWriteFails(t *testing.T) {
	t.Parallel()
	if _, err := Write(broken{}, []Entry{{Name: "x"}}, nil); err == nil {
		t.Error("no error")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, want := range []string{"a", "a-2", "a-3"} {
		if got := unique(seen, "a"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := unique(seen, "a-2"); got != "a-2-2" {
		t.Error(got)
	}
	for name, want := range map[string]string{"..": "_.", "a/b": "a_b", "é": "__", "": "", "a\x00": "a_", "x.y@z-1": "x.y@z-1"} {
		if got := fileName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// Whatever a file holds, what is written is TOML with the same strings in it,
// names are there once, and files of secrets stay below their directory.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"poll a proto pop3 user b pass c is d ssl", "poll a user \"b\\x00\" mda '%T|' pass \"\\xff\"", "skip a user 'b\n' is \xff",
		"defaults user x poll a via b port 7 auth any no keep smtphost a/b c", simple + maildir,
		"[retriever]\ntype=SimplePOP3Retriever\npassword_command=('a', \"\\u1234\")\n[destination]\ntype=MDA_external\narguments=('x\x7f',)\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		entries, notes, err := Parse("r\x1bc", strings.NewReader(file))
		if err != nil {
			return
		}
		var b strings.Builder
		secrets, err := Write(&b, entries, notes)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Fetch []struct {
				Name, Source, To string
				PasswordFile     string `toml:"password_file"`
			}
		}
		if err := toml.Unmarshal([]byte(b.String()), &got); err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		names, i := map[string]bool{}, 0
		for _, e := range entries {
			if names[e.Name] {
				t.Errorf("%q is there twice", e.Name)
			}
			names[e.Name] = true
			if e.Skip {
				continue
			}
			if w := got.Fetch[i]; w.Name != e.Name || w.Source != e.Source || w.To != e.To || w.PasswordFile != e.PasswordFile {
				t.Errorf("%+v, want %+v", w, e)
			}
			i++
		}
		if i != len(got.Fetch) {
			t.Errorf("%d sections, want %d", len(got.Fetch), i)
		}
		files := map[string]bool{}
		for _, s := range secrets {
			if name, ok := strings.CutPrefix(s.File, "passwords/"); ok && (files[s.File] || fileName(name) != name && len(name) < 100) {
				t.Errorf("%q", s.File)
			}
			files[s.File] = true
		}
	})
}

func FuzzTuple(f *testing.F) {
	for _, seed := range []string{`("a", 'b')`, `r'\'' "\x41",`, `("""a""",)`, `()`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		items, err := parseTuple(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, s := range items {
			b.WriteString("'" + strings.NewReplacer("\\", "\\\\", "'", "\\'", "\n", "\\n").Replace(s) + "',")
		}
		again, err := parseTuple(b.String())
		if err != nil || fmt.Sprintf("%q", again) != fmt.Sprintf("%q", items) {
			t.Errorf("%q, %v, want %q", again, err, items)
		}
	})
}
