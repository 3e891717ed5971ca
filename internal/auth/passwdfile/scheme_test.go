package passwdfile

import (
	"strings"
	"testing"

	"github.com/postwain/postwain/sasl"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, field := range vectors() {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			_, _, s, err := parseSecret(field)
			if err != nil || s == nil {
				t.Fatal(err)
			}
			if !s.verify(sasl.PreparePassword(vectorPassword)) {
				t.Error("the right password is refused")
			}
			wrong := []string{vectorPassword + " ", "", "correct horse: b", strings.ToUpper(vectorPassword), field}
			if s.cost() != digested() {
				wrong = wrong[:1]
			}
			for _, wrong := range wrong {
				if s.verify(wrong) {
					t.Errorf("%q is taken", wrong)
				}
			}
			if s.cost().kind == "" {
				t.Error("no cost")
			}
		})
	}
}

// Hashes made here are read here.
func TestNewPassword(t *testing.T) {
	t.Parallel()
	a := newArgon("a secret")
	name, _, s, err := parseSecret(a.String())
	if err != nil || name != "ARGON2ID" || !s.verify("a secret") || s.verify("a secreT") {
		t.Errorf("%s: %v", name, err)
	}
	if s.cost() != a.cost() {
		t.Errorf("costs %v and %v", s.cost(), a.cost())
	}
	if again := newArgon("a secret"); again.String() == a.String() {
		t.Error("the same salt twice")
	}
}

func TestNobodySignsIn(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"", "x", "*", "!", "!$6$ab$x", "*LK*"} {
		if _, _, s, err := parseSecret(field); s != nil || err != nil {
			t.Errorf("%q: %v, %v", field, s, err)
		}
	}
}

func TestBadSecrets(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("A", 43)
	for _, tt := range []struct{ field, want string }{
		{"Swordfish", "no hash of a known kind"},
		{"{PLAIN}", "empty password"},
		{"{plain", "closing brace"},
		{"{}Swordfish", "unknown password scheme"},
		{"{ROT13}Swordfish", "unknown password scheme"},
		{"{Swordfish}x", "unknown password scheme"},
		{"{PLAIN.ROT}Swordfish", "unknown encoding"},
		{"{" + strings.Repeat("Swordfish", 10) + "}x", "closing brace"},
		{"{DES-CRYPT}Swordfish", "unknown password scheme"},
		{"{CRYPT}SwordfishSwor", "no hash of a known kind"},
		{"{SHA256}Swordfis", "wrong length"},
		{"{SHA256}Swordfish!", "not hex or base64"},
		{"{SHA256.HEX}Swordfish", "not hex or base64"},
		{"{SSHA}" + strings.Repeat("A", 27), "wrong length"},
		{"{CRAM-MD5}00", "wrong length"},
		{"{SHA512-CRYPT}$6$salt", "not salt and text"},
		{"{SHA512-CRYPT}$6$salt$Swordfish", "wrong length"},
		{"{SHA256-CRYPT}$5$rounds=999$salt$" + sum, "1000 or more"},
		{"{SHA256-CRYPT}$5$rounds=999999999$salt$" + sum, "more than 1000000"},
		{"{SHA256-CRYPT}$5$rounds=-1$salt$" + sum, "1000 or more"},
		{"{SHA256-CRYPT}$5$salt$salt$" + sum, "1000 or more"},
		{"{BLF-CRYPT}$2y$31$" + strings.Repeat("a", 53), "more than 14"},
		{"{BLF-CRYPT}$2x$05$" + strings.Repeat("a", 53), "no hash of a known kind"},
		{"{BLF-CRYPT}$2y$05$Swordfish", "not a bcrypt"},
		{"{ARGON2ID}$argon2id$v=16$m=65536,t=3,p=1$c2FsdHNhbHQ$" + sum, "version 19"},
		{"{ARGON2ID}$argon2d$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$" + sum, "not an Argon2i"},
		{"{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$" + sum, "more than 262144"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=1000,p=1$c2FsdHNhbHQ$" + sum, "m times t"},
		{"{ARGON2ID}$argon2id$v=19$m=8,t=100000,p=1$c2FsdHNhbHQ$" + sum, "t is more than"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=255$c2FsdHNhbHQ$" + sum, "p is more than"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=0,p=1$c2FsdHNhbHQ$" + sum, "m=N,t=N,p=N"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,m=3,p=1$c2FsdHNhbHQ$" + sum, "m=N,t=N,p=N"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$$" + sum, "usual length"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$Swordfish", "usual length"},
		{"{PBKDF2}$1$salt$999999999999$00", "no number"},
		{"{PBKDF2}$1$salt$99999999$" + strings.Repeat("0", 40), "more than 5000000"},
		{"{PBKDF2}$1$salt$0$" + strings.Repeat("0", 40), "no number"},
		{"{PBKDF2}$1$salt$10$Swordfish", "40 digits"},
		{"{SCRAM-SHA-256}4096,c2FsdA==,AAAA,AAAA", "wrong length"},
		{"{SCRAM-SHA-256}Swordfish", "not iterations"},
	} {
		_, _, s, err := parseSecret(tt.field)
		if s != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.field, err, tt.want)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "swordfis") {
			t.Errorf("the error has the value in it: %v", err)
		}
	}
}

// Whatever a line says, reading it is safe and using it is bounded.
func FuzzParseSecret(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, field string) {
		name, _, s, err := parseSecret(field)
		if err != nil && (s != nil || name != "") {
			t.Fatal("a secret beside an error")
		}
		if s == nil {
			return
		}
		if a, ok := s.(*argon); ok && (a.memory*a.time > maxArgonWork || a.time == 0 || a.lanes == 0) {
			t.Fatalf("cost %v", s.cost())
		}
		if c := s.cost(); c == digested() || c.kind == "$1$" {
			s.verify("a secret")
		}
	})
}
