package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"pops://alice@pop.example.org":               "alice@pop.example.org",
		"pop://alice@POP.example.ORG":                "alice@pop.example.org",
		"pop://alice@pop.example.org:110":            "alice@pop.example.org",
		"pops://alice@pop.example.org:1995":          "alice@pop.example.org:1995",
		"POPS://bob@example.org@pop.example.org/":    "bob@example.org@pop.example.org",
		"pops://Bob%40example.org;AUTH=*@[::1]:2995": "Bob@example.org@[::1]:2995",
		"kpop://alice@POP.example.org":               "alice@pop.example.org",
		"KPOP://alice@pop.example.org:1109":          "alice@pop.example.org",
		"kpop://alice@pop.example.org:1110":          "alice@pop.example.org:1110",
		"pop://alice@pop.example.org:1109":           "alice@pop.example.org:1109",
	} {
		f := NewFetch()
		if err := f.Source.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := f.Mailbox(); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
	for _, text := range []string{
		"", "alice@pop.example.org", "imap://alice@pop.example.org", "pops://pop.example.org", "pops://@pop.example.org",
		"pops://alice@", "pops://alice@pop.example.org:0", "pops://al%0Dice@pop.example.org", "pops://alice;AUTH=NTLM@pop.example.org",
		"pops://alice@pop.example.org/inbox", "kpop://pop.example.org", "kpops://alice@pop.example.org", "kpop:alice@pop.example.org",
		"kkpop://alice@pop.example.org", "Kpop://alice@pop.example.org", "kpop://pop://alice@pop.example.org",
	} {
		var s Source
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, s)
		}
	}
}

// A password in a URL is refused, and never repeated.
func TestPasswordInURL(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"pops://alice:hunter2@pop.example.org", "alice:hunter2@pop.example.org", "pops://a@b:hunter2@pop.example.org",
		"pops://:hunter2@pop.example.org", "x://alice:hunter2@@", "kpop://alice:hunter2@pop.example.org",
	} {
		var s Source
		if err := s.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"imaps://alice:hunter2@imap.example.org", "smtp://a@b:hunter2@mail.example.org/x"} {
		var d Destination
		if err := d.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Destination{
		"maildir:~/Mail dir":                {Kind: ToMaildir, Path: "~/Mail dir"},
		"maildir:///var/mail":               {Kind: ToMaildir, Path: "///var/mail"},
		"mbox:a:b":                          {Kind: ToMbox, Path: "a:b"},
		"lmtp:/run/lmtp.sock":               {Kind: ToLMTP, Path: "/run/lmtp.sock"},
		"lmtp://localhost":                  {Kind: ToLMTP, Host: "localhost", Port: 24},
		"lmtp://[::1]:2024":                 {Kind: ToLMTP, Host: "::1", Port: 2024},
		"smtp://mail.example.org":           {Kind: ToSMTP, Host: "mail.example.org", Port: 25},
		"smtps://bob@a.org@mail.a.org:4650": {Kind: ToSMTP, TLS: true, User: "bob@a.org", Host: "mail.a.org", Port: 4650},
		"imap://bob@192.0.2.1":              {Kind: ToIMAP, User: "bob", Host: "192.0.2.1", Port: 143, Mailbox: "INBOX"},
		"imaps://bob%40a.org@a.org/Old%20Mail/2025": {
			Kind: ToIMAP, TLS: true, User: "bob@a.org", Host: "a.org", Port: 993, Mailbox: "Old Mail/2025"},
		`exec:/bin/x -a 'b c' "d\"e\\" f\ g ''`: {Kind: ToExec, Command: Command{"/bin/x", "-a", "b c", `d"e\`, "f g", ""}},
	} {
		var got Destination
		if err := got.UnmarshalText([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "maildir", "maildir:", "mbox:", "Maildir:x", "/var/mail", "exec:", "exec: ", "exec:''", "exec:'x", `exec:x\`, "maildir:a\x00b",
		"lmtp://", "lmtp://bob@localhost", "smtp:mail.example.org", "smtp://mail.example.org/x", "smtp://mail.example.org:0",
		"smtp://mail.example.org:99999", "smtp://a_b", "smtp://[a]", "smtp://@a", "imaps://a%0ab@c", "imaps://a@c/%00", "imaps://a@c/%zz",
		"https://example.org",
	} {
		var got Destination
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// What a destination is shown as has no arguments of a command in it.
func TestDestinationString(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"maildir:box": "maildir:box", "lmtp:/x": "lmtp:/x", "exec:/bin/x --password hunter2": "exec:/bin/x",
		"smtps://bob@[::1]": "smtps://bob@[::1]:465", "imap://b@a.org/x": "imap://b@a.org:143/x",
	} {
		var d Destination
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%q: %q, %v", text, d, err)
		}
	}
}

// Which sources and mechanisms go by a ticket, and by whose.
func TestTicket(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source, auth, principal string
		ticket                  bool
		client, again           string
	}{
		{"kpop://bob@a.org", "", "", true, "bob", "kpop://bob@a.org:1109"},
		{"kpop://bob@b.org@a.org:99", "", "", true, "bob", "kpop://bob%40b.org@a.org:99"},
		{"pops://bob@a.org", "gssapi", "robot/x@B.ORG", true, "robot/x@B.ORG", "pops://bob@a.org"},
		{"pop://bob;AUTH=GSSAPI@a.org", "", "", true, "bob", "pop://bob;AUTH=GSSAPI@a.org"},
		{"pop://bob;AUTH=GSSAPI@a.org", "PLAIN", "", false, "bob", "pop://bob;AUTH=GSSAPI@a.org"},
		{"pop://bob@a.org", "", "", false, "bob", "pop://bob@a.org"},
	} {
		f := NewFetch()
		f.Principal = c.principal
		if err := f.Source.UnmarshalText([]byte(c.source)); err != nil {
			t.Fatal(err)
		}
		if c.auth != "" {
			if err := f.Auth.UnmarshalText([]byte(c.auth)); err != nil {
				t.Fatal(err)
			}
		}
		if f.Ticket() != c.ticket || f.Client() != c.client || f.Source.String() != c.again {
			t.Errorf("%s by %q: %v, %q, %q", c.source, c.auth, f.Ticket(), f.Client(), f.Source)
		}
		var again Source
		if err := again.UnmarshalText([]byte(c.again)); err != nil || again != f.Source {
			t.Errorf("%q is %v, not %v: %v", c.again, again, f.Source, err)
		}
	}
}

func TestFetchResolve(t *testing.T) {
	t.Parallel()
	f := Fetch{PasswordFile: "p", Keytab: "k", CA: "/ca.pem", To: Destination{Path: "~/Mail"}, OAuth: OAuth{TokenFile: "t/x"}}
	if err := f.Resolve("/etc", "/home/bob"); err != nil {
		t.Fatal(err)
	}
	if f.PasswordFile != "/etc/p" || f.Keytab != "/etc/k" || f.CA != "/ca.pem" || f.To.Path != "/home/bob/Mail" || f.OAuth.TokenFile != "/etc/t/x" || f.ToCA != "" {
		t.Errorf("got %+v", f)
	}
	f = Fetch{CA: "~/ca.pem"}
	if err := f.Resolve("/etc", ""); err == nil {
		t.Error("a home that is not there is found")
	}
}

// The sections of a server and of fetch may stand alone or together.
func TestPurpose(t *testing.T) {
	t.Parallel()
	const server = "[mail]\npath = \"/m/%u\"\n[accounts]\npasswd_file = \"u\"\n[[listen]]\nproto = \"pop3\"\naddr = \"[::1]:110\"\n"
	const mailbox = "[[fetch]]\nsource = \"pops://a@example.org\"\nto = \"mbox:m\"\n"
	for _, c := range []struct {
		name, text                string
		serving, fetching, either bool
	}{
		{"server", server, true, false, true},
		{"fetch", mailbox, false, true, true},
		{"both", server + mailbox, true, true, true},
		{"empty", "", false, false, false},
		{"a broken server beside", mailbox + "[mail]\npath = \"/m\"\n", false, false, false},
		{"state and log beside", "state_dir = \"s\"\nhostname = \"h\"\n" + mailbox + "[log]\nformat = \"json\"\n", false, true, true},
	} {
		for purpose, want := range map[Purpose]bool{Serving: c.serving, Fetching: c.fetching, Either: c.either} {
			if _, err := Parse(purpose, "f", []byte(c.text)); (err == nil) != want {
				t.Errorf("%s for %d: %v", c.name, purpose, err)
			}
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add(`/bin/x -a 'b c' "d\"e\\" f\ g ''`)
	f.Fuzz(func(t *testing.T, text string) {
		var c Command
		if c.UnmarshalText([]byte(text)) == nil && (len(c) == 0 || c[0] == "") {
			t.Errorf("%q gives %q", text, c)
		}
	})
}
