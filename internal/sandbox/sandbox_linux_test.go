package sandbox

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// task is what a child process does: it confines itself, unless it is the
// mutant that does not, and looks what it can still do.
type task struct {
	Root   string
	Mutant bool
}

const taskVariable = "POSTWAIN_SANDBOX_TASK"

func landlocked(t *testing.T) int {
	t.Helper()
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < leastABI {
		t.Skipf("NOT TESTED: this kernel cannot confine files (Landlock %d, %v)", abi, err)
	}
	return abi
}

// runChild runs TestChild in a process of its own.
func runChild(t *testing.T, what task) (string, error) {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// place makes the files that a child looks at.
func place(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/users": "alice", "etc/tls/key": "key", "real/cert-1": "cert",
		"mail/tmp/1": "a message", "mail/new/0": "a message",
		"other/secret": "secret", "bin/tool": "#!/bin/sh\n", "etcetera": "no",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../real/cert-1", filepath.Join(root, "etc/cert")); err != nil {
		t.Fatal(err)
	}
	return root
}

// What is outside cannot be opened, what is inside can.
func TestConfine(t *testing.T) {
	t.Parallel()
	landlocked(t)
	out, err := runChild(t, task{Root: place(t)})
	if err != nil || !strings.Contains(out, "--- PASS: TestChild") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The child would notice if it were not confined.
func TestMutantThatIsFree(t *testing.T) {
	t.Parallel()
	out, err := runChild(t, task{Root: place(t), Mutant: true})
	if err == nil || strings.Count(out, "is possible") < 10 {
		t.Errorf("a child that is not confined passes: %v\n%s", err, out)
	}
}

// TestChild is run by the tests above.
func TestChild(t *testing.T) {
	text, is := os.LookupEnv(taskVariable)
	if !is {
		t.Skip("of the other tests")
	}
	var do task
	if err := json.Unmarshal([]byte(text), &do); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(do.Root, name) }
	before, err := os.Open(at("other/secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	others := newThreads(8)
	defer others.end()
	if !do.Mutant {
		r, err := Confine(Paths{
			Read:  []string{at("etc/users"), at("etc/tls"), at("etc/cert")},
			Write: []string{at("mail"), "/dev/null", at("nowhere")},
			Run:   []string{at("bin")},
		})
		if err != nil || !r.NoNewPrivs || r.Landlock < leastABI || r.Why != "" || len(r.Absent) != 1 || r.Absent[0] != at("nowhere") {
			t.Errorf("%+v, %v", r, err)
		}
		t.Log(r)
	}
	look := func() { inside(t, at); outside(t, at); unprivileged(t) }
	look()
	others.all(look) // no thread was left out
	if b := make([]byte, 6); true {
		if _, err := before.ReadAt(b, 0); err != nil || string(b) != "secret" {
			t.Errorf("what was open: %q, %v", b, err)
		}
	}
}

// inside checks what must stay possible.
func inside(t *testing.T, at func(string) string) {
	for what, err := range map[string]error{
		"read a file":              read(at("etc/users")),
		"read below":               read(at("etc/tls/key")),
		"read through a link":      read(at("etc/cert")),
		"read mail":                read(at("mail/new/0")),
		"write":                    os.WriteFile(at("mail/tmp/2"), []byte("x"), 0o600),
		"truncate":                 os.Truncate(at("mail/tmp/2"), 0),
		"move between directories": os.Rename(at("mail/tmp/2"), at("mail/new/2")),
		"link between directories": os.Link(at("mail/new/2"), at("mail/tmp/3")),
		"remove":                   errors.Join(os.Remove(at("mail/new/2")), os.Remove(at("mail/tmp/3"))),
		"make a directory":         os.MkdirAll(at("mail/cur/deep"), 0o700),
		"remove a directory":       os.RemoveAll(at("mail/cur")),
		"write to /dev/null":       os.WriteFile("/dev/null", []byte("x"), 0o600),
	} {
		if err != nil {
			t.Errorf("%s is not possible: %v", what, err)
		}
	}
	if err := replace(at("etc/users")); err == nil {
		t.Error("to replace a file that may be read is possible")
	}
}

// outside checks what must not be.
func outside(t *testing.T, at func(string) string) {
	for what, err := range map[string]error{
		"read another file":    read(at("other/secret")),
		"read a similar name":  read(at("etcetera")),
		"read by ..":           read(at("mail/../other/secret")),
		"read /etc/passwd":     read("/etc/passwd"),
		"list another":         list(at("other")),
		"list the root":        list("/"),
		"write what is read":   os.WriteFile(at("etc/users"), []byte("mallory"), 0o600),
		"truncate it":          os.Truncate(at("etc/users"), 0),
		"write another":        os.WriteFile(at("other/new"), []byte("x"), 0o600),
		"make elsewhere":       os.Mkdir(at("other/dir"), 0o700),
		"move mail out":        os.Link(at("mail/new/0"), at("other/stolen")),
		"move a file in":       os.Link(at("other/secret"), at("mail/new/stolen")),
		"start what it writes": exec.Command(at("mail/new/0")).Run(),
		"start a shell":        exec.Command("/bin/sh", "-c", ":").Run(),
	} {
		if err == nil {
			t.Errorf("to %s is possible", what)
		} else if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EXDEV) {
			t.Errorf("to %s: %v", what, err)
		}
	}
}

func unprivileged(t *testing.T) {
	if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); n != 1 || err != nil {
		t.Errorf("to gain privileges is possible: %d, %v", n, err)
	}
}

func read(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func list(path string) error {
	_, err := os.ReadDir(path)
	return err
}

func replace(path string) error {
	return errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path))
}

// threads are threads of the system that were there before.
type threads struct {
	work []chan func()
	done sync.WaitGroup
}

func newThreads(n int) *threads {
	t := &threads{}
	for range n {
		c, running := make(chan func()), make(chan struct{})
		t.work = append(t.work, c)
		go func() {
			runtime.LockOSThread()
			close(running)
			for f := range c {
				f()
				t.done.Done()
			}
		}()
		<-running
	}
	return t
}

// all runs f in one after the other.
func (t *threads) all(f func()) {
	for _, c := range t.work {
		t.done.Add(1)
		c <- f
		t.done.Wait()
	}
}

func (t *threads) end() {
	for _, c := range t.work {
		close(c)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Report{
		"no new privileges; files confined by Landlock 7":                                {NoNewPrivs: true, Landlock: 7},
		"no new privileges; files not confined: the kernel has no Landlock":              {NoNewPrivs: true, Why: "the kernel has no Landlock"},
		"files confined by Landlock 2; out of reach, for not being there: /srv/a /srv/b": {Landlock: 2, Absent: []string{"/srv/a", "/srv/b"}},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	a := Paths{Read: make([]string, 1, 9)}
	b, c := a.With(Paths{Read: []string{"b"}}), a.With(Paths{Read: []string{"c"}, Run: []string{"d"}})
	if b.Read[1] != "b" || c.Read[1] != "c" || c.Run[0] != "d" {
		t.Errorf("%v %v", b, c)
	}
}
