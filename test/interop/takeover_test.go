//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/test/rig"
)

// listing is what a client remembers of a maildrop: unique ids and sizes, in
// the order of the message numbers.
type listing struct{ ids, sizes []string }

func list(t *testing.T, s *rig.Server, space *rig.Space, account string) listing {
	t.Helper()
	j := job{server: s, transport: inClear, account: account, authority: space.TLS.Authority}
	var l listing
	var err error
	if l.ids, err = curlUIDL(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if l.sizes, err = curlList(t.Context(), j, "LIST"); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l listing) equal(other listing) bool {
	return slices.Equal(l.ids, other.ids) && slices.Equal(l.sizes, other.sizes)
}

// wellFormed are letters whose sizes other servers count right too: those in
// which every line ends in LF. Courier counts a CR in front of it twice.
func wellFormed() []letter {
	return slices.DeleteFunc(corpus(), func(l letter) bool {
		return !strings.HasSuffix(l.data, "\n") || strings.Contains(l.data, "\r") || l.name == "dot first"
	})
}

// sameAfter starts Postwain on a Maildir that another server has served and
// compares; then new mail comes, and the program is restarted.
func sameAfter(t *testing.T, space *rig.Space, account string, before listing) {
	t.Helper()
	postwain := startPostwain(t, space)
	after := list(t, &postwain.Server, space, account)
	if !after.equal(before) {
		t.Errorf("the listing is not what it was:\n%q\n%q", before, after)
	}
	path := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(path, []byte(header+"new\n\nnew\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := smtpSource("-L", fmt.Sprintf("inet:127.0.0.1:%d", postwain.LMTP))(t.Context(), account, path); err != nil {
		t.Fatal(err)
	}
	more := list(t, &postwain.Server, space, account)
	if n := len(before.ids); len(more.ids) != n+1 || !slices.Equal(more.ids[:n], before.ids) {
		t.Errorf("after new mail the unique ids are not the old ones and one more:\n%q\n%q", before.ids, more.ids)
	}
	if err := postwain.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := postwain.Start(); err != nil {
		t.Fatal(err)
	}
	if again := list(t, &postwain.Server, space, account); !again.equal(more) {
		t.Errorf("a restart has changed the listing:\n%q\n%q", more, again)
	}
}

// TestTakeOverFromDovecot lets Dovecot deliver and serve, with holes in its
// numbering, before Postwain takes the Maildir over.
func TestTakeOverFromDovecot(t *testing.T) {
	account := rig.Account("moved")
	space := newSpace(t, account)
	if err := writeMaildir(space.Maildir(account), asStored(wellFormed())); err != nil {
		t.Fatal(err)
	}
	dovecot, err := space.Dovecot(rig.DovecotStyle{Processes: 1, Connections: 100})
	if err != nil {
		t.Fatal(err)
	}
	list(t, dovecot, space, account)
	send := smtpSource("-L", fmt.Sprintf("inet:127.0.0.1:%d", dovecot.LMTP))
	path := filepath.Join(t.TempDir(), "letter")
	for _, l := range mailed() {
		if err := os.WriteFile(path, []byte(l.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := send(t.Context(), account, path); err != nil {
			t.Fatal(err)
		}
	}
	j := job{server: dovecot, transport: inClear, account: account, authority: space.TLS.Authority}
	for _, number := range []int{3, 5} {
		if _, err := curlRun(context.Background(), j, number, "--request", "DELE", "--list-only"); err != nil {
			t.Fatal(err)
		}
	}
	before := list(t, dovecot, space, account)
	if err := dovecot.Stop(); err != nil {
		t.Fatal(err)
	}
	sameAfter(t, space, account, before)
}

// TestTakeOverFromCourier does the same with Courier.
func TestTakeOverFromCourier(t *testing.T) {
	account := rig.Account("moved")
	space := newSpace(t, account)
	if err := writeMaildir(space.Maildir(account), asStored(wellFormed())); err != nil {
		t.Fatal(err)
	}
	courier, err := space.Courier()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := courier.Session(space.Maildir(account), "DELE 3", "DELE 5", "QUIT"); err != nil {
		t.Fatal(err)
	}
	out, err := courier.Session(space.Maildir(account), "UIDL", "LIST", "QUIT")
	if err != nil {
		t.Fatal(err)
	}
	if err := rig.Own(space.Maildir(account)); err != nil {
		t.Fatal(err)
	}
	before := parseListings(t, out)
	if len(before.ids) != len(wellFormed())-2 {
		t.Fatalf("Courier lists %d messages:\n%s", len(before.ids), out)
	}
	sameAfter(t, space, account, before)
}

// parseListings reads the answers to UIDL and LIST.
func parseListings(t *testing.T, out string) listing {
	t.Helper()
	parts := strings.Split(out, "\r\n.\r\n")
	if len(parts) != 3 {
		t.Fatalf("not the answers to UIDL, LIST and QUIT:\n%s", out)
	}
	words := func(part string) []string {
		var all []string
		for line := range strings.Lines(part) {
			if number, word, ok := strings.Cut(strings.TrimSpace(line), " "); ok && number == fmt.Sprint(len(all)+1) {
				all = append(all, word)
			}
		}
		return all
	}
	return listing{ids: words(parts[0]), sizes: words(parts[1])}
}
