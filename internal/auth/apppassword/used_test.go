package apppassword

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func lastUse(t *testing.T, path, device string) Password {
	t.Helper()
	list, err := List(path, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Device == device {
			return p
		}
	}
	t.Fatalf("no device %q", device)
	return Password{}
}

func TestLastUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	tablet := add(t, path, "bob", "Tablet")
	add(t, path, "bob", "Telephone")
	f := open(t, path, Options{})
	list := text(t, path)
	expect(t, f, "bob", "wrong", "")
	if _, err := os.Stat(path + usedSuffix); err == nil {
		t.Error("a wrong password is noted")
	}
	for range 3 {
		expect(t, f, "bob", tablet, "bob")
	}
	used := text(t, path+usedSuffix)
	if strings.Count(used, "\n") != 1 || text(t, path) != list {
		t.Errorf("notes %q", used)
	}
	if info, err := os.Stat(path + usedSuffix); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if p := lastUse(t, path, "Tablet"); time.Since(p.Used) > time.Minute || p.From != phone {
		t.Errorf("%+v", p)
	}
	if p := lastUse(t, path, "Telephone"); !p.Used.IsZero() {
		t.Errorf("%+v", p)
	}
	// A restart forgets nothing.
	f = open(t, path, Options{})
	expect(t, f, "bob", tablet, "bob")
	if text(t, path+usedSuffix) != used {
		t.Error("noted again after a restart")
	}
}

// note notes uses at times of the test's own.
func note(t *testing.T, f *File, account, device string, at time.Time, from netip.Addr) {
	t.Helper()
	table := f.fresh()
	p := table.accounts[account].device(device)
	if err := f.usage.note(table, p, use{at, from}); err != nil {
		t.Error(err)
	}
}

func TestNotedOnceAnHour(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	add(t, path, "bob", "Tablet")
	f := open(t, path, Options{})
	begin := time.Now().Truncate(time.Second)
	for i, tt := range []struct {
		after time.Duration
		from  netip.Addr
		want  int
	}{
		{0, phone, 1}, {time.Minute, phone, 1}, {59 * time.Minute, netip.Addr{}, 1}, {time.Hour, netip.Addr{}, 2},
		{2*time.Hour - time.Second, phone, 2}, {2 * time.Hour, netip.MustParseAddr("::ffff:192.0.2.9"), 3},
		{time.Hour, phone, 4}, // the clock was set back
	} {
		note(t, f, "bob", "Tablet", begin.Add(tt.after), tt.from)
		if got := strings.Count(text(t, path+usedSuffix), "\n"); got != tt.want {
			t.Errorf("%d: %d notes", i, got)
		}
	}
	if p := lastUse(t, path, "Tablet"); !p.Used.Equal(begin.Add(2*time.Hour)) || p.From.String() != "192.0.2.9" {
		t.Errorf("%+v", p)
	}
}

// A new password for a device of the same name was never used.
func TestUseOfEarlierPassword(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	add(t, path, "bob", "Tablet")
	old := fmt.Sprintf("bob\t%s\t192.0.2.1\tTablet\n", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	if err := os.WriteFile(path+usedSuffix, []byte("x\n"+old+old[:len(old)-1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := lastUse(t, path, "Tablet"); !p.Used.IsZero() {
		t.Errorf("%+v", p)
	}
	f := open(t, path, Options{})
	note(t, f, "bob", "Tablet", time.Now(), netip.Addr{})
	if p := lastUse(t, path, "Tablet"); p.Used.IsZero() {
		t.Error("the use of the new one is not noted")
	}
}

// The file of uses does not grow for ever, and keeps what others have noted.
func TestCompact(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	add(t, path, "bob", "Tablet")
	add(t, path, "alice", "Tablet of hers")
	begin := time.Now().Truncate(time.Second)
	stamp := func(d time.Duration) string { return begin.Add(d).UTC().Format(time.RFC3339) }
	var many strings.Builder
	for i := range spareUses + 10 {
		fmt.Fprintf(&many, "gone\t%s\t-\tdevice %d\n", stamp(0), i)
	}
	if err := os.WriteFile(path+usedSuffix, []byte(many.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, Options{})
	if err := appendTo(path+usedSuffix, "alice\t"+stamp(time.Minute)+"\t-\tTablet of hers\n"); err != nil { // by another process
		t.Fatal(err)
	}
	note(t, f, "bob", "Tablet", begin.Add(time.Hour), phone)
	want := []string{"bob\t" + stamp(time.Hour) + "\t192.0.2.7\tTablet\n", "alice\t" + stamp(time.Minute) + "\t-\tTablet of hers\n"}
	got := text(t, path+usedSuffix)
	for _, line := range want {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in %.300q", line, got)
		}
	}
	if n := strings.Count(got, "\n"); n > 3 || len(f.usage.last) != 2 {
		t.Errorf("%d lines, %d uses", n, len(f.usage.last))
	}
}

// That a use cannot be noted is told once, and keeps nobody out.
func TestCannotNote(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app")
	secrets := []string{add(t, path, "bob", "1"), add(t, path, "bob", "2"), add(t, path, "bob", "3")}
	if err := os.Mkdir(path+usedSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	var told []error
	f := open(t, path, Options{Report: func(err error) { told = append(told, err) }})
	if len(told) != 1 {
		t.Errorf("Open tells %v", told)
	}
	told = nil
	for _, s := range secrets[:2] {
		expect(t, f, "bob", s, "bob")
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), "not noted") {
		t.Errorf("told %v", told)
	}
	if err := os.Remove(path + usedSuffix); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "bob", secrets[2], "bob")
	if p := lastUse(t, path, "3"); p.Used.IsZero() || len(told) != 1 {
		t.Errorf("%+v, told %v", p, errors.Join(told...))
	}
}
