package sasl_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

func (x *changedExchange) Next(ctx context.Context, response []byte) ([]byte, string, error) {
	x.step++
	if x.response != nil {
		response = x.response(x.step, response)
	}
	challenge, account, err := x.Exchange.Next(ctx, response)
	if x.ok && x.step == 2 {
		return []byte("v="), "account-of-kim", nil
	}
	return challenge, account, err
}

// firstOf is what the server says to a name, without the nonces.
func firstOf(t *testing.T, m sasl.Mechanism, name string) string {
	t.Helper()
	challenge, _, err := m.Start().Next(t.Context(), []byte("n,,n="+name+",r=x"))
	if err != nil {
		t.Fatal(name, err)
	}
	return regexp.MustCompile(`^r=x[A-Z2-7]{26},`).ReplaceAllString(string(challenge), "")
}

// Who has no stored keys has a salt like who has, and keeps it, whether there
// is such a name or not (fault 84).
func TestSCRAMDecoys(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^s=([A-Za-z0-9+/]{22}==),i=4096$`)
	o := sasl.SCRAMOptions{Key: []byte("0123456789abcdef")}
	seen := map[string]string{}
	for _, name := range []string{"alice", "kim", "bob", "nobody", "carol", "al=3Dce", "no name"} {
		first := firstOf(t, sasl.NewSCRAM(secrets(t), o), name)
		if !form.MatchString(first) {
			t.Errorf("%s: %q", name, first)
		}
		if other, ok := seen[first]; ok {
			t.Errorf("%s and %s have the same salt", name, other)
		}
		seen[first] = name
		if name == "kim" {
			continue // keys made anew by secrets
		}
		if again := firstOf(t, sasl.NewSCRAM(secrets(t), o), name); again != first {
			t.Errorf("%s: %q, then %q", name, first, again)
		}
	}
	m := sasl.NewSCRAM(secrets(t), o)
	if firstOf(t, m, "bob") != firstOf(t, m, "BOB") {
		t.Error("spellings of an unknown name tell that it is unknown")
	}
	one := sasl.SCRAMOptions{Key: o.Key, Hash: sasl.SCRAMSHA1}
	if firstOf(t, sasl.NewSCRAM(secrets(t), one), "bob") == firstOf(t, m, "bob") {
		t.Error("both hashes have one salt")
	}
	if other := (sasl.SCRAMOptions{Key: []byte("another key of 16")}); firstOf(t, sasl.NewSCRAM(secrets(t), other), "bob") == firstOf(t, m, "bob") {
		t.Error("the salt does not depend upon the key")
	}
	none := sasl.NewSCRAM(secrets(t), sasl.SCRAMOptions{Iterations: 10_000})
	for _, name := range []string{"alice", "bob"} {
		if first := firstOf(t, none, name); !strings.HasSuffix(first, ",i=10000") || first != firstOf(t, none, name) {
			t.Errorf("%s: %q", name, first)
		}
	}
}

// The keys say nothing of themselves, and are those of their password only.
func TestSCRAMKeys(t *testing.T) {
	t.Parallel()
	for _, hash := range []sasl.SCRAMHash{sasl.SCRAMSHA256, sasl.SCRAMSHA1} {
		k, err := sasl.NewSCRAMKeys(hash, "p\u00e4ss\ufb01", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := sasl.ParseSCRAMKeys(hash, k.Encode())
		if err != nil || again.Encode() != k.Encode() || k.Iterations() != 4096 {
			t.Errorf("%s: %v", hash, err)
		}
		for password, ok := range map[string]bool{"p\u00e4ss\ufb01": true, "pa\u0308ssfi": true, "passfi": false, "": false, "p\u00e4ssf": false} {
			if again.Verify(password) != ok {
				t.Errorf("%s: %q: %v", hash, password, !ok)
			}
		}
		for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", &k), fmt.Sprintf("%#v", []sasl.SCRAMKeys{k}), fmt.Sprintf("%x", k)} {
			if strings.Contains(strings.ReplaceAll(s, "SCRAM keys", ""), "0x") || len(s) > 50 {
				t.Errorf("%s: a secret in %q", hash, s)
			}
		}
		if other, _ := sasl.NewSCRAMKeys(hash, "p\u00e4ss\ufb01", nil, 0); other.Encode() == k.Encode() {
			t.Error("the same salt twice")
		}
	}
	// As it is, where SASLprep does not allow it, and where somebody else did not prepare it.
	for _, password := range []string{"tab\there", "\u212b", "latin\xe4"} {
		k, err := sasl.NewSCRAMKeys(sasl.SCRAMSHA256, password, nil, 0)
		if err != nil || !k.Verify(password) {
			t.Errorf("%q: %v", password, err)
		}
	}
	if (sasl.SCRAMKeys{}).Verify("") {
		t.Error("no keys verify")
	}
}

func TestSCRAMKeysMalformed(t *testing.T) {
	t.Parallel()
	b := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for text, ok := range map[string]bool{
		"4096," + b(16) + "," + b(32) + "," + b(32):   true,
		"5000000," + b(1) + "," + b(32) + "," + b(32): true,
		"1," + b(512) + "," + b(32) + "," + b(32):     true,
		"":                            false,
		"hush":                        false,
		"4096," + b(16) + "," + b(32): false,
		"4096," + b(16) + "," + b(32) + "," + b(20):       false,
		"4096," + b(16) + "," + b(20) + "," + b(32):       false,
		"4096,," + b(32) + "," + b(32):                    false,
		"4096," + b(513) + "," + b(32) + "," + b(32):      false,
		"4096,hush!," + b(32) + "," + b(32):               false,
		"0," + b(16) + "," + b(32) + "," + b(32):          false,
		"-1," + b(16) + "," + b(32) + "," + b(32):         false,
		"5000001," + b(16) + "," + b(32) + "," + b(32):    false,
		"4096," + b(16) + "," + b(32) + "," + b(32) + ",": false,
	} {
		if _, err := sasl.ParseSCRAMKeys(sasl.SCRAMSHA256, text); (err == nil) != ok {
			t.Errorf("%.40s: %v", text, err)
		} else {
			quiet(t, err)
		}
	}
}

func FuzzSCRAMServer(f *testing.F) {
	v := scramVectors()["RFC 7677"]
	f.Add([]byte(v.initial), []byte(v.response))
	f.Add([]byte("y,,n=user,r=rOprNGfwEbeRWgbNEkqO,x=1"), []byte(v.response+",x=1"))
	f.Add([]byte("p=tls-exporter,a=user,n=us=2Cer,r=x"), []byte("c=biws,r=x,p="))
	f.Add([]byte("n,a=root,m=x,n=user,r=x"), []byte(",p=,p="))
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		f.Fatal(err)
	}
	keys, err := sasl.NewSCRAMKeys(v.hash, v.password, salt, 4096)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, final []byte) {
		for _, o := range []sasl.SCRAMOptions{{Iterations: 1}, {Iterations: 1, Binding: []byte(channel)}, {Iterations: 1, Binding: []byte(channel), Plus: true}} {
			source := &vault{secrets: map[string]string{"SCRAM-SHA-256 user": keys.Encode()}}
			m := sasl.WithServerNonce(sasl.NewSCRAM(source, o), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
			x := m.Start()
			challenge, account, err := x.Next(t.Context(), first)
			if account != "" || (challenge == nil) != (err != nil) {
				t.Fatalf("got %q, %q, %v", challenge, account, err)
			}
			last, account, err := x.Next(t.Context(), final)
			if challenge == nil && err == nil || (last == nil) != (err != nil) || (account == "") != (err != nil) {
				t.Fatalf("got %q, %q, %v", last, account, err)
			}
			if account != "" && (string(first) != v.initial || string(final) != v.response || string(last) != v.final) {
				t.Fatalf("%q, %q prove %q", first, final, account)
			}
			quiet(t, err)
			for _, q := range source.asked {
				if _, name, _ := strings.Cut(q, " "); name == "" || len(name) > sasl.MaxUser || strings.ContainsAny(name, "\x00\r\n") {
					t.Fatalf("the source was asked %q", q)
				}
			}
			if _, account, err := x.Next(t.Context(), final); account != "" || err == nil {
				t.Fatal("goes on after its end")
			}
		}
	})
}
