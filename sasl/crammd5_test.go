package sasl_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// The example of RFC 2195 §2, and one that was computed with OpenSSL.
func TestCRAMMD5(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ user, password, challenge, want string }{
		{"tim", "tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"},
		{"alice b", strings.Repeat("p", 100), "x", "alice b abf9f09f27854b479ce7b99075f4d65c"},
	} {
		c := sasl.CRAMMD5Client(tt.user, tt.password)
		for range 2 { // each Start is a new exchange
			if initial, has, err := c.Start(); initial != nil || has || err != nil {
				t.Fatalf("Start = %q, %v, %v", initial, has, err)
			}
			got, err := c.Next([]byte(tt.challenge))
			if string(got) != tt.want || err != nil {
				t.Errorf("%s: got %q, %v; want %q", tt.user, got, err, tt.want)
			}
			if r, err := c.Next([]byte(tt.challenge)); r != nil || err == nil {
				t.Errorf("a second challenge is answered by %q", r)
			}
			if err := c.Done(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCRAMMD5Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ user, password string }{
		{"", "a secret"}, {"alice", ""}, {"al\x00ice", "a secret"}, {"alice", "a\x00secret"},
	} {
		c := sasl.CRAMMD5Client(tt.user, tt.password)
		if _, _, err := c.Start(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: Start gives %v", tt.user, err)
		}
	}
	for _, challenge := range []string{"", strings.Repeat("x", 4<<10+1)} {
		c := sasl.CRAMMD5Client("alice", "a secret")
		c.Start()
		if r, err := c.Next([]byte(challenge)); r != nil || err == nil {
			t.Errorf("a challenge of %d octets is answered by %q", len(challenge), r)
		}
	}
}

func FuzzCRAMMD5(f *testing.F) {
	for _, s := range []string{"<1896.697170952@postoffice.reston.mci.net>", "", "\x00", "\r\n"} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		c := sasl.CRAMMD5Client("alice", "a secret")
		c.Start()
		answers := 0
		for _, challenge := range [][]byte{a, b, a} {
			r, err := c.Next(challenge)
			if (r == nil) != (err != nil) {
				t.Fatalf("got %q, %v", r, err)
			}
			if err != nil {
				continue
			}
			answers++
			mac := hmac.New(md5.New, []byte("a secret"))
			mac.Write(challenge)
			if want := "alice " + hex.EncodeToString(mac.Sum(nil)); string(r) != want {
				t.Fatalf("got %q, want %q", r, want)
			}
		}
		if answers > 1 {
			t.Fatalf("%d challenges are answered", answers)
		}
	})
}

// The example of RFC 2195 §2, by the password and by its keys, and what must
// not sign in.
func TestCRAMMD5Server(t *testing.T) {
	t.Parallel()
	const challenge = "<1896.697170952@postoffice.reston.mci.net>"
	const digest = "b913a602c7eda7a495b4e6e7334d3890"
	for _, tt := range []struct {
		name, response string
		account        string
		err            error
		asked          bool
	}{
		{"RFC 2195", "tim " + digest, "account-of-tim", nil, true},
		{"by keys", "tom " + digest, "account-of-tom", nil, true},
		{"capitals", "tim " + strings.ToUpper(digest), "account-of-tim", nil, true},
		{"blank in the name", "t im " + digest, "account-of-t im", nil, true},
		{"wrong digest", "tim a" + digest[1:], "", sasl.ErrRefused, true},
		{"last octet", "tim " + digest[:31] + "1", "", sasl.ErrRefused, true},
		{"unknown", "bob " + digest, "", sasl.ErrRefused, true},
		{"other case", "Tim " + digest, "", sasl.ErrRefused, true},
		{"of the empty key", "bob " + "0123456789abcdef0123456789abcdef", "", sasl.ErrRefused, true},
		{"none", "-", "", sasl.ErrMalformed, false},
		{"empty", "", "", sasl.ErrMalformed, false},
		{"name only", "tim", "", sasl.ErrMalformed, false},
		{"no digest", "tim ", "", sasl.ErrMalformed, false},
		{"short digest", "tim " + digest[:30], "", sasl.ErrMalformed, false},
		{"odd digest", "tim " + digest[:31], "", sasl.ErrMalformed, false},
		{"long digest", "tim " + digest + "00", "", sasl.ErrMalformed, false},
		{"blank behind", "tim " + digest + " ", "", sasl.ErrMalformed, false},
		{"no hexadecimal", "tim g" + digest[1:], "", sasl.ErrMalformed, false},
		{"NUL", "tim\x00 " + digest, "", sasl.ErrMalformed, false},
		{"line end", "tim\r\nx " + digest, "", sasl.ErrMalformed, false},
		{"Latin-1", "t\xefm " + digest, "", sasl.ErrMalformed, false},
		{"no name", " " + digest, "", sasl.ErrMalformed, false},
		{"digest only", digest, "", sasl.ErrMalformed, false},
		{"long name", strings.Repeat("n", 256) + " " + digest, "", sasl.ErrRefused, false},
		{"very long", strings.Repeat("n", 1<<20) + " " + digest, "", sasl.ErrRefused, false},
	} {
		v := &vault{secrets: map[string]string{
			"PLAIN tim":    "tanstaaftanstaaf",
			"PLAIN t im":   "tanstaaftanstaaf",
			"CRAM-MD5 tom": string(sasl.CRAMMD5Keys("tanstaaftanstaaf")),
		}}
		m := sasl.WithChallenge(sasl.NewCRAMMD5(v, "x"), challenge)
		challenges, account, err := run(t, m, "-", tt.response)
		if account != tt.account || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || challenges[0] != challenge || challenges[1] != "-" {
			t.Errorf("%s: got %q, %q, %v", tt.name, challenges, account, err)
		}
		if (len(v.asked) == 2) != tt.asked {
			t.Errorf("%s: the source was asked %q", tt.name, v.asked)
		}
		quiet(t, err)
	}
	for _, initial := range []string{"", "tim " + digest} {
		if c, account, err := run(t, sasl.NewCRAMMD5(secrets(t), "x"), initial); account != "" || !errors.Is(err, sasl.ErrMalformed) {
			t.Errorf("an initial response gives %q, %q, %v", c, account, err)
		}
	}
}

// The keys are those that doveadm pw (Dovecot 2.3.19.1) makes.
func TestCRAMMD5Keys(t *testing.T) {
	t.Parallel()
	const want = "eeafe0433a7771aecc05a712f9f89d39ff04849a4970a63280f8bf2aab19098e"
	if got := hex.EncodeToString(sasl.CRAMMD5Keys("correct horse: bättery")); got != want {
		t.Errorf("got %s", got)
	}
	if long := strings.Repeat("p", 65); bytes.Equal(sasl.CRAMMD5Keys(long), sasl.CRAMMD5Keys(long+"p")) {
		t.Error("what is longer than a block does not count")
	}
}

// The challenges are such as our own clients want, whatever the host is.
func TestChallengeForm(t *testing.T) {
	t.Parallel()
	for host, ends := range map[string]string{
		"pop.example.org": "@pop.example.org>", "": "@localhost>", "[192.0.2.1]": "@[192.0.2.1]>", "a b": "@localhost>",
		"a>b": "@localhost>", "x\r\ny": "@localhost>", strings.Repeat("x", 600): "@localhost>",
	} {
		seen := map[string]bool{}
		for range 3 {
			challenges, _, _ := run(t, sasl.NewCRAMMD5(secrets(t), host), "-")
			apop := sasl.NewAPOP(secrets(t), host).(interface{ Challenge() string }).Challenge()
			for _, c := range []string{challenges[0], apop} {
				if found, ok := sasl.APOPChallenge("+OK ready " + c); !ok || found != c || !strings.HasSuffix(c, ends) || len(c) < 40 || seen[c] {
					t.Errorf("host %.20q: challenge %q", host, c)
				}
				seen[c] = true
			}
		}
	}
}

func FuzzCRAMMD5Server(f *testing.F) {
	f.Add([]byte("tim b913a602c7eda7a495b4e6e7334d3890"), []byte("tim"))
	f.Add([]byte("tim  b913a602c7eda7a495b4e6e7334d3890"), []byte{})
	f.Add([]byte(" B913a602c7eda7a495b4e6e7334d3890"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		v := &vault{secrets: map[string]string{"PLAIN tim": "tanstaaftanstaaf"}}
		for _, m := range []sasl.Mechanism{sasl.NewCRAMMD5(v, "x"), sasl.NewAPOP(v, "x")} {
			m = sasl.WithChallenge(m, "<1896.697170952@postoffice.reston.mci.net>")
			x := m.Start()
			if m.Name() == "CRAM-MD5" {
				x.Next(t.Context(), nil)
			}
			for _, r := range [][]byte{a, b, a, nil} {
				c, account, err := x.Next(t.Context(), r)
				if c != nil || (account == "") != (err != nil) {
					t.Fatalf("got %q, %q, %v", c, account, err)
				}
				if account != "" && (m.Name() != "CRAM-MD5" || !strings.EqualFold(string(r), "tim b913a602c7eda7a495b4e6e7334d3890")) {
					t.Fatalf("%q proves %q", r, account)
				}
			}
		}
		for _, q := range v.asked {
			if _, name, _ := strings.Cut(q, " "); name == "" || len(name) > sasl.MaxUser || strings.ContainsRune(name, 0) {
				t.Fatalf("the source was asked %q", q)
			}
		}
	})
}
