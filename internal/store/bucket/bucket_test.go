package bucket

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

func newStore(m *memory) *Store { return &Store{objects: m, prefix: "mail/", ttl: defaultTTL} }

func TestStore(t *testing.T) {
	for name, open := range map[string]func(*Store) maildrop.Store{
		"leases":    func(s *Store) maildrop.Store { return s },
		"snapshots": func(s *Store) maildrop.Store { return s.Snapshots() },
	} {
		t.Run(name, func(t *testing.T) {
			maildroptest.Test(t, func(testing.TB) maildroptest.Mail {
				m := newMemory()
				s := newStore(m)
				return maildroptest.Mail{
					Store: open(s), Deliverer: s, Snapshot: name == "snapshots",
					Reopen: func(testing.TB) (maildrop.Store, maildrop.Deliverer) {
						again := newStore(m)
						again.ulids.last = s.ulids.last // as if a millisecond had gone by
						s = again
						return open(s), s
					},
					Remove: func(t testing.TB, account string, message maildrop.Message) {
						d, err := s.drop(account)
						if err != nil {
							t.Fatal(err)
						}
						v, err := d.look(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						for _, l := range v.mail {
							if l.uid == message.UID {
								delete(m.objects, d.dir+l.key())
							}
						}
					},
				}
			})
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	id := newULID(time.UnixMilli(1_700_000_000_123))
	for _, uid := range []string{id.String(), "a", "../x,W=1/y", "~!=%\\", strings.Repeat("/", 70)} {
		l := label{id, 42, id.milliseconds() - int64(len(uid)), uid}
		got, ok := parseLabel(l.key())
		if !ok || got != l || strings.Contains(strings.TrimPrefix(l.key(), messages), "/") || len(l.key()) > 220 {
			t.Errorf("%q is read as %+v, %v", l.key(), got, ok)
		}
	}
	for _, key := range []string{"m/", "m/x,W=1", "d/" + id.String() + ",W=1", "m/" + id.String(), "m/" + id.String() + ",W=-1",
		"m/" + id.String() + ",W=01", "m/" + id.String() + ",W=1,U=", "m/" + id.String() + ",W=1,U==2f", "m/" + strings.ToLower(id.String()) + ",W=1"} {
		if l, ok := parseLabel(key); ok {
			t.Errorf("%q is read as %+v", key, l)
		}
	}
	seen := map[string]string{}
	for _, account := range []string{"alice", "ALICE", "a/b", "a=2Fb", "../x", ".", "a.b", "ä", "\x00", "bob@example.org"} {
		dir, ok := directory("p/", account)
		if !ok || seen[dir] != "" || strings.Count(dir, "/") != 3 || strings.Contains(dir, "/.") {
			t.Errorf("%q is at %q, as %q", account, dir, seen[dir])
		}
		seen[dir] = account
	}
	if _, ok := directory("", ""); ok {
		t.Error("nobody has a directory")
	}
}

func TestULIDs(t *testing.T) {
	t.Parallel()
	// The example of the specification.
	if u, ok := parseULID("01ARZ3NDEKTSV4RRFFQ69G5FAV"); !ok || u.milliseconds() != 1469922850259 {
		t.Errorf("%v, %v", u.milliseconds(), ok)
	}
	var m ulids
	now := time.Now()
	last := m.next(now)
	for i, at := range []time.Time{now, now, now.Add(-time.Hour), now.Add(time.Millisecond), now} {
		u := m.next(at)
		if !last.before(u) || u.String() <= last.String() {
			t.Errorf("%d: %s follows %s", i, u, last)
		}
		last = u
	}
}

func TestSpool(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "\r", "a", "a\n", "a\r\n", "a\r\r\n\rb", "\n\n", strings.Repeat("line\n", 40_000), strings.Repeat("\r\n", 32<<10)} {
		s, err := take(t.Context(), t.TempDir(), iotest.HalfReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got := make([]byte, s.Size())
		if _, err := s.ReadAt(got, 0); err != nil && len(got) > 0 {
			t.Fatal(err)
		}
		want, err := maildrop.Octets(strings.NewReader(text))
		if err != nil || s.Size() != want || bytes.Contains(bytes.ReplaceAll(got, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("%.40q: %d octets, %d wanted: %.40q", text, s.Size(), want, got)
		}
	}
}

// What others have put beside the mail is none, and does no harm.
func TestForeignObjects(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := newStore(m)
	d, err := s.drop(owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "d/", "d/readme", "d/00000000000000zz", "l/", "l/x", "l/1", "m/", "m/x", "m/x,W=1", "z", "mm/y"} {
		m.objects[d.dir+key] = kept{data: []byte("not ours\n"), at: m.now}
	}
	before := len(m.objects)
	if err := s.Deliver(t.Context(), owner, maildrop.Incoming{}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	b, err := s.Open(t.Context(), owner)
	if err != nil || len(b.Messages()) != 1 {
		t.Fatalf("%v", err)
	}
	if err := b.Commit(t.Context(), []int{0}); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if got := len(m.objects); got != before+2 { // a lease and an ending
		t.Errorf("%d objects, where there were %d: %q", got, before, m.keys())
	}
}
