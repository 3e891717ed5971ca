package sasl_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/postwain/postwain/sasl"
)

// scramVector is a whole exchange with a nonce that is known.
type scramVector struct {
	hash                                   sasl.SCRAMHash
	user, password                         string
	nonce, initial, first, response, final string
}

func scramVectors() map[string]scramVector {
	return map[string]scramVector{
		"RFC 5802": {
			hash: sasl.SCRAMSHA1, user: "user", password: "pencil", nonce: "fyko+d2lbbFgONRv9qkxdawL",
			initial:  "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			first:    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			response: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			final:    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		"RFC 7677": {
			hash: sasl.SCRAMSHA256, user: "user", password: "pencil", nonce: "rOprNGfwEbeRWgbNEkqO",
			initial:  "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			first:    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			response: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			final:    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
		"SASLprep": { // the user name in another normal form, a compatibility character in the password
			hash: sasl.SCRAMSHA256, user: "ramo\u0301n", password: "p\u212bssword", nonce: "clientNONCE",
			initial:  "n,,n=ram\u00f3n,r=clientNONCE",
			first:    "r=clientNONCEserverNONCE,s=c2FsdFNBTFRzYWx0,i=4096",
			response: "c=biws,r=clientNONCEserverNONCE,p=KXgIc8B+d5k3zx1P4rfs4TiybIlv11O85Jl1TrzEsfI=",
			final:    "v=zG9u+MI5GPTROhnW/W1PUCKV4Uvp2SHzwFOZV9Hth/c=",
		},
	}
}

func TestSCRAMVectors(t *testing.T) {
	t.Parallel()
	for name, v := range scramVectors() {
		c := sasl.WithNonce(sasl.SCRAMClient(v.hash, v.user, v.password, nil, false), v.nonce)
		for range 2 { // each Start is a new exchange
			initial, has, err := c.Start()
			if string(initial) != v.initial || !has || err != nil {
				t.Fatalf("%s: Start = %q, %v, %v", name, initial, has, err)
			}
			if c.Done() == nil {
				t.Errorf("%s: done before the first message", name)
			}
			if r, err := c.Next([]byte(v.first)); string(r) != v.response || err != nil {
				t.Fatalf("%s: got %q, %v; want %q", name, r, err, v.response)
			}
			if c.Done() == nil {
				t.Errorf("%s: done before the final message", name)
			}
			if r, err := c.Next([]byte(v.final)); r == nil || len(r) > 0 || err != nil {
				t.Fatalf("%s: the final message is answered by %q, %v", name, r, err)
			}
			if err := c.Done(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if r, err := c.Next(nil); r != nil || err == nil {
				t.Errorf("%s: goes on after its end: %q", name, r)
			}
		}
	}
}

// scramServer is a server that may lie: first and final change its messages.
// Without a final message it reports success at once.
type scramServer struct {
	*scram.ServerConversation
	first func(s string) string
	final func(s string) string
}

// newServer makes a server that knows user with the password pencil.
func newServer(t *testing.T, hash sasl.SCRAMHash) *scram.Server {
	t.Helper()
	h := scram.SHA256
	if hash == sasl.SCRAMSHA1 {
		h = scram.SHA1
	}
	known, err := h.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.NewServer(func(user string) (scram.StoredCredentials, error) {
		if user != "user" {
			return scram.StoredCredentials{}, errors.New("no such user")
		}
		return known.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "a salt", Iters: 4096})
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bound begins an exchange of a server that offers the -PLUS form.
func bound(s *scram.Server, binding []byte) *scram.ServerConversation {
	return s.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: binding})
}

// play lets c talk to s. It returns what the client said and the error with
// which it, or the server, ended.
func (s scramServer) play(c sasl.Client) (said []string, err error) {
	response, _, err := c.Start()
	if err != nil {
		return nil, err
	}
	said = append(said, string(response))
	for _, change := range []func(string) string{s.first, s.final} {
		challenge, refusal := s.Step(string(response))
		if change != nil {
			if challenge = change(challenge); challenge == "" {
				return said, c.Done()
			}
		}
		if response, err = c.Next([]byte(challenge)); err != nil {
			if c.Done() == nil {
				return said, fmt.Errorf("done in spite of: %w", err)
			}
			return said, err
		}
		said = append(said, string(response))
		if refusal != nil && change == nil {
			return said, refusal
		}
	}
	return said, c.Done()
}

// The flag of the GS2 header, what the server expects, and who finds out.
func TestSCRAMChannelBinding(t *testing.T) {
	t.Parallel()
	ours, other := []byte(strings.Repeat("b", 32)), []byte(strings.Repeat("c", 32))
	for _, tt := range []struct {
		name    string
		client  []byte
		offered bool // as the client saw it
		server  []byte
		flag    string
		plus    bool
		err     string // part of it; empty for success
	}{
		{"none", nil, false, nil, "n,,", false, ""},
		{"server only", nil, true, ours, "n,,", false, ""},
		{"client only", ours, false, nil, "y,,", false, ""},
		{"both", ours, true, ours, "p=tls-exporter,,", true, ""},
		{"offer taken away", ours, false, ours, "y,,", false, "somebody may be in between"},
		{"another channel", ours, true, other, "p=tls-exporter,,", true, "channel-bindings-dont-match"},
		{"offer made up", ours, true, nil, "p=tls-exporter,,", true, "channel-binding-not-supported"},
	} {
		for hash, name := range map[sasl.SCRAMHash]string{sasl.SCRAMSHA256: "SCRAM-SHA-256", sasl.SCRAMSHA1: "SCRAM-SHA-1"} {
			c := sasl.SCRAMClient(hash, "user", "pencil", tt.client, tt.offered)
			if tt.plus {
				name += "-PLUS"
			}
			if c.Name() != name {
				t.Errorf("%s: Name = %q, want %q", tt.name, c.Name(), name)
			}
			server := newServer(t, hash).NewConversation()
			if tt.server != nil {
				server = bound(newServer(t, hash), tt.server)
			}
			said, err := scramServer{ServerConversation: server}.play(c)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.err)
			}
			if !strings.HasPrefix(said[0], tt.flag+"n=user,r=") {
				t.Errorf("%s: begins %q", tt.name, said[0])
			}
		}
	}
}

func TestSCRAMRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, user, password string
		final                string // instead of the server's, if not empty
		refused              bool
	}{
		{"wrong password", "user", "pencil case", "", true},
		{"unknown user", "nobody", "pencil", "", true},
		{"outage", "user", "pencil", "e=no-resources", false},
		{"with extensions", "user", "pencil", "e=invalid-proof,x=1", true},
		{"terminal codes", "user", "pencil", "e=\u009b2J\u202e\xff", false},
		{"long", "user", "pencil", "e=" + strings.Repeat("a", 4000), false},
	} {
		s := scramServer{ServerConversation: newServer(t, sasl.SCRAMSHA256).NewConversation()}
		if tt.final != "" {
			s.final = func(string) string { return tt.final }
		}
		_, err := s.play(sasl.SCRAMClient(sasl.SCRAMSHA256, tt.user, tt.password, nil, false))
		if err == nil || errors.Is(err, sasl.ErrRefused) != tt.refused {
			t.Errorf("%s: got %v", tt.name, err)
			continue
		}
		if s := err.Error(); len(s) > 300 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: error %q", tt.name, s)
		}
	}
}

func TestSCRAMRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ user, password string }{
		{"", "pencil"}, {"user", ""}, {"us\x00er", "pencil"}, {"user", "pen\x00cil"},
		{"us\ner", "pencil"}, {"user", "pencil\r\n"}, {"us\xffer", "pencil"}, {"user", "pencil\xff"},
		{"user\u0627" + "1", "pencil"}, // right to left, then left to right
	} {
		c := sasl.SCRAMClient(sasl.SCRAMSHA256, tt.user, tt.password, nil, false)
		initial, has, err := c.Start()
		if initial != nil || has || err == nil || strings.Contains(err.Error(), "pen") || strings.Contains(err.Error(), "us\x00") {
			t.Errorf("%q, %q: got %q, %v, %v", tt.user, tt.password, initial, has, err)
		}
		if r, err := c.Next([]byte("r=x,s=eA==,i=4096")); r != nil || err == nil || c.Done() == nil {
			t.Errorf("%q: goes on: %q, %v, %v", tt.user, r, err, c.Done())
		}
	}
}

// hostile is a server that lies, and how many messages the client may give it:
// two with the proof.
type hostile struct {
	name         string
	first, final func(string) string
	messages     int
}

func instead(s string) func(string) string { return func(string) string { return s } }

func replaced(pattern, with string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(s string) string { return re.ReplaceAllString(s, with) }
}

func hostiles() []hostile {
	const first = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i="
	list := []hostile{
		{"success at once", instead(""), nil, 1},
		{"foreign nonce", instead(first + "4096"), nil, 1},
		{"nonce not extended", replaced(`^r=(.{26})[^,]*`, "r=$1"), nil, 1},
		{"nonce cut", replaced(`^r=(.{25})[^,]*`, "r=$1"), nil, 1},
		{"nonce behind another", replaced(`^r=`, "r=x"), nil, 1},
		{"nonce with a blank", replaced(`,s=`, " ,s="), nil, 1},
		{"nonce in 8 bits", replaced(`,s=`, "\xff,s="), nil, 1},
		{"mandatory extension", replaced(`^`, "m=x,"), nil, 1},
		{"no salt", replaced(`s=[^,]*`, "s="), nil, 1},
		{"salt not base64", replaced(`s=[^,]*`, "s=!"), nil, 1},
		{"order", replaced(`^(r=.*),(s=.*),(i=.*)$`, "$1,$3,$2"), nil, 1},
		{"capital letters", replaced(`^r=`, "R="), nil, 1},
		{"two fields", replaced(`,i=.*`, ""), nil, 1},
		{"line end", replaced(`$`, "\r\n"), nil, 1},
		{"line end in salt", replaced(`,s=`, ",s=\n"), nil, 1},
		{"large", replaced(`$`, ",x="+strings.Repeat("x", 4<<10)), nil, 1},
		{"final first", instead("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), nil, 1},
		{"no final", nil, instead(""), 2},
		{"wrong signature", nil, instead("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), 2},
		{"signature cut", nil, replaced(`.{4}$`, ""), 2},
		{"empty signature", nil, instead("v="), 2},
		{"half a field", nil, instead("v"), 2},
		{"signature not base64", nil, instead("v=!"), 2},
		{"line end in signature", nil, replaced(`^v=`, "v=\n"), 2},
		{"first again", nil, instead(first + "4096"), 2},
		{"signature behind", nil, replaced(`^`, "x=1,"), 2},
		{"signature and error", nil, replaced(`^v=.*$`, "e=other-error,$0"), 2},
		{"large final", nil, replaced(`$`, ",x="+strings.Repeat("x", 4<<10)), 2},
	}
	// The large ones would take from seconds to hours if they were computed.
	for _, i := range []string{
		"0", "1", "4095", "1000001", "2147483647", "2147483648", "9223372036854775807", "18446744073709551617",
		"", "-4096", "+4096", "04096", "4096 ", "0x1000", "4096x", "1e4", "4_096", "٤٠٩٦",
	} {
		list = append(list, hostile{"i=" + i, replaced(`i=.*`, "i="+i), nil, 1})
	}
	return list
}

// judgeSCRAM says what a client does wrong with a server that lies.
func judgeSCRAM(s *scram.Server, c sasl.Client, tt hostile) (faults []string) {
	said, err := scramServer{s.NewConversation(), tt.first, tt.final}.play(c)
	if len(said) != tt.messages {
		faults = append(faults, fmt.Sprintf("the client said %q", said))
	}
	if err == nil {
		return append(faults, "no error")
	}
	if s := err.Error(); errors.Is(err, sasl.ErrRefused) || len(s) > 300 || strings.Contains(s, "pencil") ||
		strings.Contains(s, "done in spite of") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		faults = append(faults, fmt.Sprintf("error %q", s))
	}
	return faults
}

func TestSCRAMHostileServers(t *testing.T) {
	t.Parallel()
	server := newServer(t, sasl.SCRAMSHA256)
	for _, tt := range hostiles() {
		for _, f := range judgeSCRAM(server, sasl.SCRAMClient(sasl.SCRAMSHA256, "user", "pencil", nil, false), tt) {
			t.Errorf("%s: %s", tt.name, f)
		}
	}
}

// A client that has refused a message looks at no other.
func TestSCRAMEnds(t *testing.T) {
	t.Parallel()
	v := scramVectors()["RFC 7677"]
	c := sasl.WithNonce(sasl.SCRAMClient(v.hash, v.user, v.password, nil, false), v.nonce)
	c.Start()
	// The second would take an hour if it were computed.
	for _, i := range []string{"4095", "2147483647", "4096"} {
		if r, err := c.Next([]byte(strings.Replace(v.first, "4096", i, 1))); r != nil || err == nil || c.Done() == nil {
			t.Errorf("i=%s: got %q, %v, %v", i, r, err, c.Done())
		}
	}
}

// The bounds themselves, judged before anything is computed.
func TestSCRAMBounds(t *testing.T) {
	t.Parallel()
	v := scramVectors()["RFC 7677"]
	for i, ok := range map[string]bool{"4095": false, "4096": true, "1000000": true, "1000001": false} {
		if err := sasl.CheckServerFirst(strings.Replace(v.first, "4096", i, 1), v.nonce); (err == nil) != ok {
			t.Errorf("%s iterations: %v", i, err)
		}
	}
	for nonce, ok := range map[string]bool{v.nonce: true, v.nonce[1:]: false, v.nonce + "x": false, strings.Repeat("x", len(v.nonce)): false} {
		if err := sasl.CheckServerFirst(v.first, nonce); (err == nil) != ok {
			t.Errorf("nonce %q: %v", nonce, err)
		}
	}
}

// What the RFC allows beside.
func TestSCRAMTolerates(t *testing.T) {
	t.Parallel()
	v := scramVectors()["RFC 7677"]
	for _, first := range []string{v.first + ",x=1", strings.Replace(v.first, "4096", "4097", 1)} {
		c := sasl.WithNonce(sasl.SCRAMClient(v.hash, v.user, v.password, nil, false), v.nonce)
		c.Start()
		if r, err := c.Next([]byte(first)); !bytes.HasPrefix(r, []byte("c=biws,r=")) || err != nil {
			t.Errorf("%q: got %q, %v", first, r, err)
		}
	}
	c := sasl.WithNonce(sasl.SCRAMClient(v.hash, v.user, v.password, nil, false), v.nonce)
	c.Start()
	c.Next([]byte(v.first))
	if _, err := c.Next([]byte(v.final + ",x=1")); err != nil || c.Done() != nil {
		t.Errorf("an extension in the final message: %v, %v", err, c.Done())
	}
}

// wrongSCRAM is SCRAM with a fault put around it.
type wrongSCRAM struct {
	sasl.Client
	before func(own, challenge string) string
	after  func(response []byte, err error) ([]byte, error)
	done   func(err error) error
	own    string
}

func (w *wrongSCRAM) Start() ([]byte, bool, error) {
	initial, has, err := w.Client.Start()
	_, w.own, _ = strings.Cut(string(initial), ",r=")
	return initial, has, err
}

func (w *wrongSCRAM) Next(challenge []byte) ([]byte, error) {
	if w.before != nil {
		challenge = []byte(w.before(w.own, string(challenge)))
	}
	response, err := w.Client.Next(challenge)
	if w.after != nil {
		return w.after(response, err)
	}
	return response, err
}

func (w *wrongSCRAM) Done() error {
	if w.done != nil {
		return w.done(w.Client.Done())
	}
	return w.Client.Done()
}

func TestSCRAMMutants(t *testing.T) {
	t.Parallel()
	server := newServer(t, sasl.SCRAMSHA256)
	rewrite := func(pattern, with string) func(own, s string) string {
		return func(own, s string) string {
			return replaced(pattern, strings.ReplaceAll(with, "OWN", own))(s)
		}
	}
	for _, tt := range []struct {
		name string
		wrongSCRAM
	}{
		{name: ""}, // sound
		{name: "needs no proof of the server", wrongSCRAM: wrongSCRAM{done: func(error) error { return nil }}},
		{name: "takes few iterations", wrongSCRAM: wrongSCRAM{before: rewrite(`i=\d{1,4}$`, "i=4096")}},
		{name: "takes many iterations", wrongSCRAM: wrongSCRAM{before: rewrite(`i=\d{7,}$`, "i=4096")}},
		{name: "takes signs", wrongSCRAM: wrongSCRAM{before: rewrite(`i=[-+]`, "i=")}},
		{name: "takes zeros", wrongSCRAM: wrongSCRAM{before: rewrite(`i=0`, "i=")}},
		{name: "takes any nonce", wrongSCRAM: wrongSCRAM{before: rewrite(`^r=[^,]*`, "r=${1}OWNx")}},
		{name: "takes its own nonce", wrongSCRAM: wrongSCRAM{before: rewrite(`^(r=.{26}),`, "${1}x,")}},
		{name: "ignores extensions that it must know", wrongSCRAM: wrongSCRAM{before: rewrite(`^m=[^,]*,`, "")}},
		{name: "needs no salt", wrongSCRAM: wrongSCRAM{before: rewrite(`,s=,`, ",s=eA==,")}},
		{name: "trims", wrongSCRAM: wrongSCRAM{before: func(_, s string) string { return strings.TrimSpace(s) }}},
		{name: "has no bound", wrongSCRAM: wrongSCRAM{before: rewrite(`,x=x+$`, "")}},
		{name: "takes any signature", wrongSCRAM: wrongSCRAM{
			after: func(response []byte, err error) ([]byte, error) {
				if err != nil {
					return []byte{}, nil
				}
				return response, nil
			},
			done: func(error) error { return nil },
		}},
		{name: "says the password", wrongSCRAM: wrongSCRAM{after: func(response []byte, err error) ([]byte, error) {
			if err != nil {
				err = fmt.Errorf("with pencil: %w", err)
			}
			return response, err
		}}},
	} {
		faults := 0
		for _, h := range hostiles() {
			w := tt.wrongSCRAM
			w.Client = sasl.SCRAMClient(sasl.SCRAMSHA256, "user", "pencil", nil, false)
			faults += len(judgeSCRAM(server, &w, h))
		}
		if (faults > 0) != (tt.name != "") {
			t.Errorf("%q: %d faults found", tt.name, faults)
		}
	}
}

// Two exchanges of one client have different nonces.
func TestSCRAMNonce(t *testing.T) {
	t.Parallel()
	c := sasl.SCRAMClient(sasl.SCRAMSHA1, "us,e=r", "pencil", nil, false)
	a, _, _ := c.Start()
	b, _, _ := c.Start()
	start := []byte("n,,n=us=2Ce=3Dr,r=")
	if bytes.Equal(a, b) || !bytes.HasPrefix(a, start) || len(a) < len(start)+24 {
		t.Errorf("got %q and %q", a, b)
	}
}

func FuzzSCRAM(f *testing.F) {
	v := scramVectors()["RFC 7677"]
	f.Add([]byte(v.first), []byte(v.final))
	f.Add([]byte(v.first+",x=1"), []byte("e=invalid-proof"))
	f.Add([]byte(strings.Replace(v.first, "4096", "2147483647", 1)), []byte("v="))
	f.Add([]byte("m=x,"+v.first), []byte(v.final+",x=1"))
	bounded := regexp.MustCompile(`^r=rOprNGfwEbeRWgbNEkqO[!-+\--~]+,s=[A-Za-z0-9+/]+=*,i=(409[6-9]|4[1-9]\d\d|[5-9]\d{3}|[1-9]\d{4,5}|1000000)(,|$)`)
	f.Fuzz(func(t *testing.T, first, final []byte) {
		c := sasl.WithNonce(sasl.SCRAMClient(v.hash, v.user, v.password, nil, false), v.nonce)
		c.Start()
		proof, err := c.Next(first)
		if (proof == nil) != (err != nil) {
			t.Fatalf("got %q, %v", proof, err)
		}
		if proof != nil && !bounded.Match(first) {
			t.Fatalf("%q is answered", first)
		}
		r, err := c.Next(final)
		if r != nil && (proof == nil || len(r) > 0) || (r == nil) != (err != nil) || (c.Done() == nil) != (err == nil) {
			t.Fatalf("got %q, %v, %v", r, err, c.Done())
		}
		if err == nil && (string(first) != v.first || !strings.HasPrefix(string(final), "v=")) {
			t.Fatalf("%q, %q prove the server", first, final)
		}
		if err != nil && (len(err.Error()) > 1000 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' })) {
			t.Fatalf("error %q", err)
		}
	})
}
