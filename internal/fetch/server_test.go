package fetch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/pop3"
)

// What servers do, by the numbers of the collection of quirks and faults. Each
// is fetched twice, and the outcome is judged.
func TestServers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		policy Policy
		server func(m *model)
		left   int    // on the server in the end
		errs   string // in the error of the first round
		retrs  int    // of each message at most; 0: 1
	}{
		{name: "hides what it has shown (quirk 1)", server: func(m *model) { m.show = 3 }},
		{name: "hides, and is to be kept", policy: Policy{Keep: true}, server: func(m *model) { m.show = 3 }, left: 12},
		{name: "UIDL is not announced (quirk 35)", server: func(m *model) { m.capa = []string{"PIPELINING"} }},
		{name: "has no CAPA (quirk 31)", server: func(m *model) { m.capa = []string{} }},
		{name: "UIDL fails though announced (quirk 34)", server: func(m *model) { m.noUIDL = "-ERR no" }, left: 12, errs: "listing UIDs"},
		{name: "has no UIDL", server: func(m *model) { m.noUIDL, m.capa = "-ERR no", []string{"PIPELINING"} }, retrs: 2},
		{name: "has no UIDL and is to be kept", policy: Policy{Keep: true}, server: func(m *model) {
			m.noUIDL, m.capa = "-ERR no", []string{"PIPELINING"}
		}, left: 12, errs: "has no UIDL"},
		{name: "empty UIDs (quirk 37)", server: func(m *model) {
			m.uid = func(_, n int, l letter) string { return strings.Repeat(l.uid, n%2) }
		}, retrs: 2},
		{name: "empty UIDs, to be kept", policy: Policy{Keep: true}, server: func(m *model) {
			m.uid = func(_, n int, l letter) string { return strings.Repeat(l.uid, n%2) }
		}, left: 12, retrs: 3},
		{name: "a UID for two (quirk 38)", server: func(m *model) {
			m.uid = func(_, n int, l letter) string { return fmt.Sprint("half-of-a-dozen-", n/2) }
		}, retrs: 2},
		{name: "a UID for two, to be kept", policy: Policy{Keep: true}, server: func(m *model) {
			m.uid = func(_, n int, l letter) string { return fmt.Sprint("half-of-a-dozen-", n/2) }
		}, left: 12, retrs: 3},
		{name: "odd UIDs (quirk 39)", server: func(m *model) {
			m.uid = func(_, n int, l letter) string { return strings.Repeat("../\xff \x1b[31m", 100*n) + " " + l.uid }
		}},
		{name: "numbers as UIDs", server: func(m *model) {
			m.uid = func(_, n int, l letter) string { return fmt.Sprint(n) }
		}},
		{name: "sizes are lies (quirk 45, fault 98)", server: func(m *model) {
			m.size = func(l letter) int { return len(l.text)*1000 + 1 }
		}},
		{name: "has no LIST (quirk 44)", server: func(m *model) { m.noList = true }},
		{name: "keeps what is deleted (quirk 64, fault 99)", server: func(m *model) { m.keeps = true }, left: 12},
		{name: "refuses DELE", server: func(m *model) { m.refuseDele = func(letter) string { return "-ERR no" } }, left: 12},
		{name: "refuses QUIT (fault 99)", server: func(m *model) { m.quitReply = "-ERR some were not removed" }, left: 12, errs: "may not be deleted yet"},
		{name: "does not answer QUIT", server: func(m *model) { m.loseQuit = true }, errs: "may not be deleted yet"},
		{name: "loses count", server: func(m *model) { m.serial = true }, retrs: 2},
		{name: "new UIDs in each session (fault 97)", policy: Policy{Keep: true}, server: func(m *model) {
			m.uid = func(login, _ int, l letter) string { return fmt.Sprint(l.uid, "-", login) }
		}, left: 12, retrs: 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, m, to := faultfs.New(), newModel(12), exactly()
			c.server(m)
			r := once(f.Root(), m.account(to, c.policy))
			if c.errs == "" != (r.Err == nil) || r.Err != nil && !strings.Contains(r.Err.Error(), c.errs) {
				t.Fatalf("the first round: %v", r.Err)
			}
			if c.name == "new UIDs in each session (fault 97)" {
				return
			}
			again := once(f.Root(), m.account(to, c.policy))
			if again.Fetched != 0 {
				t.Errorf("the second round: %+v", again)
			}
			want := 12
			if r.Err != nil && r.Fetched == 0 {
				want = 0
			}
			if err := to.check(texts(want), 0); err != nil {
				t.Error(err)
			}
			if m.left() != c.left {
				t.Errorf("%d are left, want %d", m.left(), c.left)
			}
			for text, n := range m.retrs {
				if n > max(c.retrs, 1) {
					t.Errorf("%d times fetched: %.30q", n, text)
				}
			}
		})
	}
}

// A server that deletes nothing is asked again once a round, and people are
// told (quirk 64).
func TestServerKeeps(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(3), exactly()
	m.keeps = true
	for n := range 6 {
		warned := false
		fetcher := New(Options{State: f.Root(), Observe: func(e Event) { warned = warned || e.Kind == Warned }})
		r := fetcher.Once(t.Context(), []Account{m.account(to, Policy{})})[0]
		if r.Err != nil || m.deles[text(0)] != n+1 || m.retrs[text(0)] != 1 || warned != (n >= manyKept) {
			t.Fatalf("round %d: %+v, DELE %d, RETR %d, warned %v", n, r, m.deles[text(0)], m.retrs[text(0)], warned)
		}
	}
}

// The UIDs of a whole mailbox are new, and of two hundred messages five are
// (quirk 41, fault 100). The first round after that is cut off.
func TestAllUIDsRenewed(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(200), exactly()
	for i := range m.letters {
		m.letters[i].text = fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i)
	}
	all := slices.Clone(m.letters)
	m.letters = m.letters[:195]
	if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err != nil {
		t.Fatal(r.Err)
	}
	m.letters = all
	m.uid = func(_, _ int, l letter) string { return "renewed-" + l.uid }
	if r := once(f.Root(), m.account(to, Policy{Keep: true, Batch: 30, Limit: 1})); r.Err != nil {
		t.Fatal(r.Err)
	}
	m.cut = func(int) int64 { return 10_000 }
	if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err == nil {
		t.Fatal("the link was cut")
	}
	m.cut = nil
	if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err != nil || r.Fetched != 5 {
		t.Fatalf("%+v", r)
	}
	var want []string
	for _, l := range all {
		want = append(want, l.text)
	}
	if err := to.check(want, 0); err != nil {
		t.Error(err)
	}
	if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Fetched != 0 || m.left() != 0 {
		t.Errorf("%+v", r)
	}
}

// A server that has new UIDs whenever it is asked does not keep a round going
// for ever.
func TestServerWithoutEnd(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(5), exactly()
	m.keeps = true
	m.uid = func(login, _ int, l letter) string { return fmt.Sprint(l.uid, "-", login) }
	r := once(f.Root(), m.account(to, Policy{}))
	if r.Err != nil || r.Fetched != 5 || m.logins > 3 {
		t.Errorf("%d sessions, %+v", m.logins, r)
	}
}

// A message that was stored under its UID is not stored again when a second
// message appears with that UID, nor when the second is gone again.
func TestUIDBecomesAmbiguous(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(2), exactly()
	m.uid = func(int, int, letter) string { return "the-same-for-all" }
	all := slices.Clone(m.letters)
	for _, list := range [][]letter{all[:1], all, all[1:], all} {
		m.letters = slices.Clone(list)
		if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := to.check(texts(2), 0); err != nil {
		t.Error(err)
	}
}

// A server that hides what was read, and lists the same for ever if it was
// read in a session that did not end well, is read again, once. One that says
// it is such a server and hides nothing is not read again and again.
func TestHiddenBehindOthers(t *testing.T) {
	t.Parallel()
	for _, show := range []int{3, 100} {
		f, m, to := faultfs.New(), newModel(10), exactly()
		m.show, m.hidesNothing = show, show == 100
		to.refuse = func(string, string) error {
			if len(to.texts) == 3 {
				return errors.New("disk full")
			}
			return nil
		}
		to.parallel = 1
		p := Policy{Keep: true}
		if r := once(f.Root(), m.account(to, p)); r.Err == nil {
			t.Fatalf("%+v", r)
		}
		to.refuse = nil
		for range 3 {
			if r := once(f.Root(), m.account(to, p)); r.Err != nil {
				t.Fatalf("%+v", r)
			}
		}
		if err := to.check(texts(10), 0); err != nil {
			t.Errorf("%d at a time: %v", show, err)
		}
		for text, n := range m.retrs {
			if n > 3 {
				t.Errorf("%d at a time: %d times read: %.30q", show, n, text)
			}
		}
	}
}

// What is known by its contents is not forgotten in a session in which they
// could not be read.
func TestContentsOutOfSight(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(2), blindly()
	m.uid = func(int, int, letter) string { return "" }
	m.keeps = true
	for n := range 3 {
		m.refuseRetr = nil
		if n == 1 {
			m.refuseRetr = func(letter) string { return "-ERR later" }
		}
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil {
			t.Fatalf("%+v", r)
		}
	}
	if err := to.check(texts(2), 0); err != nil {
		t.Error(err)
	}
}

func TestSignInErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply           string
		credentials     bool
		certain, passes bool
	}{
		{"-ERR [AUTH] no", true, true, false},
		{"-ERR wrong password", true, false, false},
		{"-ERR [SYS/TEMP] later", false, false, true},
		{"-ERR [IN-USE] locked", false, false, true},
		{"-ERR [LOGIN-DELAY] too soon", false, false, true},
		{"-ERR mailbox is locked by another session", false, false, true}, // quirk 59
		{"-ERR [SYS/PERM] broken", false, false, false},
		{"warning: auth_error: huh", false, false, false}, // quirk 24
	} {
		m := newModel(1)
		m.loginReply = func(int) string { return c.reply }
		r := once(faultfs.New().Root(), m.account(exactly(), Policy{}))
		if errors.Is(r.Err, ErrSignIn) != c.credentials || definite(r.Err) != c.certain || temporary(r.Err) != c.passes {
			t.Errorf("%s: %v", c.reply, r.Err)
		}
		for _, part := range []string{"alice", "pop.example.org", "signing in"} {
			if !strings.Contains(r.Err.Error(), part) {
				t.Errorf("%v does not name %q", r.Err, part)
			}
		}
	}
}

// Texts of the server cannot steer a terminal (fault 106).
func TestTextsAreEscaped(t *testing.T) {
	t.Parallel()
	evil := "\x1b]0;pwned\a\x9b31m\u202e\x00x" + strings.Repeat("y", 5000)
	for _, server := range []func(m *model){
		func(m *model) { m.loginReply = func(int) string { return "-ERR " + evil } },
		func(m *model) { m.noUIDL = "-ERR " + evil },
		func(m *model) { m.refuseRetr = func(letter) string { return "-ERR " + evil } },
		func(m *model) { m.refuseDele = func(letter) string { return "-ERR " + evil } },
		func(m *model) { m.quitReply = evil },
		func(m *model) {
			m.uid = func(_, n int, l letter) string { return evil + l.uid }
			m.refuseRetr = func(letter) string { return "-ERR x" }
		},
	} {
		m := newModel(2)
		server(m)
		seen := []string{}
		see := func(s ...string) { seen = append(seen, s...) }
		f := New(Options{State: faultfs.New().Root(), Observe: func(e Event) {
			see(e.Text, e.UID)
			if e.Kind == Finished && e.Err != nil {
				see(e.Err.Error())
			}
		}})
		r := f.Once(t.Context(), []Account{m.account(exactly(), Policy{})})[0]
		for _, x := range r.Failures {
			see(x.Reason, x.UID)
		}
		if r.Err != nil {
			see(r.Err.Error())
		}
		plan, _ := f.Plan(t.Context(), m.account(exactly(), Policy{}))
		for _, p := range plan {
			see(p.UID, p.Reason)
		}
		for _, s := range seen {
			if pop3.Printable(s, len(s)) != s || len(s) > 1000 {
				t.Errorf("%q", s)
			}
		}
	}
}
