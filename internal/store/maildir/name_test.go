package maildir

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, base    string
		octets, bytes int64
		sec, usec     int64
	}{
		{"1700000000.M123456P1Q2.x,S=5,W=6:2,S", "1700000000.M123456P1Q2.x,S=5,W=6", 6, 5, 1700000000, 123456},
		{"1700000000.V801I1f2M000007.host", "1700000000.V801I1f2M000007.host", -1, -1, 1700000000, 7},
		{"1700000000.12345_3.host,S=77;2,S", "1700000000.12345_3.host,S=77", -1, 77, 1700000000, 0},
		{"1700000000.x!2,S", "1700000000.x", -1, -1, 1700000000, 0},
		{"a;b!c", "a;b!c", -1, -1, 0, 0},
		{"a;b;2,c!2,S", "a;b", -1, -1, 0, 0},
		{":2,S", "", -1, -1, 0, 0},
		{"a,W=6,S=5", "a,W=6,S=5", 6, 5, 0, 0},
		{"a,S=6,W=5", "a,S=6,W=5", -1, 6, 0, 0},   // the wire form is never shorter
		{"a,S=6,W=99", "a,S=6,W=99", -1, 6, 0, 0}, // nor that much longer
		{"a,W=-1,S=+1", "a,W=-1,S=+1", -1, -1, 0, 0},
		{"a,W=99999999999999999999", "a,W=99999999999999999999", -1, -1, 0, 0},
		{"99999999999999999999.x", "99999999999999999999.x", -1, -1, 0, 0},
		{"0000000000.x", "0000000000.x", -1, -1, 0, 0},
		{"1.x", "1.x", -1, -1, 0, 0},
	} {
		base := c.name[:baseLen(c.name)]
		octets, bytes := fields(base)
		sec, usec := arrival(c.name[:uniqueLen(c.name)])
		if base != c.base || octets != c.octets || bytes != c.bytes || sec != c.sec || usec != c.usec {
			t.Errorf("%q: base %q, %d octets, %d bytes, %d s, %d µs", c.name, base, octets, bytes, sec, usec)
		}
	}
}

// Names stay unique and in order, whatever the clock does (faults 27, 45, 46).
func TestNamer(t *testing.T) {
	t.Parallel()
	n := namer{pid: 4194304, count: 1<<32 - 3}
	start := time.Unix(1_700_000_000, 0)
	seen := make(map[string]bool)
	last := [2]int64{}
	for _, at := range []time.Time{
		start, start, start.AddDate(-10, 0, 0), start.AddDate(10, 0, 0), start, time.Unix(0, 0), time.Unix(-1e9, 0),
		time.Unix(1<<31, 0), time.Unix(1<<32, 0), {},
	} {
		for _, unique := range []string{n.next(at, "same"), n.imported(at, "same")} {
			if seen[unique] || !validUID(unique) {
				t.Fatalf("%q is given again, or no UID", unique)
			}
			seen[unique] = true
		}
		unique := n.next(at, random())
		name := fileName(unique, 5, 6)
		if !ours(name) || len(unique) > 70 {
			t.Errorf("we do not know %q again", name)
		}
		var now [2]int64
		if now[0], now[1] = arrival(unique); slices.Compare(now[:], last[:]) <= 0 {
			t.Errorf("%q does not come after %d", unique, last)
		}
		last = now
	}
	for _, at := range []time.Time{time.Unix(1<<40, 0), time.Unix(1<<62, 0)} {
		if unique := n.next(at, random()); !validUID(unique) || !ours(unique) {
			t.Errorf("at %v: %q", at, unique)
		}
	}
	if key := keyName("k"); keyOf(fileName(n.next(start, key), 1, 2)) != key {
		t.Error("a key is not known again")
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"1700000000.M1P1Q1.x,S=1,W=2:2,S", "a;2,b", "\n\x1b\xff:2,", strings.Repeat("x", 255), ",,,", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		base := name[:baseLen(name)]
		octets, bytes := fields(base)
		if octets < -1 || bytes < -1 || octets >= 0 && bytes > octets {
			t.Errorf("%q: %d octets, %d bytes", name, octets, bytes)
		}
		arrival(base[:uniqueLen(base)])
		ours(base)
		if uid := natural(base); !validUID(uid) {
			t.Errorf("%q has the UID %q", name, uid)
		}
	})
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ template, account, want string }{
		{"%d/%n", "alice@example.org", "example.org/alice"},
		{"%d/%n", "a+b@c@example.org", "example.org/a+b@c"},
		{"%u", "alice", "alice"},
		{"%u", "Ünï.ço∂e", ""},
		{"%u", "юзер@пример.рф", "юзер@пример.рф"},
		{"%n/Maildir", "alice", "alice/Maildir"},
		{"x-%n%%", "alice", "x-alice%"},
		{"%d/%n", "alice", ""},
		{"%d/%n", "@example.org", ""},
		{"%d/%n", "alice@", ""},
		{"%u", "", ""}, {"%u", ".", ""}, {"%u", "..", ""}, {"%u", "../x", ""}, {"%u", "/etc/passwd", ""},
		{"%u", "a/b", ""}, {"%u", "a\x00b", ""}, {"%u", "a\nb", ""}, {"%u", ".hidden", ""}, {"%u", "a..b", ""},
		{"%u", "trailing.", ""}, {"%u", "a%2e", ""}, {"%u", "a\\b", ""}, {"%u", "a b", ""}, {"%u", "a:b", ""},
		{"%u", "a\xffb", ""}, {"%u", "a\u202eb", ""}, {"%u", "a\u2215b", ""}, {"%n", ".@x", ""}, {"%d/%n", "a@.", ""},
		{"%u", strings.Repeat("x", 255), strings.Repeat("x", 255)}, {"%u", strings.Repeat("x", 256), ""},
		{"%u", "-rf", "-rf"},
	} {
		tm, err := parseTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tm.path(c.account)
		if path.Join(got...) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q in %q: %q, %v", c.account, c.template, got, err)
		}
		if err != nil && !errors.Is(err, maildrop.ErrNoDrop) {
			t.Errorf("%q: %v", c.account, err)
		}
	}
	for _, bad := range []string{"", "/", "a//b", "../%u", "%x", "%", "a/%", "./%n", "%n/", strings.Repeat("x", 256)} {
		if _, err := parseTemplate(bad); err == nil {
			t.Errorf("the template %q is taken", bad)
		}
	}
}

// No account name leads out of the root, and no two meet (fault 33).
func FuzzAccount(f *testing.F) {
	for _, s := range []string{"alice@example.org", "../../etc/passwd", "a/../b", ".", "a\x00", "%2e%2e@%n", "user+../@x"} {
		f.Add(s)
	}
	tm, err := parseTemplate("%d/%n/Maildir")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, account string) {
		parts, err := tm.path(account)
		if err != nil {
			return
		}
		for _, p := range parts {
			if fsx.CheckName(p) != nil || p[0] == '.' || len(p) > maxPart {
				t.Errorf("%q leads to %q", account, parts)
			}
		}
		if len(parts) != 3 || parts[1]+"@"+parts[0] != account || parts[2] != "Maildir" {
			t.Errorf("%q leads to %q", account, parts)
		}
	})
}

func FuzzUIDs(f *testing.F) {
	file := appendUID([]byte(uidsTitle), uidRec{kindUnique, "uid", "a\n%b"})
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parseUIDs(data)
		if err != nil {
			return
		}
		again := []byte(uidsTitle)
		for _, r := range table.recs {
			again = appendUID(again, r)
		}
		if same, err := parseUIDs(again); err != nil || !slices.Equal(same.recs, table.recs) {
			t.Errorf("%q is read as %q and then as %q, %v", data, table.recs, same.recs, err)
		}
	})
}

// A torn tail is dropped, a damaged line before good ones is not overlooked.
func TestUIDsTorn(t *testing.T) {
	t.Parallel()
	data := []byte(uidsTitle)
	var ends []int
	for _, name := range []string{"a", "b\n", "c%"} {
		data = appendUID(data, uidRec{kindUnique, "uid-" + name[:1], name})
		ends = append(ends, len(data))
	}
	for n := len(uidsTitle); n <= len(data); n++ {
		whole := 0
		for whole < len(ends) && ends[whole] <= n {
			whole++
		}
		table, err := parseUIDs(data[:n])
		if err != nil || len(table.recs) != whole {
			t.Fatalf("of %d octets %d lines are read, %v; want %d", n, len(table.recs), err, whole)
		}
	}
	for i := range ends[1] - 1 {
		bad := bytes.Clone(data)
		bad[i] ^= 0x01
		if _, err := parseUIDs(bad); err == nil {
			t.Errorf("a change of octet %d is overlooked", i)
		}
	}
}

func FuzzIndex(f *testing.F) {
	l := &listing{
		msgs:    []maildrop.Message{{Size: 6}, {Size: 9, Time: time.Unix(5, 0)}},
		entries: []entry{newEntry(file{"1700000000.M1P1.x,S=5,W=6", false}, 5), newEntry(file{"b:2,S", true}, 9)},
		at:      stamp{times{1, 2, 3}, times{4, 5, 6}},
	}
	data := []byte(indexTitle)
	data = append(data, new(listing).changes(l)...)
	next := &listing{msgs: l.msgs[1:], entries: l.entries[1:], at: l.at}
	f.Add(data)
	f.Add(append(data, l.changes(next)...))
	f.Add(data[:len(data)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		x, _ := parseIndex(data)
		if x == nil {
			return
		}
		if len(x.msgs) != len(x.entries) || len(x.msgs) > len(data) {
			t.Fatalf("%d messages, %d names", len(x.msgs), len(x.entries))
		}
		again, whole := parseIndex(append([]byte(indexTitle), new(listing).changes(x)...))
		if len(x.entries) > 0 && (!whole || len(again.entries) > len(x.entries)) {
			t.Errorf("%d messages become %d", len(x.entries), len(again.entries))
		}
	})
}

// What changes writes is what parseIndex reads.
func TestIndexRoundTrip(t *testing.T) {
	t.Parallel()
	state := new(listing)
	data := []byte(indexTitle)
	for step := range 20 {
		next := &listing{at: stamp{times{1, int64(step), 3}, times{4, 5, 6}}}
		for n := step / 2; n < step+3; n++ {
			name := string(rune('a'+n)) + ",S=5,W=6"
			if step%3 == 0 {
				name += ":2,S"
			}
			next.msgs = append(next.msgs, maildrop.Message{Size: int64(6 + step%2), Time: time.Unix(int64(n+1), 0)})
			next.entries = append(next.entries, newEntry(file{name, step%3 == 0}, 5))
		}
		data = append(data, state.changes(next)...)
		got, whole := parseIndex(data)
		if !whole || !slices.Equal(got.entries, next.entries) || !slices.Equal(got.msgs, next.msgs) || got.at != next.at {
			t.Fatalf("step %d: %+v is read as %+v", step, next, got)
		}
		state = next
	}
}

func FuzzJournal(f *testing.F) {
	r := removal{"example.org/alice", []mark{{"a", 1}, {"b\n", 2}}}
	one := batch{seq: 1, body: r.append(nil)}
	two := batch{seq: 2, done: 1, body: r.append(r.append(nil))}
	f.Add(one.encode())
	f.Add(append(one.encode(), two.encode()...))
	f.Add(append(two.encode(), one.encode()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		list := decodeHalf(data)
		if len(list) > len(data)/batchHead {
			t.Fatalf("%d batches", len(list))
		}
		for i, b := range list {
			if i > 0 && b.seq <= list[i-1].seq {
				t.Error("out of order")
			}
			b.removals()
		}
	})
}

// A valid beginning is never lost to what comes behind it.
func TestJournalTorn(t *testing.T) {
	t.Parallel()
	var data []byte
	var ends []int
	for seq := range uint64(4) {
		r := removal{"example.org/alice", []mark{{strings.Repeat("x", int(seq)*3000), seq}}}
		b := batch{seq: seq + 1, body: r.append(nil)}
		data = append(data, b.encode()...)
		ends = append(ends, len(data))
	}
	for n := 0; n <= len(data); n += 97 {
		torn := append(bytes.Clone(data[:n]), bytes.Repeat([]byte{0xA5}, len(data)-n)...)
		whole := 0
		for whole < len(ends) && ends[whole] <= n {
			whole++
		}
		if got := decodeHalf(torn); len(got) < whole {
			t.Fatalf("torn at %d: %d batches are read, not %d", n, len(got), whole)
		}
	}
}
