package sasl_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// The examples of RFC 5802 §5 and RFC 7677 §3, from the other side.
func TestSCRAMServerVectors(t *testing.T) {
	t.Parallel()
	for name, v := range scramVectors() {
		salt, err := base64.StdEncoding.DecodeString(regexp.MustCompile(`s=([^,]*)`).FindStringSubmatch(v.first)[1])
		if err != nil {
			t.Fatal(err)
		}
		keys, err := sasl.NewSCRAMKeys(v.hash, v.password, salt, 4096)
		if err != nil {
			t.Fatal(err)
		}
		user := strings.TrimPrefix(strings.Split(v.initial, ",")[2], "n=")
		source := &vault{secrets: map[string]string{v.hash.String() + " " + user: keys.Encode()}}
		full, _, _ := strings.Cut(v.first, ",")
		m := sasl.WithServerNonce(sasl.NewSCRAM(source, sasl.SCRAMOptions{Hash: v.hash}), strings.TrimPrefix(full, "r="+v.nonce))
		for _, steps := range [][]string{{v.initial, v.response}, {"-", v.initial, v.response}} {
			challenges, account, err := run(t, m, steps...)
			want := []string{v.first, v.final}
			if len(steps) == 3 {
				want = []string{"", v.first, v.final}
			}
			if fmt.Sprint(challenges) != fmt.Sprint(want) || account != "account-of-"+user || err != nil {
				t.Errorf("%s: got %q, %q, %v; want %q", name, challenges, account, err, want)
			}
		}
	}
}

// rogue is a client that says what it likes and proves even that, if it knows
// the password: only the check that the case is about can refuse it.
type rogue struct {
	first    string              // instead of header and the rest
	header   string              // of the first message
	binding  string              // of the final one, before base64; empty: header
	without  func(string) string // changes the final message, before it is proved
	proof    func([]byte) []byte // changes the proof
	final    func(string) string // changes the final message, after
	password string
}

// kim is who the rogues say they are. Her keys cost nothing: not that is judged.
func kim(t testing.TB) *vault {
	t.Helper()
	k, err := sasl.NewSCRAMKeys(sasl.SCRAMSHA256, "k secret", nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &vault{secrets: map[string]string{"SCRAM-SHA-256 kim": k.Encode()}}
}

// play returns what the exchange ends in.
func (r rogue) play(t testing.TB, m sasl.Mechanism) (account string, err error) {
	x := m.Start()
	bare := "n=kim,r=clientnonce"
	first := r.header + bare
	if r.first != "" {
		first = r.first
		bare = regexp.MustCompile(`^[^,]*,[^,]*,`).ReplaceAllString(first, "")
	}
	challenge, account, err := x.Next(t.Context(), []byte(first))
	if account != "" || err != nil {
		return account, err
	}
	field := regexp.MustCompile(`^r=(.*),s=(.*),i=1$`).FindSubmatch(challenge)
	if field == nil {
		t.Fatalf("server's first message %q", challenge)
	}
	salt, err := base64.StdEncoding.DecodeString(string(field[2]))
	if err != nil {
		t.Fatal(err)
	}
	if r.binding == "" {
		r.binding = r.header
	}
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(r.binding)) + ",r=" + string(field[1])
	if r.without != nil {
		without = r.without(without)
	}
	proof := prove(r.password, salt, bare+","+string(challenge)+","+without)
	if r.proof != nil {
		proof = r.proof(proof)
	}
	final := without + ",p=" + base64.StdEncoding.EncodeToString(proof)
	if r.final != nil {
		final = r.final(final)
	}
	challenge, account, err = x.Next(t.Context(), []byte(final))
	if (challenge == nil) != (account == "") || (account == "") != (err != nil) {
		t.Errorf("ends in %q, %q, %v", challenge, account, err)
	}
	return account, err
}

// prove is the client's proof (RFC 5802 §3), written once more.
func prove(password string, salt []byte, message string) []byte {
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, 1, 32)
	if err != nil {
		return nil
	}
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := make([]byte, len(key))
	subtle.XORBytes(proof, key, mac(stored[:], message))
	return proof
}

const channel = "0123456789abcdef0123456789abcdef"

// rogueCase is a rogue, where it goes, and what must come of it.
type rogueCase struct {
	name  string
	plus  bool
	offer bool // of the -PLUS form
	rogue
	err error
}

func rogueCases() []rogueCase {
	const ok = "k secret"
	const p = "p=tls-exporter,,"
	refused, malformed := sasl.ErrRefused, sasl.ErrMalformed
	same := func(s string) func(string) string { return func(string) string { return s } }
	first := func(s string) rogue { return rogue{first: s, header: "n,,", password: ok} }
	list := []rogueCase{
		{"sound", false, false, rogue{header: "n,,", password: ok}, nil},
		{"no offer was seen, and there was none", false, false, rogue{header: "y,,", password: ok}, nil},
		{"client cannot bind", false, true, rogue{header: "n,,", password: ok}, nil},
		{"bound", true, true, rogue{header: p, binding: p + channel, password: ok}, nil},
		{"own authzid", false, false, first("n,a=kim,n=kim,r=x"), refused}, // binding says n,,
		{"own authzid, bound to", false, false, rogue{first: "n,a=kim,n=kim,r=x", header: "n,a=kim,", password: ok}, nil},
		{"empty authzid", false, false, rogue{first: "n,a=,n=kim,r=x", header: "n,a=,", password: ok}, nil},
		{"extension", false, false, rogue{first: "n,,n=kim,r=x,x=1", header: "n,,", password: ok}, nil},
		{"extension in the final", false, false, rogue{header: "n,,", password: ok, without: func(s string) string { return s + ",x=1" }}, nil},

		{"offer was taken away", false, true, rogue{header: "y,,", password: ok}, refused},
		{"flag was changed on the way", false, false, rogue{header: "n,,", binding: "y,,", password: ok}, refused},
		{"flag was changed from bound", false, true, rogue{header: "n,,", binding: p + channel, password: ok}, refused},
		{"bound to another channel", true, true, rogue{header: p, binding: p + strings.Repeat("x", 32), password: ok}, refused},
		{"bound to nothing", true, true, rogue{header: p, binding: p, password: ok}, refused},
		{"bound to a part", true, true, rogue{header: p, binding: p + channel[:31], password: ok}, refused},
		{"bound to more", true, true, rogue{header: p, binding: p + channel + "x", password: ok}, refused},
		{"bound beside", false, true, rogue{header: "n,,", binding: "n,," + channel, password: ok}, refused},
		{"plus without binding", true, true, rogue{header: "n,,", password: ok}, malformed},
		{"plus and no offer seen", true, true, rogue{header: "y,,", password: ok}, malformed},
		{"binding without plus", false, true, rogue{header: p, binding: p + channel, password: ok}, malformed},
		{"binding without offer", false, false, rogue{header: p, binding: p + channel, password: ok}, malformed},
		{"another kind of channel", true, true, rogue{header: "p=tls-unique,,", binding: "p=tls-unique,," + channel, password: ok}, malformed},
		{"kind in capitals", true, true, rogue{header: "p=TLS-EXPORTER,,", binding: "p=TLS-EXPORTER,," + channel, password: ok}, malformed},
		{"other authzid", false, false, rogue{first: "n,a=root,n=kim,r=x", header: "n,a=root,", password: ok}, refused},

		{"other authzid, hidden", false, false, first("n,a=root,n=kim,r=x"), refused},

		{"wrong password", false, false, rogue{header: "n,,", password: "k secreT"}, refused},
		{"wrong password, bound", true, true, rogue{header: p, binding: p + channel, password: "x"}, refused},
		{"unknown", false, false, rogue{first: "n,,n=bob,r=x", header: "n,,", password: ok}, refused},
		{"nonce of another exchange", false, false, rogue{header: "n,,", password: ok, without: replaced(`,r=.*`, ",r=clientnonceserver")}, refused},
		{"nonce cut", false, false, rogue{header: "n,,", password: ok, without: replaced(`.$`, "")}, refused},
		{"nonce longer", false, false, rogue{header: "n,,", password: ok, without: replaced(`$`, "x")}, refused},
		{"proof of nothing", false, false, rogue{header: "n,,", password: ok, proof: func(b []byte) []byte { return make([]byte, len(b)) }}, refused},
		{"one bit of the proof", false, false, rogue{header: "n,,", password: ok, proof: func(b []byte) []byte { b[31] ^= 1; return b }}, refused},
		{"proof cut", false, false, rogue{header: "n,,", password: ok, proof: func(b []byte) []byte { return b[:31] }}, malformed},
		{"proof of SHA-1's length", false, false, rogue{header: "n,,", password: ok, proof: func(b []byte) []byte { return b[:20] }}, malformed},
		{"proof longer", false, false, rogue{header: "n,,", password: ok, proof: func(b []byte) []byte { return append(b, 0) }}, malformed},
		{"no proof", false, false, rogue{header: "n,,", password: ok, proof: func([]byte) []byte { return nil }}, malformed},
		{"two proofs", false, false, rogue{header: "n,,", password: ok, final: func(s string) string { return s + ",p=AAAA" }}, malformed},
		{"something behind the proof", false, false, rogue{header: "n,,", password: ok, final: replaced(`$`, ",x=1")}, malformed},
		{"line end", false, false, rogue{header: "n,,", password: ok, final: replaced(`$`, "\r\n")}, malformed},
		{"proof not base64", false, false, rogue{header: "n,,", password: ok, final: replaced(`p=.`, "p=!")}, malformed},
		{"line end in the proof", false, false, rogue{header: "n,,", password: ok, final: replaced(`p=`, "p=\n")}, malformed},
		{"bits behind the proof", false, false, rogue{header: "n,,", password: ok, final: func(s string) string { return s[:len(s)-2] + "B=" }}, malformed},
		{"binding not base64", false, false, rogue{header: "n,,", password: ok, final: replaced(`^c=`, "c=!")}, malformed},
		{"order", false, false, rogue{header: "n,,", password: ok, without: replaced(`^(c=.*),(r=.*)$`, "$2,$1")}, malformed},
		{"final is empty", false, false, rogue{header: "n,,", password: ok, final: same("")}, malformed},
		{"final is first", false, false, rogue{header: "n,,", password: ok, final: same("n,,n=kim,r=x")}, malformed},
		{"final is large", false, false, rogue{header: "n,,", password: ok, without: func(s string) string { return s + ",x=" + strings.Repeat("x", 4<<10) }}, malformed},
	}
	for _, s := range []string{
		",", ",,", ",,,", "n", "n,", "n,,", "n,,,", "x,,n=kim,r=x", "N,,n=kim,r=x", "nn,,n=kim,r=x", "n=,,n=kim,r=x", "p,,n=kim,r=x", "p=,,n=kim,r=x",
		"F,n,,n=kim,r=x", "n,b=kim,n=kim,r=x", "n,a=k=im,n=kim,r=x", "n,,m=x,n=kim,r=x", "n,,r=x,n=kim", "n,,n=kim", "n,,n=kim,", "n,,n=kim,r=", "n,,n=kim,x=1",
		"n,,N=kim,r=x", "n,,n=,r=x", "n,,n=k=im,r=x", "n,,n=kim=2c,r=x", "n,,n=kim=,r=x", "n,,n=kim=3,r=x", "n,,n=kim,r=a b", "n,,n=kim,r=\u00e4",
		"n,,n=k\x00m,r=x", "n,,n=kim\r\n,r=x", "n,,n=k\xefm,r=x", "n,,n=kim,r=\x7f", "n,,n=kim,r=" + strings.Repeat("x", 4<<10), "r=x,s=eA==,i=4096",
	} {
		list = append(list, rogueCase{fmt.Sprintf("%.30q", s), false, false, first(s), malformed})
	}
	return append(list, rogueCase{"long name", false, false, first("n,,n=" + strings.Repeat("n", 256) + ",r=x"), refused})
}

// judgeRogue says what a server does wrong.
func judgeRogue(t *testing.T, source sasl.SecretSource, tt rogueCase, change func(sasl.Mechanism) sasl.Mechanism) (faults []string) {
	o := sasl.SCRAMOptions{Plus: tt.plus, Iterations: 1}
	if tt.offer {
		o.Binding = []byte(channel)
	}
	account, err := tt.play(t, change(sasl.NewSCRAM(source, o)))
	if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || (account == "account-of-kim") != (tt.err == nil) {
		faults = append(faults, fmt.Sprintf("got %q, %v; want %v", account, err, tt.err))
	}
	quiet(t, err)
	return faults
}

func TestSCRAMServerRogues(t *testing.T) {
	t.Parallel()
	source := kim(t)
	for _, tt := range rogueCases() {
		for _, f := range judgeRogue(t, source, tt, func(m sasl.Mechanism) sasl.Mechanism { return m }) {
			t.Errorf("%s: %s", tt.name, f)
		}
	}
}

// A binding that is not there is the server's fault, not the client's.
func TestSCRAMServerWithoutChannel(t *testing.T) {
	t.Parallel()
	account, err := rogue{header: "p=tls-exporter,,", password: "k secret"}.play(t, sasl.NewSCRAM(secrets(t), sasl.SCRAMOptions{Plus: true}))
	if account != "" || err == nil || errors.Is(err, sasl.ErrRefused) || errors.Is(err, sasl.ErrMalformed) {
		t.Errorf("got %q, %v", account, err)
	}
}

// changed is a mechanism with a fault put before or behind it.
type changed struct {
	sasl.Mechanism
	response func(step int, r []byte) []byte
	ok       bool // proves whoever gets to the end
}

func (c changed) Start() sasl.Exchange { return &changedExchange{c.Mechanism.Start(), c, 0} }

type changedExchange struct {
	sasl.Exchange
	changed
	step int
}

func TestSCRAMServerMutants(t *testing.T) {
	t.Parallel()
	source := kim(t)
	in := func(step int, pattern, with string) func(int, []byte) []byte {
		return func(at int, r []byte) []byte {
			if at != step {
				return r
			}
			return []byte(replaced(pattern, with)(string(r)))
		}
	}
	for _, tt := range []struct {
		name string
		with changed
	}{
		{name: ""},
		{"lets the offer be taken away", changed{response: in(1, "^y,", "n,")}},
		{"needs no plus", changed{response: in(1, "^p=tls-exporter,", "n,")}},
		{"takes any channel", changed{response: in(1, "^p=[-a-zA-Z]*,", "p=tls-exporter,")}},
		{"ignores the authzid", changed{response: in(1, "^(.),a=root", "$1,")}},
		{"ignores extensions that it must know", changed{response: in(1, "m=x,", "")}},
		{"trims", changed{response: func(_ int, r []byte) []byte { return bytes.TrimSpace(r) }}},
		{"folds escapes", changed{response: in(1, "=2c", "=2C")}},
		{"has no bound", changed{response: in(2, ",x=x*", "")}},
		{"ignores what is behind", changed{response: in(2, ",x=1$", "")}},
		{"proves everybody", changed{ok: true}},
	} {
		faults := 0
		for _, c := range rogueCases() {
			faults += len(judgeRogue(t, source, c, func(m sasl.Mechanism) sasl.Mechanism {
				with := tt.with
				with.Mechanism = m
				return with
			}))
		}
		if (faults > 0) != (tt.name != "") {
			t.Errorf("%q: %d faults found", tt.name, faults)
		}
	}
}
