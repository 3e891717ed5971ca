package passwdfile

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/sasl"
)

// quick makes a field that costs nothing to verify.
func quick(password string) string { return "{PLAIN}" + password }

func write(t *testing.T, path, text string) {
	t.Helper()
	// In one step, as editors do, so that inode and times differ.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// opened is a File that looks at its file each time, and what it reports.
func opened(t *testing.T, text string) (*File, string, *[]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, text)
	var mu sync.Mutex
	reports := new([]string)
	f, err := Open(path, Options{Report: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		*reports = append(*reports, err.Error())
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f, path, reports
}

// look makes the next call look at the file.
func (f *File) look() { f.checked.Store(-int64(time.Hour)) }

func ask(f *File, user, password string) (string, error) {
	return f.Authenticate(context.Background(), sasl.Login{User: user, Password: password, Remote: netip.MustParseAddr("192.0.2.1")})
}

const sample = `# Accounts of example.org

alice@example.org:{SHA256-CRYPT}$5$rounds=1000$salt$F/Ns9/tM4XQMJdEMmtdO5iFk9bnNQMuI7VqZ5kVXQm7
Bob@Example.org:{PLAIN}b secret:1000:1000:Bob,,,:/home/bob:/bin/sh:login_delay=300 userdb_expire=30d userdb_login_delay=1 lock=snapshot flag
zoë:{PLAIN}p` + "\u00e4" + `ss
gone:x:1000:1000::/home/gone:/bin/sh
locked:!$6$salt$hash
nologin:{PLAIN}n secret::::::nologin
near:{PLAIN}n secret::::::allow_nets=192.0.2.0/24,2001:db8::1
far:{PLAIN}f secret::::::allow_nets=198.51.100.7
crlf:{PLAIN}c secret` + "\r" + `
colon:{PLAIN}one:two
scram:{SCRAM-SHA-256}4096,4RmzzjQnx8FPCkqyONKhUg==,Eq+NzAmZKfqODQs5ZjK9eADkd/kVxl9E0vb4Z5eZ9QE=,OJz2Eztj2a2BKUziOS6my2syj3H8Qtn7DKB28sOkVDc=
cram:{CRAM-MD5}eeafe0433a7771aecc05a712f9f89d39ff04849a4970a63280f8bf2aab19098e
b64:{PLAIN.B64}YjY0IHNlY3JldA==
`

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	f, _, reports := opened(t, sample)
	for _, tt := range []struct{ user, password, account string }{
		{"bob@example.org", "b secret", "bob@example.org"},
		{"BOB@example.ORG", "b secret", "bob@example.org"},
		{"zoë", "päss", "zoë"},
		{"ZOE\u0308", "pa\u0308ss", "zoë"},
		{"near", "n secret", "near"},
		{"crlf", "c secret", "crlf"},
		{"colon", "one", "colon"},
		{"b64", "b64 secret", "b64"},
		{"scram", vectorPassword, "scram"},
		{"cram", vectorPassword, "cram"},
		{"bob@example.org", "b secret ", ""},
		{"bob@example.org", "", ""},
		{"bob", "b secret", ""},
		{"# Accounts of example.org", "", ""},
		{"", "", ""},
		{"colon", "one:two", ""},
		{"gone", "x", ""},
		{"gone", "", ""},
		{"locked", "!", ""},
		{"nologin", "n secret", ""},
		{"far", "f secret", "far"},
	} {
		account, err := ask(f, tt.user, tt.password)
		if account != tt.account || (tt.account == "") != errors.Is(err, sasl.ErrRefused) || (tt.account == "") != (err != nil) {
			t.Errorf("%q, %q: got %q, %v", tt.user, tt.password, account, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Authenticate(ctx, sasl.Login{User: "b64", Password: "b64 secret"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if len(*reports) > 0 {
		t.Errorf("reported: %q", *reports)
	}
}

func TestLookupSecretFields(t *testing.T) {
	t.Parallel()
	f, _, _ := opened(t, sample)
	for name, want := range map[string]string{"BOB@Example.org": "bob@example.org", "gone": "gone", "nologin": "nologin", "carol": "", "": ""} {
		account, err := f.Lookup(t.Context(), name)
		if account != want || (want == "") != errors.Is(err, sasl.ErrNoUser) {
			t.Errorf("Lookup(%q) = %q, %v", name, account, err)
		}
	}
	for _, tt := range []struct{ name, scheme, want string }{
		{"Bob@example.org", "PLAIN", "b secret"},
		{"b64", "PLAIN", "b64 secret"},
		{"scram", "SCRAM-SHA-256", "4096,4RmzzjQnx8FPCkqyONKhUg==,Eq+NzAmZKfqODQs5ZjK9eADkd/kVxl9E0vb4Z5eZ9QE=,OJz2Eztj2a2BKUziOS6my2syj3H8Qtn7DKB28sOkVDc="},
		{"cram", "CRAM-MD5", "\xee\xaf\xe0\x43\x3a\x77\x71\xae\xcc\x05\xa7\x12\xf9\xf8\x9d\x39\xff\x04\x84\x9a\x49\x70\xa6\x32\x80\xf8\xbf\x2a\xab\x19\x09\x8e"},
		{"scram", "PLAIN", ""},
		{"scram", "SCRAM-SHA-1", ""},
		{"nologin", "PLAIN", ""},
		{"near", "PLAIN", "n secret"},
		{"gone", "PLAIN", ""},
		{"carol", "PLAIN", ""},
	} {
		_, secret, err := f.Secret(t.Context(), tt.name, tt.scheme)
		if string(secret) != tt.want || (tt.want == "") != errors.Is(err, sasl.ErrRefused) {
			t.Errorf("Secret(%q, %s) = %q, %v", tt.name, tt.scheme, secret, err)
		}
	}
	got, err := f.Fields(t.Context(), "bob@example.org")
	want := map[string]string{"login_delay": "300", "expire": "30d", "lock": "snapshot", "flag": "yes"}
	if !maps.Equal(got, want) || err != nil {
		t.Errorf("Fields = %v, %v", got, err)
	}
	if got, err := f.Fields(t.Context(), "gone"); got != nil || err != nil {
		t.Errorf("Fields of somebody without: %v, %v", got, err)
	}
	if _, err := f.Fields(t.Context(), "carol"); !errors.Is(err, sasl.ErrNoUser) {
		t.Errorf("Fields of nobody: %v", err)
	}
}

func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"cut", "alice:{PLAIN}x\nbo", "users:2: no line of the form"},
		{"twice", "alice:{PLAIN}x\n\n# more\nbob:{PLAIN}x\nALICE:{PLAIN}y\n", `users:5: the account "alice" is on line 1 already`},
		{"two forms", "zo\u00eb:{PLAIN}x\nzoe\u0308:{PLAIN}y\n", "is on line 1 already"},
		{"long", "alice:" + strings.Repeat("x", maxLine), "users:1: no line of the form"},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, tt.text)
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "users"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("a directory is a file")
	}
}

// One user's fault is theirs, is told, and shows no password.
func TestWarnings(t *testing.T) {
	t.Parallel()
	f, _, reports := opened(t, "alice:{PLAIN}a secret\nbob:Canary\ncarol:{CANARY}Canary\ndave:{PLAIN}Canary::::::allow_nets=Canary\n"+
		"two words:{PLAIN}Canary\nerin:{ARGON2ID}$argon2id$v=19$m=99999999,t=1,p=1$Canary$Canary\n")
	if _, err := ask(f, "alice", "a secret"); err != nil {
		t.Errorf("a sound user suffers: %v", err)
	}
	if len(*reports) != 1 {
		t.Fatalf("%d reports", len(*reports))
	}
	report := (*reports)[0]
	for _, want := range []string{
		`users:2: "bob" cannot sign in`, `users:3: "carol" cannot sign in`, `users:4: "dave" cannot sign in: allow_nets`,
		"users:5: this name cannot be", `users:6: "erin" cannot sign in: {ARGON2ID}: m (KiB) is more than 262144`,
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if strings.Contains(strings.ToLower(report), "canary") {
		t.Errorf("the report shows a password:\n%s", report)
	}
	for _, user := range []string{"bob", "carol", "dave", "erin"} {
		if _, err := ask(f, user, "Canary"); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s: %v", user, err)
		}
	}
}

// A file in which everybody is wrong does not fill the log.
func TestManyWarnings(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "user%d:{CANARY}x\n", i)
	}
	_, _, reports := opened(t, b.String())
	if len(*reports) != 1 || strings.Count((*reports)[0], "\n") != maxWarnings || !strings.HasSuffix((*reports)[0], "and 980 more") {
		t.Errorf("reported: %q", *reports)
	}
}

// Whatever is refused, the same error is given and the same work is done.
func TestEqualWork(t *testing.T) {
	t.Parallel()
	hash := func(rounds int) string {
		return fmt.Sprintf("{SHA256-CRYPT}$5$rounds=%d$salt$%s", rounds, strings.Repeat("A", 43))
	}
	f, _, _ := opened(t, "alice:"+hash(2000)+"\nbob:"+hash(2000)+"\nlocked:!\nempty:\nout:"+hash(2000)+"::::::nologin\n")
	var work []cost
	f.prove = func(s secret, password string) bool {
		work = append(work, s.cost())
		return false
	}
	texts := map[string]bool{}
	for _, user := range []string{"alice", "bob", "nobody", "locked", "empty", "out", "not a name", ""} {
		work = nil
		_, err := ask(f, user, "Canary")
		texts[fmt.Sprint(err)] = true
		if len(work) != 1 || work[0] != (cost{kind: "$5$", n: 2000}) {
			t.Errorf("%q costs %v, want what users cost", user, work)
		}
	}
	if len(texts) != 1 {
		t.Errorf("errors differ: %v", texts)
	}
	empty, _, _ := opened(t, "# nobody yet\n")
	empty.prove = func(s secret, _ string) bool { work = []cost{s.cost()}; return false }
	work = nil
	if _, err := ask(empty, "nobody", "x"); !errors.Is(err, sasl.ErrRefused) || len(work) != 1 || work[0] != newArgon("x").cost() {
		t.Errorf("in an empty file: %v, %v", err, work)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	f, path, reports := opened(t, "alice:{PLAIN}one\nbob:{PLAIN}b\n")
	version, other := f.Version("Alice"), f.Version("bob")
	if version == 0 || f.Version("nobody") != 0 {
		t.Error("versions do not tell who exists")
	}
	expect := func(password string, reported int) {
		t.Helper()
		f.look()
		f.Version("alice") // reads
		if a, err := ask(f, "alice", password); a != "alice" || err != nil {
			t.Errorf("%q: got %q, %v", password, a, err)
		}
		if len(*reports) != reported {
			t.Fatalf("%d reports, want %d: %q", len(*reports), reported, *reports)
		}
	}
	expect("one", 0)
	write(t, path, "alice:{PLAIN}two\nbob:{PLAIN}b\n")
	expect("two", 0)
	if f.Version("alice") == version {
		t.Error("the version stays though the line changed")
	}
	if f.Version("bob") != other {
		t.Error("the version changes though the line stays")
	}

	write(t, path, "alice:{PLAIN}three\nbo")
	for range 3 {
		expect("two", 1) // told once
	}
	if !strings.Contains((*reports)[0], "users:2") || !strings.Contains((*reports)[0], "stay in force") {
		t.Errorf("reported: %s", (*reports)[0])
	}
	if err := f.Reload(); err == nil {
		t.Error("Reload of a broken file succeeds")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		expect("two", 2)
	}
	write(t, path, "alice:{PLAIN}four\n")
	expect("four", 2)
	if _, err := ask(f, "bob", "b"); !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("who was removed: %v", err)
	}
}

// A change within the grain of the disk's clock, at the same size, is seen once
// the file has cooled.
func TestOutdated(t *testing.T) {
	t.Parallel()
	now := time.Now()
	info := fsx.Info{Inode: 1, Size: 10, Changed: now}
	for _, tt := range []struct {
		name    string
		s       stamp
		info    fsx.Info
		at      time.Time
		outdate bool
	}{
		{"same, warm", stamp{info, false}, info, now.Add(time.Second), false},
		{"same, cooled", stamp{info, false}, info, now.Add(settleTime + 1), true},
		{"same, read cold", stamp{info, true}, info, now.Add(time.Hour), false},
		{"size", stamp{info, true}, fsx.Info{Inode: 1, Size: 11, Changed: now}, now, true},
		{"inode", stamp{info, true}, fsx.Info{Inode: 2, Size: 10, Changed: now}, now, true},
		{"time", stamp{info, true}, fsx.Info{Inode: 1, Size: 10, Changed: now.Add(1)}, now, true},
		{"gone", stamp{info, true}, fsx.Info{}, now, true},
		{"still gone", stamp{fsx.Info{}, true}, fsx.Info{}, now, false},
	} {
		if got := tt.s.outdated(tt.info, tt.at); got != tt.outdate {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// What is remembered of an account is at most a second old, and nobody is
// refused for that.
func TestLooksSeldom(t *testing.T) {
	t.Parallel()
	f, path, _ := opened(t, "alice:{PLAIN}one\n")
	f.began = time.Now().Add(time.Hour) // the next look is far away
	version := f.Version("alice")
	write(t, path, "alice:{PLAIN}two\nbob:{PLAIN}b\n")
	if f.Version("alice") != version {
		t.Error("each question looks at the file")
	}
	if a, err := f.Lookup(t.Context(), "bob"); a != "bob" || err != nil {
		t.Errorf("who was added a moment ago: %q, %v", a, err)
	}
	write(t, path, "alice:{PLAIN}three\nbob:{PLAIN}b\n")
	if _, err := ask(f, "alice", "three"); err != nil {
		t.Errorf("the password of a moment ago: %v", err)
	}
	if f.Version("alice") == version {
		t.Error("the version is older than the login")
	}
}

// What is read once more, because it was read while warm, is not told again.
func TestTellsOnce(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"alice:{CANARY}x\n", "alice:{PLAIN}x\ncut"} {
		f, path, reports := opened(t, "alice:{PLAIN}x\n")
		for range 3 {
			write(t, path, text)
			ask(f, "alice", "x")
		}
		if len(*reports) != 1 {
			t.Errorf("told %d times: %q", len(*reports), *reports)
		}
		write(t, path, "alice:{PLAIN}x\n")
		ask(f, "alice", "x")
		write(t, path, text)
		ask(f, "alice", "x")
		if len(*reports) != 2 {
			t.Errorf("told %d times, though all was well in between", len(*reports))
		}
	}
}

// A link to the file elsewhere is followed, and a change of the link seen.
func TestLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []string{"one", "two"} {
		write(t, filepath.Join(dir, n), "alice:{PLAIN}"+n+"\n")
	}
	path := filepath.Join(dir, "users")
	for _, n := range []string{"one", "two"} {
		os.Remove(path)
		if err := os.Symlink(n, path); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ask(f, "alice", n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	if err := SetPassword(path, "alice", "new"); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(path); err != nil || target != "two" {
		t.Errorf("the link became %q, %v", target, err)
	}
}

// Logins while the file changes: everybody is who they are.
func TestParallel(t *testing.T) {
	t.Parallel()
	const users = 200
	text := func(version int) string {
		var b strings.Builder
		for i := range users {
			fmt.Fprintf(&b, "user%d:%s\n", i, quick(fmt.Sprintf("secret %d", i)))
		}
		fmt.Fprintf(&b, "# version %d\n", version)
		return b.String()
	}
	f, path, reports := opened(t, text(0))
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 500 {
				i, j := (n+w)%users, n*3%users
				account, err := ask(f, fmt.Sprint("user", i), fmt.Sprintf("secret %d", j))
				if (i == j) != (err == nil) || err == nil && account != fmt.Sprint("user", i) {
					t.Errorf("user%d with the password of user%d: %q, %v", i, j, account, err)
				}
				if n%50 == 0 {
					f.look()
				}
			}
		})
	}
	for v := range 20 {
		write(t, path, text(v))
	}
	wg.Wait()
	if len(*reports) > 0 {
		t.Errorf("reported: %q", *reports)
	}
}

func TestHitCostsNothing(t *testing.T) { // AllocsPerRun cannot be parallel
	f, _, _ := opened(t, sample)
	f.began = time.Now().Add(time.Hour)
	if n := testing.AllocsPerRun(100, func() { f.Version("bob@example.org") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "user%d@example.org:{SHA512-CRYPT}$6$saltsaltsaltsalt$%s::::::login_delay=300\n", i, strings.Repeat("x", 86))
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse("users", text.String(), maphash.MakeSeed()); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("a:b:c:d:e:f:g:h=i j\n:\n::\n#\n\r\n")
	f.Add("a:{PLAIN}x\nA:{PLAIN}x")
	f.Fuzz(func(t *testing.T, text string) {
		tab, err := parse("users", text, maphash.MakeSeed())
		if err != nil {
			return
		}
		if len(tab.users) > strings.Count(text, "\n")+1 {
			t.Fatal("more users than lines")
		}
		for name, u := range tab.users {
			if again, err := sasl.PrepareUser(name); again != name || err != nil || u.account != name {
				t.Fatalf("the name %q is not canonical", name)
			}
			if u.secret != nil && tab.decoys.of(name) == nil {
				t.Fatal("no work for unknown names")
			}
		}
	})
}

// What a login costs beside the hashing.
func BenchmarkAuthenticate(b *testing.B) {
	path := filepath.Join(b.TempDir(), "users")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ask(f, "bob@example.org", "b secret"); err != nil {
			b.Fatal(err)
		}
	}
}
