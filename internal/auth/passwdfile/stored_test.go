package passwdfile

import (
	"fmt"
	"strings"
	"testing"
)

func TestStored(t *testing.T) {
	t.Parallel()
	s := NewStored()
	for _, test := range []struct {
		field, password string
		right, readable bool
	}{
		{"{PLAIN}canary", "canary", true, true},
		{"{PLAIN}canary", "Canary", false, true},
		{"{SHA}" + "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "hello", true, true},
		{"", "", false, true},
		{"x", "x", false, true},
		{"*", "*", false, true},
		{"!canary", "!canary", false, true},
		{"canary", "canary", false, false},
		{"{NONE}canary", "canary", false, false},
		{"{PLAIN", "canary", false, false},
		{"{ARGON2ID}$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vt", "canary", false, false},
	} {
		ok, err := s.Verify("alice", test.field, test.password)
		if ok != test.right || (err == nil) != test.readable {
			t.Errorf("%s with %q: %v, %v", test.field, test.password, ok, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error repeats what is stored: %v", err)
		}
	}
}

// Names that do not exist are the work of those that do.
func TestStoredLearnsCosts(t *testing.T) {
	t.Parallel()
	s := NewStored()
	kinds := func() map[string]int {
		n := map[string]int{}
		for i := range 1000 {
			n[s.decoys.of(fmt.Sprint("nobody", i)).cost().kind]++
		}
		return n
	}
	if n := kinds(); n["argon2id"] != 1000 {
		t.Errorf("at first: %v", n)
	}
	const md5 = "{CRYPT}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"
	for i := range 64 {
		if i%4 == 0 {
			s.Verify("bob", md5, "x")
			continue
		}
		s.Verify("alice", "{PLAIN}x", "x")
	}
	if n := kinds(); n["argon2id"] != 0 || n["digest"] < 600 || n["$1$"] < 150 {
		t.Errorf("later: %v", n)
	}
	for i := range 100 {
		s.Verify("carol", fmt.Sprintf("{PBKDF2}$1$salt$%d$%040d", i+1, 0), "x")
	}
	if len(s.examples) != maxStoredCosts {
		t.Errorf("%d kinds are kept", len(s.examples))
	}
}
