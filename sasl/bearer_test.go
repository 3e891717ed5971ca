package sasl_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

const token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"

// bearers are the clients that give a token, with what each answers to the
// reason of a failure.
func bearers() map[string]func(user, token string) sasl.Client {
	return map[string]func(user, token string) sasl.Client{
		"": sasl.XOAUTH2Client,
		"\x01": func(user, token string) sasl.Client {
			return sasl.OAUTHBEARERClient(user, token, "pop.example.org", 995)
		},
	}
}

// The example in Google's description of XOAUTH2, and that of RFC 7628 §4.1.
func TestBearerVectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c          sasl.Client
		name, want string
	}{
		{
			sasl.XOAUTH2Client("someuser@example.com", token), "XOAUTH2",
			"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==",
		},
		{
			sasl.OAUTHBEARERClient("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143), "OAUTHBEARER",
			"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
		},
	} {
		initial, has, err := tt.c.Start()
		if got := base64.StdEncoding.EncodeToString(initial); got != tt.want || !has || err != nil || tt.c.Name() != tt.name {
			t.Errorf("%s: got %q, %v, %v", tt.name, initial, has, err)
		}
		if err := tt.c.Done(); err != nil {
			t.Error(err)
		}
	}
}

func TestOAUTHBEARERName(t *testing.T) {
	t.Parallel()
	initial, _, err := sasl.OAUTHBEARERClient("a=b,c@example.org", "x", "pop.example.org", 995).Start()
	if want := "n,a=a=3Db=2Cc@example.org,\x01host=pop.example.org\x01port=995\x01auth=Bearer x\x01\x01"; string(initial) != want || err != nil {
		t.Errorf("got %q, %v; want %q", initial, err, want)
	}
}

func TestBearerRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ user, token string }{
		{"", "hush"},
		{"alice", ""},
		{"al\x00ice", "hush"},
		{"alice\x01auth=Bearer other", "hush"},
		{"alice\r\nQUIT", "hush"},
		{"alice\n", "hush"},
		{"alice\x7f", "hush"},
		{"alice", "hush\n"},
		{"alice", "hush\r"},
		{"alice", "hush\x00"},
		{"alice", "hush\x01\x01"},
		{"alice", "hush now"},
		{"alice", "hush\x7f"},
		{"alice", "hüsh"},
	} {
		for _, make := range bearers() {
			c := make(tt.user, tt.token)
			initial, has, err := c.Start()
			if initial != nil || has || err == nil {
				t.Errorf("%s: user %q, token %q: got %q, %v, %v", c.Name(), tt.user, tt.token, initial, has, err)
			} else if s := err.Error(); strings.Contains(s, "hush") || strings.Contains(s, "alice") {
				t.Errorf("%s repeats what it was given: %v", c.Name(), err)
			}
		}
	}
	for _, tt := range []struct {
		host string
		port int
	}{{"", 995}, {"pop.example.org\x01", 995}, {"pop example", 995}, {"pop.example.org", 0}, {"pop.example.org", -1}, {"pop.example.org", 65536}} {
		if _, _, err := sasl.OAUTHBEARERClient("alice", "hush", tt.host, tt.port).Start(); err == nil {
			t.Errorf("host %q, port %d: no error", tt.host, tt.port)
		}
	}
}

// failure is a challenge that gives a reason, and what the client makes of it.
type failure struct {
	name, challenge string
	says            string // part of the error
	refused         bool   // the token was judged
}

func failures() []failure {
	return []failure{
		{"Google", `{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}` + "\n", `"401"`, true},
		{"RFC 7628", `{"status":"invalid_token","scope":"example_scope","openid-configuration":"https://example.com/.well-known/openid-configuration"}`, `"invalid_token"`, true},
		{"number", `{"status":400}`, `"400"`, true},
		{"outage", `{"status":"503"}`, `"503"`, false},
		{"outage by name", `{"status":"temporarily_unavailable"}`, `"temporarily_unavailable"`, false},
		{"fault of the server", `{"status":"server_error"}`, `"server_error"`, false},
		{"no status", `{"schemes":"bearer"}`, "does not say why", true},
		{"empty status", `{"status":""}`, "does not say why", true},
		{"other status", `{"status":{"a":[1]}}`, "does not say why", true},
		{"no object", `["status"]`, "does not say why", true},
		{"no JSON", "status 401 \x1b[2J", "does not say why", true},
		{"nothing", "", "does not say why", true},
		{"deep", strings.Repeat("[", 4<<10), "does not say why", true},
		{"large", `{"status":"401","x":"` + strings.Repeat("x", 1<<20) + `"}`, "does not say why", true},
		{"long", `{"status":"` + strings.Repeat("a", 2000) + `"}`, `"aaaa`, true},
		{"terminal codes", `{"status":"\u001b[2J\u009b\u202e\r\n` + "\xff" + `"}`, `"\x1b[2J\u009b\u202e\r\n`, true},
		{"token", `{"status":"no such token: ` + token + `"}`, "does not say why", true},
		{"token in escapes", `{"status":"\u0079` + token[1:] + `"}`, "does not say why", true},
	}
}

// judgeBearer says what a client does wrong at one failure.
func judgeBearer(c sasl.Client, answer string, tt failure) (faults []string) {
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	if _, _, err := c.Start(); err != nil {
		fault("Start: %v", err)
	}
	if r, err := c.Next([]byte(tt.challenge)); string(r) != answer || r == nil || err != nil {
		fault("the reason is answered by %q, %v", r, err)
	}
	r, err := c.Next([]byte(tt.challenge))
	if r != nil {
		fault("a second challenge is answered by %q", r)
	}
	for _, err := range []error{err, c.Done()} {
		if err == nil {
			fault("no error")
			continue
		}
		if errors.Is(err, sasl.ErrRefused) != tt.refused {
			fault("refused or not: %v", err)
		}
		if !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 500 || strings.Contains(err.Error(), token) {
			fault("%v; want one with %s", err, tt.says)
		}
		for _, b := range []byte(err.Error()) {
			if b < ' ' || b > '~' {
				fault("octet %#x in an error", b)
			}
		}
	}
	return faults
}

func TestBearerFailures(t *testing.T) {
	t.Parallel()
	for answer, make := range bearers() {
		for _, tt := range failures() {
			c := make("alice", token)
			for range 2 { // each Start is a new exchange
				for _, f := range judgeBearer(c, answer, tt) {
					t.Errorf("%s, %s: %s", c.Name(), tt.name, f)
				}
			}
		}
	}
}

// wrongBearer is XOAUTH2 with a fault put around it.
type wrongBearer struct {
	sasl.Client
	next func(c sasl.Client, challenge []byte) ([]byte, error)
	done func(err error) error
}

func (w wrongBearer) Next(challenge []byte) ([]byte, error) {
	if w.next != nil {
		return w.next(w.Client, challenge)
	}
	return w.Client.Next(challenge)
}

func (w wrongBearer) Done() error {
	if w.done != nil {
		return w.done(w.Client.Done())
	}
	return w.Client.Done()
}

func TestBearerMutants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		wrongBearer
	}{
		{name: ""}, // sound
		{name: "forgets the failure", wrongBearer: wrongBearer{done: func(error) error { return nil }}},
		{name: "repeats the token", wrongBearer: wrongBearer{done: func(err error) error { return fmt.Errorf("%s: %w", token, err) }}},
		{name: "makes an outage of a refusal", wrongBearer: wrongBearer{done: func(error) error { return errOutage }}},
		{name: "makes a refusal of an outage", wrongBearer: wrongBearer{done: func(err error) error {
			return fmt.Errorf("%w: %w", sasl.ErrRefused, err)
		}}},
		{name: "answers for ever", wrongBearer: wrongBearer{next: func(c sasl.Client, challenge []byte) ([]byte, error) {
			c.Next(challenge)
			return []byte{}, nil
		}}},
		{name: "answers nothing at all", wrongBearer: wrongBearer{next: func(c sasl.Client, challenge []byte) ([]byte, error) {
			_, err := c.Next(challenge)
			return nil, err
		}}},
		{name: "repeats the server", wrongBearer: wrongBearer{next: func(c sasl.Client, challenge []byte) ([]byte, error) {
			r, err := c.Next(challenge)
			if err != nil {
				err = fmt.Errorf("%s: %w", challenge, err)
			}
			return r, err
		}}},
	} {
		faults := 0
		for _, f := range failures() {
			w := tt.wrongBearer
			w.Client = sasl.XOAUTH2Client("alice", token)
			faults += len(judgeBearer(w, "", f))
		}
		if (faults > 0) != (tt.name != "") {
			t.Errorf("%q: %d faults found", tt.name, faults)
		}
	}
}

func fuzzBearer(f *testing.F, answer string) {
	for _, tt := range failures() {
		f.Add([]byte(tt.challenge), []byte(tt.challenge))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		c := bearers()[answer]("alice", token)
		c.Start()
		if r, err := c.Next(a); string(r) != answer || r == nil || err != nil {
			t.Fatalf("got %q, %v", r, err)
		}
		r, err := c.Next(b)
		if r != nil || err == nil || c.Done() == nil {
			t.Fatalf("got %q, %v, %v", r, err, c.Done())
		}
		if s := err.Error(); len(s) > 1000 || strings.Contains(s, token) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("error %q", s)
		}
	})
}

func FuzzXOAUTH2(f *testing.F)     { fuzzBearer(f, "") }
func FuzzOAUTHBEARER(f *testing.F) { fuzzBearer(f, "\x01") }
