package sasl_test

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
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
