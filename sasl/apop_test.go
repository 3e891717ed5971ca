package sasl_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// The example of RFC 1939 §7.
func TestAPOPDigest(t *testing.T) {
	t.Parallel()
	got, err := sasl.APOPDigest("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf")
	if want := "c4c9334bac560ecc979e58001b3e22fb"; got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, password := range []string{"", "a\x00secret"} {
		got, err := sasl.APOPDigest("<1@example.org>", password)
		if got != "" || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("password %q: got %q, %v", password, got, err)
		}
	}
}

// greetings says which challenge stands in a greeting; empty for none.
func greetings() []struct{ name, greeting, challenge string } {
	long := "<" + strings.Repeat("1", 512-len("<@example.org>")) + "@example.org>"
	return []struct{ name, greeting, challenge string }{
		{"RFC 1939", "+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"},
		{"Dovecot", "+OK Dovecot ready. <1a2b.3.68e0c1f2.q/8w+Zk==@mail.example.org>", "<1a2b.3.68e0c1f2.q/8w+Zk==@mail.example.org>"},
		{"text behind", "+OK <1.2@localhost> ready", "<1.2@localhost>"},
		{"address", "+OK <1.2@[192.0.2.1]>", "<1.2@[192.0.2.1]>"},
		{"IPv6 address", "+OK <1.2@[IPv6:2001:db8::1]>", "<1.2@[IPv6:2001:db8::1]>"},
		{"other brackets", "+OK <ready> a < b <1.2@example.org> <3@example.org>", "<1.2@example.org>"},
		{"bracket within", "+OK <1.2<3.4@example.org>", "<3.4@example.org>"},
		{"longest", "+OK " + long, long},
		{"too long", "+OK <1" + long[1:], ""},
		{"none", "+OK POP3 server ready", ""},
		{"empty", "", ""},
		{"Exchange", "+OK The Microsoft Exchange POP3 service is ready. [QgBOADEAUABSADAANABDAEEAMAAwADQAOAAuAGUAeABhAG0AcABsAGUA]", ""},
		{"host only", "+OK ready <mail.example.org>", ""},
		{"no local part", "+OK <@example.org>", ""},
		{"no domain", "+OK <1.2@>", ""},
		{"two @", "+OK <1.2@example.org@example.net>", ""},
		{"@ in brackets", "+OK <1.2@[a@b]>", ""},
		{"empty brackets", "+OK <1.2@[]>", ""},
		{"half brackets", "+OK <1.2@[192.0.2.1>", ""},
		{"empty atom", "+OK <1..2@example.org>", ""},
		{"dot at the end", "+OK <1.2@example.org.>", ""},
		{"blank", "+OK <1 2@example.org>", ""},
		{"tab", "+OK <1\t2@example.org>", ""},
		{"quoted", "+OK <\"1 2\"@example.org>", ""},
		{"backslash", "+OK <1\\2@example.org>", ""},
		{"comment", "+OK <1(x)@example.org>", ""},
		{"NUL", "+OK <1\x00@example.org>", ""},
		{"8 bit", "+OK <1\xff@example.org>", ""},
		{"8 bit behind @", "+OK <1@example\x80.org>", ""},
		{"UTF-8", "+OK <1@bücher.example.org>", ""},
		{"DEL", "+OK <1\x7f@example.org>", ""},
		{"open", "+OK <1.2@example.org", ""},
		{"reversed", "+OK >1.2@example.org<", ""},
	}
}

// misjudged counts the greetings in which find is wrong.
func misjudged(find func(greeting string) (string, bool)) (wrong []string) {
	for _, tt := range greetings() {
		if got, ok := find(tt.greeting); got != tt.challenge || ok != (tt.challenge != "") {
			wrong = append(wrong, tt.name)
		}
	}
	return wrong
}

func TestAPOPChallenge(t *testing.T) {
	t.Parallel()
	if wrong := misjudged(sasl.APOPChallenge); len(wrong) > 0 {
		t.Errorf("wrong in %q", wrong)
	}
	// The digest is as strict with what stands between the brackets.
	digest := func(greeting string) (string, bool) {
		start, end := strings.LastIndexByte(greeting, '<'), strings.LastIndexByte(greeting, '>')
		if start < 0 || end < start {
			return "", false
		}
		_, err := sasl.APOPDigest(greeting[start:end+1], "a secret")
		return greeting[start : end+1], err == nil
	}
	for _, tt := range greetings() {
		if _, ok := digest(tt.greeting); ok != (tt.challenge != "") {
			t.Errorf("%s: digest made: %v", tt.name, ok)
		}
	}
}

func TestAPOPChallengeMutants(t *testing.T) {
	t.Parallel()
	// between is what simple clients do.
	between := func(greeting string) (string, bool) {
		_, rest, _ := strings.Cut(greeting, "<")
		id, _, ok := strings.Cut(rest, ">")
		return "<" + id + ">", ok
	}
	// swapped is APOPChallenge for greetings in which from stands for to.
	swapped := func(from, to string) func(string) (string, bool) {
		return func(greeting string) (string, bool) {
			id, ok := sasl.APOPChallenge(strings.ReplaceAll(greeting, from, to))
			return strings.ReplaceAll(id, to, from), ok
		}
	}
	for name, find := range map[string]func(string) (string, bool){
		"takes anything in brackets": between,
		"takes what has an @": func(greeting string) (string, bool) {
			id, ok := between(greeting)
			if !ok || !strings.Contains(id, "@") {
				return "", false
			}
			return id, true
		},
		"takes the last": func(greeting string) (string, bool) {
			start := max(strings.LastIndexByte(greeting, '<'), 0)
			return sasl.APOPChallenge(greeting[start:])
		},
		"takes octets of 8 bits": swapped("\xff", "~"),
		"takes NUL":              swapped("\x00", "~"),
		"takes DEL":              swapped("\x7f", "~"),
		"takes blanks":           swapped("1 2", "1~2"),
		"takes a second @":       swapped("org@", "org~"),
		"takes no address":       swapped("[192", "\x00[192"),
		"has no bound":           swapped(strings.Repeat("1", 400), "~"),
	} {
		if len(misjudged(find)) == 0 {
			t.Errorf("a finder that %s is not found out", name)
		}
	}
}

func FuzzAPOP(f *testing.F) {
	for _, tt := range greetings() {
		f.Add(tt.greeting)
	}
	f.Fuzz(func(t *testing.T, greeting string) {
		id, ok := sasl.APOPChallenge(greeting)
		if !ok {
			if id != "" {
				t.Fatalf("%q beside false", id)
			}
			return
		}
		if !strings.Contains(greeting, id) || len(id) > 512 || strings.Count(id, "@") != 1 ||
			strings.LastIndexByte(id, '<') != 0 || strings.IndexByte(id, '>') != len(id)-1 {
			t.Fatalf("%q is a challenge", id)
		}
		for i := range len(id) {
			if id[i] < '!' || '~' < id[i] {
				t.Fatalf("%q is a challenge", id)
			}
		}
		sum := md5.Sum([]byte(id + "a secret"))
		if got, err := sasl.APOPDigest(id, "a secret"); got != hex.EncodeToString(sum[:]) || err != nil {
			t.Fatalf("digest %q, %v", got, err)
		}
	})
}

// The example of RFC 1939 §7, our own client, and what must not sign in.
func TestAPOPServer(t *testing.T) {
	t.Parallel()
	const challenge = "<1896.697170952@dbc.mtview.ca.us>"
	const digest = "c4c9334bac560ecc979e58001b3e22fb"
	empty, err := sasl.APOPDigest(challenge, "x")
	if err != nil {
		t.Fatal(err)
	}
	bare := md5.Sum([]byte(challenge)) // of the empty password
	for _, tt := range []struct {
		name, response string
		account        string
		err            error
	}{
		{"RFC 1939", "mrose " + digest, "account-of-mrose", nil},
		{"capitals", "mrose " + strings.ToUpper(digest), "account-of-mrose", nil},
		{"wrong", "mrose " + empty, "", sasl.ErrRefused},
		{"unknown", "bob " + digest, "", sasl.ErrRefused},
		{"empty password", "nobody " + hex.EncodeToString(bare[:]), "", sasl.ErrRefused},
		{"unknown, empty password", "bob " + hex.EncodeToString(bare[:]), "", sasl.ErrRefused},
		{"by keys only", "kim " + digest, "", sasl.ErrRefused},
		{"none", "-", "", sasl.ErrMalformed},
		{"empty", "", "", sasl.ErrMalformed},
		{"name only", "mrose", "", sasl.ErrMalformed},
		{"short", "mrose " + digest[2:], "", sasl.ErrMalformed},
		{"long", "mrose " + digest + "00", "", sasl.ErrMalformed},
		{"two digests", "mrose " + digest + " " + digest, "", sasl.ErrRefused}, // a name with a blank
		{"NUL", "mrose\x00 " + digest, "", sasl.ErrMalformed},
		{"long name", strings.Repeat("n", 256) + " " + digest, "", sasl.ErrRefused},
	} {
		v := secrets(t)
		v.secrets["PLAIN mrose"] = "tanstaaf"
		m := sasl.WithChallenge(sasl.NewAPOP(v, "x"), challenge)
		challenges, account, err := run(t, m, tt.response)
		if account != tt.account || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || challenges[0] != "-" {
			t.Errorf("%s: got %q, %q, %v", tt.name, challenges, account, err)
		}
		quiet(t, err)
	}
	v := secrets(t)
	v.err = errOutage
	if _, account, err := run(t, sasl.NewAPOP(v, "x"), "bob "+digest); account != "" || !errors.Is(err, errOutage) {
		t.Errorf("an outage gives %q, %v", account, err)
	}
}

func TestAPOPMutual(t *testing.T) {
	t.Parallel()
	m := sasl.NewAPOP(secrets(t), "pop.example.org")
	challenge := m.(interface{ Challenge() string }).Challenge()
	for _, tt := range []struct{ user, password, account string }{
		{"alice", "a secret", "account-of-alice"}, {"zoë b", "pässwörd", "account-of-zoë b"}, {"alice", "wrong", ""}, {"bob", "a secret", ""},
	} {
		digest, err := sasl.APOPDigest(challenge, tt.password)
		if err != nil {
			t.Fatal(err)
		}
		x := m.Start()
		_, account, err := x.Next(t.Context(), []byte(tt.user+" "+digest))
		if account != tt.account || (tt.account == "") != errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s: got %q, %v", tt.user, account, err)
		}
		if _, account, err := x.Next(t.Context(), []byte(tt.user+" "+digest)); account != "" || !errors.Is(err, sasl.ErrMalformed) {
			t.Errorf("%s: a second time gives %q, %v", tt.user, account, err)
		}
		// The challenge of another connection is another one.
		if _, account, _ := run(t, sasl.NewAPOP(secrets(t), "pop.example.org"), tt.user+" "+digest); account != "" {
			t.Errorf("%s: a replay proves %q", tt.user, account)
		}
	}
}
