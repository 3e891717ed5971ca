package passwdfile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/sasl"
)

// speak lets our client sign in at our server with the secrets of f. c nil is
// APOP.
func speak(t *testing.T, f *File, m sasl.Mechanism, c sasl.Client, user, password string) (string, error) {
	t.Helper()
	x := m.Start()
	if c == nil {
		digest, err := sasl.APOPDigest(m.(interface{ Challenge() string }).Challenge(), password)
		if err != nil {
			t.Fatal(err)
		}
		_, account, err := x.Next(t.Context(), []byte(user+" "+digest))
		return account, err
	}
	response, has, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	if !has {
		response = nil
	}
	for {
		challenge, account, err := x.Next(t.Context(), response)
		if account != "" || err != nil {
			return account, err
		}
		if response, err = c.Next(challenge); err != nil {
			return "", err
		}
	}
}

// What AddAs writes serves the mechanisms that it says, and all serve those
// that send the password. An account that cannot is refused as a wrong
// password is, and so is nobody.
func TestMechanisms(t *testing.T) {
	t.Parallel()
	const password = "p\u00e4ss: word"
	path := filepath.Join(t.TempDir(), "users")
	for _, scheme := range NewSchemes() {
		if err := AddAs(path, "of-"+scheme, password, scheme); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		server sasl.Mechanism
		client func(user, password string) sasl.Client
		serves []string
	}{
		{"PLAIN", sasl.NewPlain(f, sasl.Login{}), sasl.PlainClient, NewSchemes()},
		{"CRAM-MD5", sasl.NewCRAMMD5(f, "x"), sasl.CRAMMD5Client, []string{"PLAIN", "CRAM-MD5"}},
		{"APOP", sasl.NewAPOP(f, "x"), nil, []string{"PLAIN"}},
		{"SCRAM-SHA-256", sasl.NewSCRAM(f, sasl.SCRAMOptions{}), func(user, password string) sasl.Client {
			return sasl.SCRAMClient(sasl.SCRAMSHA256, user, password, nil, false)
		}, []string{"PLAIN", "SCRAM-SHA-256"}},
		{"SCRAM-SHA-1", sasl.NewSCRAM(f, sasl.SCRAMOptions{Hash: sasl.SCRAMSHA1}), func(user, password string) sasl.Client {
			return sasl.SCRAMClient(sasl.SCRAMSHA1, user, password, nil, false)
		}, []string{"PLAIN"}},
	} {
		refusals := map[string]bool{}
		for _, scheme := range append(NewSchemes(), "nobody") {
			for _, said := range []string{password, "wrong"} {
				user, want := "Of-"+scheme, ""
				if said == password && slices.Contains(tt.serves, scheme) {
					want = "of-" + strings.ToLower(scheme)
				}
				var c sasl.Client
				if tt.client != nil {
					c = tt.client(user, said)
				}
				account, err := speak(t, f, tt.server, c, user, said)
				if account != want || errors.Is(err, sasl.ErrRefused) != (want == "") {
					t.Errorf("%s by {%s}, %s: got %q, %v", tt.name, scheme, said, account, err)
				}
				if err != nil {
					refusals[err.Error()] = true
				}
			}
		}
		if len(refusals) != 1 {
			t.Errorf("%s: refusals differ: %v", tt.name, refusals)
		}
	}
}

func TestSchemes(t *testing.T) {
	t.Parallel()
	keys := func(hash sasl.SCRAMHash, n int) string {
		k, err := sasl.NewSCRAMKeys(hash, "x", nil, n)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("{%s}%s\n", hash, k.Encode())
	}
	one, two := keys(sasl.SCRAMSHA256, 1), keys(sasl.SCRAMSHA256, 2)
	for _, tt := range []struct {
		text       string
		schemes    string
		iterations int // of SCRAM-SHA-256
	}{
		{"", "", 0},
		{"a:{SHA256-CRYPT}$5$salt$" + strings.Repeat("A", 43) + "\nb:!\nc:\nd:{PLAIN}\n", "", 0},
		{"a:{PLAIN}x::::::nologin\n", "", 0},
		{"a:{CLEAR}x\nb:{plain.b64}eA==\n", "PLAIN", 0},
		{"a:{PLAIN}x\nb:" + keys(sasl.SCRAMSHA1, 3) + "c:{CRAM-MD5}" + strings.Repeat("00", 32) + "\nd:" + one, "CRAM-MD5 PLAIN SCRAM-SHA-1 SCRAM-SHA-256", 1},
		{"a:" + one + "b:" + two + "c:" + one, "SCRAM-SHA-256", 1},
		{"a:" + one + "b:" + two + "c:" + two, "SCRAM-SHA-256", 2},
		{"a:" + one + "b:" + two, "SCRAM-SHA-256", 2},
	} {
		f, _, _ := opened(t, tt.text)
		if got := strings.Join(f.Schemes(), " "); got != tt.schemes || f.Iterations("SCRAM-SHA-256") != tt.iterations || f.Iterations("PLAIN") != 0 {
			t.Errorf("%s: got %q, %d", tt.text, got, f.Iterations("SCRAM-SHA-256"))
		}
	}
	f, path, _ := opened(t, "a:{PLAIN}x\n")
	write(t, path, "a:{PLAIN}x\nb:"+one)
	f.look()
	if got := f.Schemes(); !slices.Equal(got, []string{"PLAIN", "SCRAM-SHA-256"}) {
		t.Errorf("after a change: %q", got)
	}
	f.began = time.Now().Add(time.Hour)
	write(t, path, "a:!\n")
	if len(f.Schemes()) != 2 {
		t.Error("each question looks at the file")
	}
}

// A mechanism that some cannot use keeps those out whose client prefers it.
func TestServesAll(t *testing.T) {
	t.Parallel()
	keys, err := newField("x", "SCRAM-SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text    string
		schemes []string
		all     bool
	}{
		{"a:{PLAIN}x\nb:{CLEAR}x\n", []string{"PLAIN"}, true},
		{"a:{PLAIN}x\nb:" + keys + "\n", []string{"SCRAM-SHA-256", "PLAIN"}, true},
		{"a:{PLAIN}x\nb:" + keys + "\n", []string{"PLAIN"}, false},
		{"a:{PLAIN}x\nb:" + keys + "\n", []string{"SCRAM-SHA-1", "CRAM-MD5"}, false},
		{"a:{PLAIN}x\nb:" + keys + "\n", nil, false},
		{"a:{PLAIN}x\nb:x\nc:!\nd:{CANARY}x\ne:{SHA}rBNB40dLfZx3Mn551kXKIf8FsKY=::::::nologin\n", []string{"PLAIN"}, true},
		{"a:{PLAIN}x\nb:{SHA}rBNB40dLfZx3Mn551kXKIf8FsKY=\n", []string{"PLAIN"}, false},
		{"a:{PLAIN}x\nb:{PLAIN}x::::::allow_nets=192.0.2.1,local\n", []string{"PLAIN"}, true},
		{"a:!\n", []string{"PLAIN"}, false},
		{"", []string{"PLAIN"}, false},
	} {
		f, _, _ := opened(t, tt.text)
		if f.ServesAll(tt.schemes...) != tt.all {
			t.Errorf("%s: %q: %v", tt.text, tt.schemes, !tt.all)
		}
	}
}

// Secret gives what the four schemes have and nothing else, whoever asks.
func TestSecretOnlyServes(t *testing.T) {
	t.Parallel()
	f, _, _ := opened(t, "a:{SSHA}wFke4SpLgacDOdsurSOt05frWJos09Tn\nb:{PLAIN}x\nc:{CLEAR}x\n")
	texts := map[string]bool{}
	for _, tt := range []struct{ name, scheme string }{{"a", "SSHA"}, {"a", "PLAIN"}, {"a", ""}, {"b", ""}, {"c", "CLEAR"}, {"d", "PLAIN"}, {"", ""}, {"b b", "PLAIN"}} {
		account, secret, err := f.Secret(t.Context(), tt.name, tt.scheme)
		if account != "" || secret != nil || !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s under %q: %q, %q, %v", tt.name, tt.scheme, account, secret, err)
		}
		texts[fmt.Sprint(err)] = true
	}
	if len(texts) != 1 {
		t.Errorf("errors differ: %v", texts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := f.Secret(ctx, "b", "PLAIN"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Fields that are made here are read here, with any password in them.
func TestNewField(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"SCRAM-SHA-256", "PLAIN", "CRAM-MD5"} {
		for _, password := range []string{"a secret", "one:two", "{PLAIN}x", " ", "p\u00e4ss", "latin\xe4", "# no comment", strings.Repeat("p", sasl.MaxPassword)} {
			field, err := newField(password, scheme)
			if err != nil || strings.ContainsAny(field, ":\r\n") {
				t.Errorf("{%s}: %q, %v", scheme, field, err)
			}
			name, _, s, err := parseSecret(field)
			if err != nil || name != scheme || !s.verify(sasl.PreparePassword(password)) || s.verify("before") {
				t.Errorf("%q as %s is read as %s, %v", password, field, name, err)
			}
		}
	}
}

func TestNewSchemes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	if err := Add(path, "alice", "before"); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, Options{Report: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"plain", "Scram-Sha-256", "CRAM-MD5", ""} {
		if err := SetPasswordAs(path, "alice", "secret of "+scheme, scheme); err != nil {
			t.Fatal(scheme, err)
		}
		want := "alice:{" + capitals(scheme)
		if scheme == "" {
			want = "alice:{ARGON2ID}"
		}
		if !strings.HasPrefix(text(t, path), want) {
			t.Errorf("%q: the file is %.30q", scheme, text(t, path))
		}
		if account, err := ask(f, "alice", "secret of "+scheme); account != "alice" || err != nil {
			t.Errorf("%q: %q, %v", scheme, account, err)
		}
	}
	for _, scheme := range []string{"ROT13", "MD5", "Canary", "PLAIN.B64", "{PLAIN}"} {
		err := AddAs(path, "bob", "Canary", scheme)
		if err == nil || !strings.Contains(err.Error(), "SCRAM-SHA-256") || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}
