package sasl_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

// vault is a source of secrets, under "scheme name", that notes what it was
// asked.
type vault struct {
	secrets map[string]string
	err     error // instead of a refusal
	asked   []string
}

func (v *vault) Secret(_ context.Context, name, scheme string) (string, []byte, error) {
	v.asked = append(v.asked, scheme+" "+name)
	secret, ok := v.secrets[scheme+" "+name]
	switch {
	case ok:
		return "account-of-" + name, []byte(secret), nil
	case v.err != nil:
		return "", nil, v.err
	}
	return "", nil, sasl.ErrRefused
}

// scramKeys are what is stored of a password for SCRAM.
func scramKeys(t testing.TB, hash sasl.SCRAMHash, password string) string {
	t.Helper()
	k, err := sasl.NewSCRAMKeys(hash, password, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k.Encode()
}

// secrets knows alice by her password, kim by what is stored for each mechanism,
// and an empty password.
func secrets(t testing.TB) *vault {
	return &vault{secrets: map[string]string{
		"PLAIN alice":       "a secret",
		"PLAIN zoë b":       "pässwörd",
		"PLAIN nobody":      "",
		"CRAM-MD5 kim":      string(sasl.CRAMMD5Keys("k secret")),
		"SCRAM-SHA-1 kim":   scramKeys(t, sasl.SCRAMSHA1, "k secret"),
		"SCRAM-SHA-256 kim": scramKeys(t, sasl.SCRAMSHA256, "k secret"),
	}}
}

// pair is a mechanism that needs secrets, and its client.
type pair struct {
	name    string
	server  func(s sasl.SecretSource) sasl.Mechanism
	client  func(user, password string) sasl.Client
	schemes []string
}

func pairs() []pair {
	var all []pair
	for _, hash := range []sasl.SCRAMHash{sasl.SCRAMSHA256, sasl.SCRAMSHA1} {
		for _, binding := range [][]byte{nil, []byte(strings.Repeat("b", 32))} {
			for _, plus := range []bool{false, true}[:1+len(binding)/32] {
				o := sasl.SCRAMOptions{Hash: hash, Binding: binding, Plus: plus, Key: []byte("0123456789abcdef")}
				p := pair{
					name:    fmt.Sprint(hash, ", binding ", len(binding), ", plus ", plus),
					server:  func(s sasl.SecretSource) sasl.Mechanism { return sasl.NewSCRAM(s, o) },
					schemes: []string{hash.String(), "PLAIN"},
				}
				p.client = func(user, password string) sasl.Client { return sasl.SCRAMClient(hash, user, password, nil, plus) }
				if plus {
					p.client = func(user, password string) sasl.Client {
						return sasl.SCRAMClient(hash, user, password, binding, true)
					}
				}
				all = append(all, p)
			}
		}
	}
	return append(all, pair{
		name:    "CRAM-MD5",
		server:  func(s sasl.SecretSource) sasl.Mechanism { return sasl.NewCRAMMD5(s, "pop.example.org") },
		client:  sasl.CRAMMD5Client,
		schemes: []string{"CRAM-MD5", "PLAIN"},
	})
}

// Our client signs in at our server, and nobody else does. Whoever it is, the
// source is asked the same, and the refusal is the same.
func TestSecretsMutual(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			refusals := map[string]bool{}
			for _, tt := range []struct{ user, password, account string }{
				{"alice", "a secret", "account-of-alice"},
				{"zoë b", "pässwörd", "account-of-zoë b"},
				{"kim", "k secret", "account-of-kim"},
				{"alice", "wrong", ""},
				{"kim", "wrong", ""},
				{"bob", "a secret", ""},
				{"nobody", "a secret", ""},
				{"Alice", "a secret", ""}, // the source says which spellings are one
			} {
				v := secrets(t)
				account, err := converse(t, p.client(tt.user, tt.password), p.server(v))
				if account != tt.account || (tt.account == "") != errors.Is(err, sasl.ErrRefused) || (tt.account == "") != (err != nil) {
					t.Errorf("%s, %s: got %q, %v", tt.user, tt.password, account, err)
				}
				if err != nil {
					refusals[err.Error()] = true
				}
				want := []string{p.schemes[0] + " " + tt.user, p.schemes[1] + " " + tt.user}
				if !slices.Equal(v.asked, want) {
					t.Errorf("%s: the source was asked %q", tt.user, v.asked)
				}
			}
			if len(refusals) != 1 {
				t.Errorf("refusals differ: %v", refusals)
			}
		})
	}
}

// An outage is none of the client's fault, and is said as it is. What one
// scheme has proves an account although another cannot be asked.
func TestSecretsOutage(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		v := secrets(t)
		v.err = errOutage
		if account, err := converse(t, p.client("bob", "x"), p.server(v)); !errors.Is(err, errOutage) || errors.Is(err, sasl.ErrRefused) || account != "" {
			t.Errorf("%s: got %q, %v", p.name, account, err)
		}
		if account, err := converse(t, p.client("alice", "a secret"), p.server(v)); account == "" || err != nil {
			t.Errorf("%s: got %q, %v", p.name, account, err)
		}
		for _, broken := range []string{"", "x", strings.Repeat("x", 33), "4096,AAAA,AAAA,AAAA"} {
			v := &vault{secrets: map[string]string{p.schemes[0] + " eve": broken}}
			account, err := converse(t, p.client("eve", "x"), p.server(v))
			if account != "" || err == nil || errors.Is(err, sasl.ErrRefused) != (broken == "") {
				t.Errorf("%s: %q is stored: got %q, %v", p.name, broken, account, err)
			}
		}
		if account, err := converse(t, p.client("alice", "x"), p.server(namelessSecret{})); account != "" || err == nil || errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s: nobody's secret: got %q, %v", p.name, account, err)
		}
	}
}

type namelessSecret struct{}

func (namelessSecret) Secret(context.Context, string, string) (string, []byte, error) {
	return "", []byte("x"), nil
}

// Each exchange ends once, each Start is a new one.
func TestSecretsExchangeEnds(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		m := p.server(secrets(t))
		var asked [2]string
		for i := range asked {
			x, c := m.Start(), p.client("alice", "a secret")
			response, has, _ := c.Start()
			if !has {
				response = nil
			}
			account := ""
			for account == "" {
				challenge, proved, err := x.Next(t.Context(), response)
				if err != nil {
					t.Fatal(p.name, err)
				}
				if account = proved; account == "" {
					asked[i] = string(challenge)
					response, _ = c.Next(challenge)
				}
			}
			for _, again := range [][]byte{nil, {}, response} {
				if c, account, err := x.Next(t.Context(), again); c != nil || account != "" || !errors.Is(err, sasl.ErrMalformed) {
					t.Errorf("%s goes on after its end: %q %q %v", p.name, c, account, err)
				}
			}
			// What proved alice once proves nobody again.
			y := m.Start()
			y.Next(t.Context(), nil)
			if c, account, err := y.Next(t.Context(), response); account != "" || err == nil {
				t.Errorf("%s: a replay gives %q, %q, %v", p.name, c, account, err)
			}
		}
		if asked[0] == asked[1] {
			t.Errorf("%s: the challenge %q came twice", p.name, asked[0])
		}
	}
}

// No error tells what the client or the source said.
func quiet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	s := err.Error()
	for _, word := range []string{"alice", "a secret", "hush"} {
		if strings.Contains(s, word) {
			t.Errorf("the error repeats %q: %v", word, err)
		}
	}
	if len(s) > 300 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("error %q", s)
	}
}

// Each mechanism that can be made is in the list, once, and nothing else.
func TestOffers(t *testing.T) {
	t.Parallel()
	v := secrets(t)
	made := map[string]bool{}
	from := sasl.Login{Remote: netip.MustParseAddr("192.0.2.1")}
	for _, m := range []sasl.Mechanism{
		sasl.NewPlain(accounts(), from), sasl.NewLogin(accounts(), from),
		sasl.NewCRAMMD5(v, "x"), sasl.NewAPOP(v, "x"), sasl.NewExternal(nil),
		sasl.NewOAUTHBEARER(nil, sasl.BearerOptions{}), sasl.NewXOAUTH2(nil, sasl.BearerOptions{}),
		sasl.NewSCRAM(v, sasl.SCRAMOptions{}), sasl.NewSCRAM(v, sasl.SCRAMOptions{Plus: true}),
		sasl.NewSCRAM(v, sasl.SCRAMOptions{Hash: sasl.SCRAMSHA1}), sasl.NewSCRAM(v, sasl.SCRAMOptions{Hash: sasl.SCRAMSHA1, Plus: true}),
	} {
		made[m.Name()] = true
	}
	made["GSSAPI"] = true // of another package
	for _, o := range sasl.Offers() {
		if !made[o.Name] {
			t.Errorf("%s is offered and not made, or offered twice", o.Name)
		}
		delete(made, o.Name)
	}
	for name := range made {
		t.Errorf("%s is made and not offered", name)
	}
}
