package sasl_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// issuer is a verifier that notes what it was asked.
type issuer struct {
	tokens map[string]string // the account of each
	err    error
	asked  []string
}

func (i *issuer) VerifyToken(_ context.Context, user, token string) (string, error) {
	i.asked = append(i.asked, user+" "+token)
	account, ok := i.tokens[token]
	if i.err != nil {
		return "", i.err
	}
	if !ok || user != "" && user != account {
		return "", sasl.ErrRefused
	}
	return account, nil
}

const rfcToken = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

func tokens() *issuer {
	return &issuer{tokens: map[string]string{"hush": "alice", rfcToken: "user@example.com", "odd": "a=b,c", strings.Repeat("t", 8000): "alice"}}
}

type makesBearer func(tokens sasl.TokenVerifier, o sasl.BearerOptions) sasl.Mechanism

// bearerAttempt is a response and what must come of it.
type bearerAttempt struct {
	name, response string
	asked          string // the verifier; empty: it was not
	account        string
	err            error // refused: after a challenge
}

func oauthBearerAttempts() []bearerAttempt {
	refused, malformed := sasl.ErrRefused, sasl.ErrMalformed
	const f = "\x01host=pop.example.org\x01port=995\x01auth=Bearer "
	list := []bearerAttempt{
		{"sound", "n,a=alice," + f + "hush\x01\x01", "alice hush", "alice", nil},
		{"no name", "n,," + f + "hush\x01\x01", " hush", "alice", nil},
		{"empty name", "n,a=," + f + "hush\x01\x01", " hush", "alice", nil},
		{"escaped name", "n,a=a=3Db=2Cc," + f + "odd\x01\x01", "a=b,c odd", "a=b,c", nil},
		{"only a token", "n,a=alice,\x01auth=Bearer hush\x01\x01", "alice hush", "alice", nil},
		{"client that can bind", "y,a=alice," + f + "hush\x01\x01", "alice hush", "alice", nil},
		{"scheme in lower case", "n,a=alice,\x01auth=bearer hush\x01\x01", "alice hush", "alice", nil},
		{"scheme in capitals", "n,a=alice,\x01auth=BEARER hush\x01\x01", "alice hush", "alice", nil},
		{"lies of host and port", "n,a=alice,\x01host=\x01port=x\x01auth=Bearer hush\x01\x01", "alice hush", "alice", nil},
		{"unknown field", "n,a=alice,\x01x=a=b\x01auth=Bearer hush\x01\x01", "alice hush", "alice", nil},
		{"name in a field", "n,,\x01user=alice\x01auth=Bearer hush\x01\x01", "alice hush", "alice", nil},
		{"name in both", "n,a=alice,\x01user=alice\x01auth=Bearer hush\x01\x01", "alice hush", "alice", nil},
		{"another's name in a field", "n,,\x01user=bob\x01auth=Bearer hush\x01\x01", "bob hush", "", refused},
		{"long token", "n,a=alice," + f + strings.Repeat("t", 8000) + "\x01\x01", "alice " + strings.Repeat("t", 8000), "alice", nil},

		{"wrong token", "n,a=alice," + f + "hus\x01\x01", "alice hus", "", refused},
		{"token of another", "n,a=bob," + f + "hush\x01\x01", "bob hush", "", refused},
		{"no token", "n,a=alice,\x01host=x\x01\x01", "", "", refused},
		{"no fields", "n,a=alice,\x01\x01", "", "", refused},
		{"empty authorization", "n,a=alice,\x01auth=\x01\x01", "", "", refused},
		{"long name", "n,a=" + strings.Repeat("n", 256) + "," + f + "hush\x01\x01", "", "", refused},

		{"channel binding", "p=tls-exporter,a=alice," + f + "hush\x01\x01", "", "", malformed},
		{"two names", "n,a=alice,\x01user=bob\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"NUL in a field's name", "n,,\x01user=ali\x00ce\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"two tokens", "n,a=alice,\x01auth=Bearer hush\x01auth=Bearer odd\x01\x01", "", "", malformed},
		{"empty and token", "n,a=alice,\x01auth=\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"other scheme", "n,a=alice,\x01auth=Basic hush\x01\x01", "", "", malformed},
		{"scheme only", "n,a=alice,\x01auth=Bearer\x01\x01", "", "", malformed},
		{"scheme and blank", "n,a=alice,\x01auth=Bearer \x01\x01", "", "", malformed},
		{"scheme folded", "n,a=alice,\x01auth=\u0253earer hush\x01\x01", "", "", malformed},
		{"blank in token", "n,a=alice," + f + "hush now\x01\x01", "", "", malformed},
		{"two blanks", "n,a=alice," + f + " hush\x01\x01", "", "", malformed},
		{"line end in token", "n,a=alice," + f + "hush\r\n\x01\x01", "", "", malformed},
		{"NUL in token", "n,a=alice," + f + "hu\x00sh\x01\x01", "", "", malformed},
		{"Latin-1 token", "n,a=alice," + f + "h\xfcsh\x01\x01", "", "", malformed},
		{"NUL in name", "n,a=ali\x00ce," + f + "hush\x01\x01", "", "", malformed},
		{"Latin-1 name", "n,a=zo\xeb," + f + "hush\x01\x01", "", "", malformed},
		{"line end in name", "n,a=alice\r\n," + f + "hush\x01\x01", "", "", malformed},
		{"one end", "n,a=alice," + f + "hush\x01", "", "", malformed},
		{"no end", "n,a=alice," + f + "hush", "", "", malformed},
		{"no beginning", "n,a=alice,auth=Bearer hush\x01\x01", "", "", malformed},
		{"no header", "\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"half a header", "n,\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"field without a name", "n,a=alice,\x01=x\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"field without a value", "n,a=alice,\x01x\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"empty field", "n,a=alice,\x01\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"the other mechanism", "user=alice\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"dummy", "\x01", "", "", malformed},
		{"empty", "", "", "", malformed},
		{"too long", "n,a=alice," + f + strings.Repeat("t", 16<<10) + "\x01\x01", "", "", malformed},
	}
	return list
}

func xoauth2Attempts() []bearerAttempt {
	refused, malformed := sasl.ErrRefused, sasl.ErrMalformed
	return []bearerAttempt{
		{"sound", "user=alice\x01auth=Bearer hush\x01\x01", "alice hush", "alice", nil},
		{"other order", "auth=Bearer hush\x01user=alice\x01\x01", "alice hush", "alice", nil},
		{"signs in the name", "user=a=b,c\x01auth=Bearer odd\x01\x01", "a=b,c odd", "a=b,c", nil},
		{"wrong token", "user=alice\x01auth=Bearer hus\x01\x01", "alice hus", "", refused},
		{"token of another", "user=bob\x01auth=Bearer hush\x01\x01", "bob hush", "", refused},
		{"no token", "user=alice\x01\x01", "", "", refused},
		{"no name", "user=\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"no user", "auth=Bearer hush\x01\x01", "", "", malformed},
		{"two users", "user=alice\x01user=bob\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"two users, one empty", "user=\x01user=alice\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"NUL", "user=al\x00ice\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"one end", "user=alice\x01auth=Bearer hush\x01", "", "", malformed},
		{"the other mechanism", "n,a=alice,\x01auth=Bearer hush\x01\x01", "", "", malformed},
		{"empty", "", "", "", malformed},
	}
}

// judgeBearerServer says what a server does wrong in one attempt.
func judgeBearerServer(t *testing.T, make makesBearer, tt bearerAttempt, before ...string) (faults []string) {
	i := tokens()
	m := make(i, sasl.BearerOptions{})
	steps := append(before, tt.response)
	challenges, account, err := run(t, m, steps...)
	last := challenges[len(challenges)-1]
	if tt.err == sasl.ErrRefused {
		var reason struct{ Status, Schemes string }
		if json.Unmarshal([]byte(last), &reason) != nil || reason.Status == "" || err != nil || account != "" {
			return append(faults, fmt.Sprintf("a refusal is %q, %q, %v", last, account, err))
		}
		for _, answer := range []string{"", "\x01", "x", tt.response, "user=alice\x01auth=Bearer hush\x01\x01", "n,a=alice,\x01auth=Bearer hush\x01\x01"} {
			challenges, account, err = run(t, m, append(steps[:len(steps):len(steps)], answer)...)
			if account != "" || !errors.Is(err, sasl.ErrRefused) || challenges[len(challenges)-1] != "-" {
				faults = append(faults, fmt.Sprintf("%q behind it gives %q, %q, %v", answer, challenges, account, err))
			}
		}
	} else if account != tt.account || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || last != "-" {
		faults = append(faults, fmt.Sprintf("got %q, %q, %v", last, account, err))
	}
	for _, a := range i.asked {
		if a != tt.asked {
			faults = append(faults, fmt.Sprintf("the verifier was asked %q", a))
		}
	}
	if (len(i.asked) > 0) != (tt.asked != "") {
		faults = append(faults, fmt.Sprintf("the verifier was asked %d times", len(i.asked)))
	}
	quiet(t, err)
	return faults
}

func TestBearerServers(t *testing.T) {
	t.Parallel()
	for _, pair := range []struct {
		make makesBearer
		all  []bearerAttempt
	}{{sasl.NewOAUTHBEARER, oauthBearerAttempts()}, {sasl.NewXOAUTH2, xoauth2Attempts()}} {
		for _, tt := range pair.all {
			for _, before := range [][]string{nil, {"-"}} { // in one step and in two
				for _, f := range judgeBearerServer(t, pair.make, tt, before...) {
					t.Errorf("%s, %q: %s", tt.name, before, f)
				}
			}
		}
	}
}

// The examples of RFC 7628 §4.1 and §4.3, and of Google.
func TestBearerServerVectors(t *testing.T) {
	t.Parallel()
	decode := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	o := sasl.BearerOptions{Scope: "example_scope", OpenIDConfiguration: "https://example.com/.well-known/openid-configuration"}
	const said = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
	if c, account, err := run(t, sasl.NewOAUTHBEARER(tokens(), o), decode(said)); account != "user@example.com" || err != nil {
		t.Errorf("got %q, %q, %v", c, account, err)
	}
	none := &issuer{}
	c, account, err := run(t, sasl.NewOAUTHBEARER(none, o), decode(said), "\x01")
	want := `{"status":"invalid_token","schemes":"bearer","scope":"example_scope","openid-configuration":"https://example.com/.well-known/openid-configuration"}`
	if c[0] != want || account != "" || !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("got %q, %q, %v", c, account, err)
	}
	google := decode("dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==")
	ours := &issuer{tokens: map[string]string{token: "someuser@example.com"}}
	if c, account, err := run(t, sasl.NewXOAUTH2(ours, o), google); account != "someuser@example.com" || err != nil {
		t.Errorf("got %q, %q, %v", c, account, err)
	}
	if c, _, _ := run(t, sasl.NewXOAUTH2(none, o), google); c[0] != `{"status":"401","schemes":"bearer","scope":"example_scope"}` {
		t.Errorf("got %q", c)
	}
}

func TestBearerMutual(t *testing.T) {
	t.Parallel()
	servers := map[string]makesBearer{"": sasl.NewXOAUTH2, "\x01": sasl.NewOAUTHBEARER}
	for answer, client := range bearers() {
		for _, tt := range []struct {
			user, token, account string
			err                  error
			outage               error
		}{
			{"alice", "hush", "alice", nil, nil},
			{"a=b,c", "odd", "a=b,c", nil, nil},
			{"bob", "hush", "", sasl.ErrRefused, nil},
			{"alice", "wrong", "", sasl.ErrRefused, nil},
			{"alice", "hush", "", errOutage, errOutage},
			{"alice", "hush", "", sasl.ErrBusy, sasl.ErrBusy},
		} {
			i := tokens()
			i.err = tt.outage
			c := client(tt.user, tt.token)
			account, err := converse(t, c, servers[answer](i, sasl.BearerOptions{}))
			if account != tt.account || !errors.Is(err, tt.err) || (tt.err == nil) != (err == nil) || errors.Is(err, sasl.ErrRefused) != (tt.err == sasl.ErrRefused) {
				t.Errorf("%s, %s: got %q, %v", c.Name(), tt.user, account, err)
			}
			if tt.err == sasl.ErrRefused && !errors.Is(c.Done(), sasl.ErrRefused) {
				t.Errorf("%s, %s: the client was told %v", c.Name(), tt.user, c.Done())
			}
		}
	}
	nobody := &issuer{tokens: map[string]string{"hush": ""}}
	if account, err := converse(t, sasl.OAUTHBEARERClient("alice", "hush", "x", 995), sasl.NewOAUTHBEARER(nobody, sasl.BearerOptions{})); account != "" || err == nil {
		t.Errorf("nobody's token: %q, %v", account, err)
	}
}

func TestBearerServerMutants(t *testing.T) {
	t.Parallel()
	change := func(pattern, with string) func(int, []byte) []byte {
		return func(_ int, r []byte) []byte {
			if r == nil {
				return nil
			}
			return []byte(replaced(pattern, with)(string(r)))
		}
	}
	for _, tt := range []struct {
		name     string
		response func(int, []byte) []byte
	}{
		{"", nil},
		{"ignores the name", change("^n,a=bob,", "n,,")},
		{"takes channel bindings", change("^p=tls-exporter,", "n,")},
		{"takes other schemes", change("auth=Basic", "auth=Bearer")},
		{"takes the first token", change("\x01auth=Bearer odd\x01", "\x01")},
		{"takes the last token", change("\x01auth=\x01", "\x01")},
		{"trims tokens", change("\r\n", "")},
		{"needs no end", change("hush$", "hush\x01\x01")},
		{"drops NULs", change("\x00", "")},
	} {
		faults := 0
		for _, a := range oauthBearerAttempts() {
			faults += len(judgeBearerServer(t, func(i sasl.TokenVerifier, o sasl.BearerOptions) sasl.Mechanism {
				return changed{Mechanism: sasl.NewOAUTHBEARER(i, o), response: tt.response}
			}, a))
		}
		if (faults > 0) != (tt.name != "") {
			t.Errorf("%q: %d faults found", tt.name, faults)
		}
	}
}

func FuzzBearerServer(f *testing.F) {
	for _, a := range append(oauthBearerAttempts(), xoauth2Attempts()...) {
		if len(a.response) < 1000 {
			f.Add([]byte(a.response), []byte("\x01"))
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, make := range []makesBearer{sasl.NewOAUTHBEARER, sasl.NewXOAUTH2} {
			i := tokens()
			x := make(i, sasl.BearerOptions{}).Start()
			over := false
			for _, r := range [][]byte{a, b, a} {
				c, account, err := x.Next(t.Context(), r)
				if over && err == nil || (err == nil && account == "") != (c != nil) {
					t.Fatalf("got %q, %q, %v", c, account, err)
				}
				over = over || err != nil || account != ""
				if account != "" && (len(i.asked) != 1 || !strings.HasSuffix(i.asked[0], " hush") && !strings.HasSuffix(i.asked[0], " odd") &&
					!strings.HasSuffix(i.asked[0], " "+rfcToken) && len(i.asked[0]) < 8000) {
					t.Fatalf("%q proves %q", i.asked, account)
				}
				quiet(t, err)
			}
			if !over || len(i.asked) > 1 {
				t.Fatalf("no end, or the verifier was asked %q", i.asked)
			}
			for _, q := range i.asked {
				if strings.ContainsFunc(q, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(q) > 17<<10 {
					t.Fatalf("the verifier was asked %q", q)
				}
			}
		}
	})
}
