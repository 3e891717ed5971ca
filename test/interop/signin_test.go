//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// signInResults are the cells that are proved.
type signInResults struct {
	mu     sync.Mutex
	proved map[signInCell]bool
}

func (r *signInResults) set(c signInCell, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proved[c] = ok
}

// TestSignIn lets every client sign in by every way that it has to an account
// of every source that serves it, with what is right and with what is wrong.
func TestSignIn(t *testing.T) {
	results := signInResults{proved: map[signInCell]bool{}}
	gsasl := filepath.Join(t.TempDir(), "gsasl_fetch")
	if _, err := run(t.Context(), nil, "cc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", gsasl, "testdata/gsasl_fetch.c", "-lgsasl", "-lgnutls"); err != nil {
		t.Fatal(err)
	}
	var tests []signInTest
	var stands []*stand
	for _, setups := range standSetups() {
		s := newStand(t, gsasl, setups)
		stands = append(stands, s)
		for _, source := range signInSources() {
			if setup, ok := setups[source.id]; ok {
				tests = append(tests, s.tests(source, setup)...)
			}
		}
	}
	runSignIns(t, tests, &results)
	for _, s := range stands {
		s.readLog(t, &results)
	}
	page := signInPage(func(c signInCell) bool { return results.proved[c] },
		rig.Versions("mpop", "fetchmail", "curl", "libgsasl18", "mutt", "python3", "getmail6"))
	fmt.Print(signInTable(func(c signInCell) bool { return results.proved[c] }))
	if *write && (t.Failed() || strings.Contains(page, "FAILED")) {
		t.Fatal("docs/SIGN-IN.md is written only if everything is proved")
	}
	if *write {
		if err := os.WriteFile("../../docs/SIGN-IN.md", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// newStand starts a server with some sources.
func newStand(t *testing.T, gsasl string, setups map[string]signInSetup) *stand {
	t.Helper()
	s := &stand{space: newSpace(t), gsasl: gsasl, app: map[string]string{}, inSection: map[string]string{}}
	var config strings.Builder
	fmt.Fprintf(&config, "[limits]\nconnections = 1000\n[sasl]\nmechanisms = [%s]\n", offeredWays(setups))
	for _, source := range signInSources() {
		setup, ok := setups[source.id]
		if !ok {
			continue
		}
		var accounts []string
		for _, c := range signInCells(source) {
			accounts = append(accounts, c.account())
		}
		for _, way := range notServed(source) {
			accounts = append(accounts, signInCell{source.id, way, refusing}.account())
		}
		for _, a := range accounts {
			s.putMail(t, a)
		}
		config.WriteString(setup.prepare(t, s, accounts))
	}
	if err := rig.Own(s.space.Mail); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.server, err = s.space.Postwain(program, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.restart(config.String()); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s.server.Daemon)
	s.startXOAUTH2(t)
	return s
}

// restart starts the server once more, with what the rig cannot know in its
// configuration.
func (s *stand) restart(more string) error {
	if err := s.server.Stop(); err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(s.server.Unix), "postwain.toml")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(data)
	for section, keys := range s.inSection {
		text = strings.Replace(text, section+"\n", section+"\n"+keys, 1)
	}
	if err := os.WriteFile(path, []byte(text+more), 0o644); err != nil {
		return err
	}
	return s.server.Start()
}

// startXOAUTH2 starts the server for clients that choose another mechanism where
// there is one.
func (s *stand) startXOAUTH2(t *testing.T) {
	t.Helper()
	if s.oauth == "" {
		return
	}
	var err error
	if s.xoauth2, err = s.space.Postwain(program, "[sasl]\nmechanisms = [\"XOAUTH2\"]\n"+s.oauth); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s.xoauth2.Daemon)
}

// offeredWays are all mechanisms that can be named where there are these sources.
func offeredWays(setups map[string]signInSetup) string {
	var names []string
	for _, w := range signInWays() {
		switch {
		case w.name == "USER" || w.name == "KPOP",
			w.name == "GSSAPI" && setups["ticket"].prepare == nil,
			w.name == "EXTERNAL" && setups["certificate"].prepare == nil:
		default:
			names = append(names, fmt.Sprintf("%q", w.name))
		}
	}
	return strings.Join(names, ", ")
}

// notServed are the ways by which accounts of a source cannot sign in although
// they have the right password.
func notServed(source signInSource) (ways []string) {
	if !slices.Contains(source.serves, "PLAIN") {
		return nil // there is no password
	}
	for _, w := range signInWays() {
		if !slices.Contains(source.serves, w.name) && slices.Contains(allPasswords(), w.name) {
			ways = append(ways, w.name)
		}
	}
	return ways
}

// refusing stands for the client in the tests that a source which cannot serve a
// way refuses it.
const refusing = "refused"

func letterTo(account string) []byte {
	return fmt.Appendf(nil, "From: postmaster@example.org\r\nSubject: for %s\r\n\r\nOne line.\r\n", account)
}

func (s *stand) putMail(t *testing.T, account string) {
	t.Helper()
	if err := writeMaildir(s.space.Maildir(account), []stored{{"1700000000.M1P1.host", letterTo(account)}}); err != nil {
		t.Fatal(err)
	}
}

// signInTest is the test of a cell.
type signInTest struct {
	signInCell
	run func(*testing.T)
}

// tests are those of one source.
func (s *stand) tests(source signInSource, setup signInSetup) (all []signInTest) {
	runners := signInRunners()
	for _, cell := range signInCells(source) {
		s.cells = append(s.cells, cell)
		all = append(all, signInTest{cell, func(t *testing.T) { s.signIn(t, runners[cell.client], cell, setup) }})
	}
	for _, way := range notServed(source) {
		cell := signInCell{source.id, way, refusing}
		all = append(all, signInTest{cell, func(t *testing.T) { s.refuse(t, cell, setup) }})
	}
	return all
}

// runSignIns runs tests, several at once whatever -parallel says: most of them
// wait most of the time.
func runSignIns(t *testing.T, tests []signInTest, results *signInResults) {
	queue := make(chan signInTest)
	var workers sync.WaitGroup
	for range 6 {
		workers.Go(func() {
			for test := range queue {
				t.Run(test.String(), func(t *testing.T) {
					test.run(t)
					results.set(test.signInCell, !t.Failed())
				})
			}
		})
	}
	for _, test := range tests {
		queue <- test
	}
	close(queue)
	workers.Wait()
}

// signIn signs in, and then tries it with what is wrong.
func (s *stand) signIn(t *testing.T, r signInRunner, cell signInCell, setup signInSetup) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	job := signInJob{way: cell.way, stand: s, dir: t.TempDir(), credential: setup.right(t, s, cell.account())}
	mail, err := r.fetch(ctx, job)
	if want := letterTo(cell.account()); err != nil || len(mail) != 1 || !isCopy(mail[0], want) {
		t.Errorf("with what is right: %q, %v", mail, err)
	}
	job.dir, job.credential = t.TempDir(), setup.wrong(t, s, cell.account())
	mail, err = r.fetch(ctx, job)
	if len(mail) > 0 || !r.refused(err) {
		t.Errorf("with what is wrong: %q, %v", mail, err)
	}
}

// readLog looks for each cell in the log of the server, which ends for that: that
// the client has signed in by this way, and not by another that it has as well.
// No password may be there.
func (s *stand) readLog(t *testing.T, results *signInResults) {
	t.Helper()
	log := ""
	for _, server := range []*rig.Postwain{s.server, s.xoauth2} {
		if server == nil {
			continue
		}
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		log += wholeLog(t, server)
	}
	for _, secret := range []string{rig.Password, notPassword} {
		if strings.Contains(log, secret) {
			t.Errorf("a password is in the log:\n%s", log)
		}
	}
	for _, cell := range s.cells {
		method := cell.way
		if method == "KPOP" {
			method = "USER"
		}
		name := regexp.QuoteMeta(rig.Account(cell.account()))
		lines := []string{"INFO pop3: session user=<" + name + "> method=" + method + " "}
		if method != "GSSAPI" && method != "EXTERNAL" { // by which clients may leave the name out
			lines = append(lines, "WARN pop3-login: auth failed user=<"+name+`\S*> method=`+method+" ")
		}
		for _, line := range lines {
			if results.proved[cell] && !regexp.MustCompile(line).MatchString(log) {
				t.Errorf("%v: the log has nothing that matches %s", cell, line)
				results.set(cell, false)
			}
		}
	}
}

// refuse checks that the right password is of no use by a way that the source
// cannot serve.
func (s *stand) refuse(t *testing.T, cell signInCell, setup signInSetup) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	job := signInJob{way: cell.way, stand: s, credential: setup.right(t, s, cell.account())}
	mail, err := signInPostwain(ctx, job)
	if len(mail) > 0 || !refusedPostwain(err) {
		t.Errorf("%q, %v", mail, err)
	}
}
