package mbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

const fromLine = "From MAILER-DAEMON Sun Sep  9 01:46:40 2001\n"

var at = time.Date(2001, 9, 9, 3, 46, 40, 0, time.FixedZone("", 2*3600))

func mustOpen(t testing.TB, d fsx.Dir) sink.Sink {
	t.Helper()
	s, err := Open(d, "inbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s sink.Sink, key, text string) error {
	t.Helper()
	return s.Put(t.Context(), sink.Message{Key: key, Time: at}, strings.NewReader(text))
}

// contents gives a file, or "".
func contents(t testing.TB, d fsx.Dir, name string) string {
	t.Helper()
	text, err := readFile(d, name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readFile(d fsx.Dir, name string) (string, error) {
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	p, err := io.ReadAll(f)
	return string(p), err
}

// write appends to a file as another program does, durably.
func write(t testing.TB, d fsx.Dir, name, text string) {
	t.Helper()
	f, err := d.OpenAppend(name, 0o600)
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err = errors.Join(err, f.Sync(), f.Close(), d.Sync()); err != nil {
		t.Fatal(err)
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"Subject: x\r\n\r\nbody\r\n", "Subject: x\n\nbody\n"},
		{"", ""},
		{"x", "x\n"},
		{"From a\r\n>From b\r\n>>>From c\r\n From d\r\nFrom\r\n>\r\nfrom e\r\n", ">From a\n>>From b\n>>>>From c\n From d\nFrom\n>\nfrom e\n"},
		{"x From y\r\nFFrom z\r\n>x>From z\r\n", "x From y\nFFrom z\n>x>From z\n"},
		{"From", "From\n"},
		{"From ", ">From \n"},
		{">>", ">>\n"},
		{"Fr\rom \r\n\r\r\n", "Fr\rom \n\r\r\n"},
		{"Fro\r\nFrom \r", "Fro\n>From \r\r\n"},
		{"\x00\xff\r\n", "\x00\xff\n"},
	} {
		d := faultfs.New().Root()
		if err := put(t, mustOpen(t, d), "k", tt.in); err != nil {
			t.Fatal(err)
		}
		if got, want := contents(t, d, "inbox"), fromLine+tt.want+"\n"; got != want {
			t.Errorf("%q becomes %q, want %q", tt.in, got, want)
		}
	}
}

// unquote is what a reader of the format mboxrd makes of a message.
func unquote(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if rest := strings.TrimLeft(line, ">"); len(rest) < len(line) && strings.HasPrefix(rest, "From ") {
			lines[i] = line[1:]
		}
	}
	return strings.Join(lines, "")
}

// Every text over {a . CR LF} of up to 6 octets, and over {> F "rom " LF}, comes
// out as it came in.
func TestBytes(t *testing.T) {
	t.Parallel()
	try := func(w []byte) {
		var out bytes.Buffer
		if err := render(t.Context(), bufio.NewWriterSize(&out, 16), at, iotest.OneByteReader(bytes.NewReader(w))); err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(out.String(), fromLine)
		text, ok2 := strings.CutSuffix(text, "\n")
		if !ok || !ok2 || text != "" && !strings.HasSuffix(text, "\n") {
			t.Fatalf("%q becomes %q", w, out.String())
		}
		if strings.HasPrefix(text, "From ") || strings.Contains(text, "\nFrom ") {
			t.Fatalf("%q becomes %q, which is several messages", w, text)
		}
		if got := wire([]byte(unquote(text))); !bytes.Equal(got, wire(w)) {
			t.Fatalf("%q comes out as %q", w, got)
		}
	}
	words(6, []string{"a", ".", "\r", "\n"}, try)
	words(7, []string{">", "F", "rom ", "\n"}, try)
}

// words calls f with every text of at most max of the letters.
func words(max int, letters []string, f func(w []byte)) {
	var grow func(w []byte, n int)
	grow = func(w []byte, n int) {
		f(w)
		for _, l := range letters {
			if n < max {
				grow(append(w[:len(w):len(w)], l...), n+1)
			}
		}
	}
	grow(nil, 0)
}

// wire is what a receiver holds of a message: lines that end in CRLF.
func wire(p []byte) []byte {
	var out []byte
	for i, c := range p {
		if c == '\n' && (i == 0 || p[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(p) > 0 && p[len(p)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}

// Whatever is there stays as it is, and an empty line stands before the next
// message.
func TestPadding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, pad string }{
		{"", ""}, {"\n", "\n"}, {"\n\n", ""}, {"x", "\n\n"}, {"x\n", "\n"}, {"From x\n\nx\n\n", ""}, {"From x\n\nx", "\n\n"},
	} {
		d := faultfs.New().Root()
		write(t, d, "inbox", tt.before)
		s := mustOpen(t, d)
		for range 2 {
			if err := put(t, s, "k", "x\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := contents(t, d, "inbox"), tt.before+tt.pad+fromLine+"x\n\n"; got != want {
			t.Errorf("%q becomes %q", tt.before, got)
		}
	}
}

// A key is known in another process, too, and what is wrong with a message or
// its key leaves the file alone.
func TestKeys(t *testing.T) {
	t.Parallel()
	d := faultfs.New().Root()
	s := mustOpen(t, d)
	if s.Parallel() != 1 || !s.Exact() {
		t.Errorf("Parallel() = %d, Exact() = %t", s.Parallel(), s.Exact())
	}
	if err := put(t, s, "k1", "x\r\n"); err != nil {
		t.Fatal(err)
	}
	want := contents(t, d, "inbox")
	broken := errors.New("broken")
	for _, n := range []int{0, 1, 100_000} {
		r := io.MultiReader(strings.NewReader(strings.Repeat("y", n)), iotest.ErrReader(broken))
		if err := s.Put(t.Context(), sink.Message{Key: "k2"}, r); !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	for _, key := range []string{"", "A", "a b", "a\nb", strings.Repeat("a", 65)} {
		if err := put(t, s, key, "x\r\n"); err == nil {
			t.Errorf("the key %q is taken", key)
		}
	}
	s.Close()
	if err := put(t, s, "k3", "x\r\n"); !errors.Is(err, errClosed) {
		t.Errorf("Put after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, errClosed) {
		t.Errorf("Close after Close: %v", err)
	}
	s = mustOpen(t, d)
	if err := put(t, s, "k1", "x\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, d, "inbox"); got != want {
		t.Errorf("the file has become %q", got)
	}
	if err := put(t, s, strings.Repeat("z", 64), "x\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, d, "inbox"); got != want+want {
		t.Errorf("the file has become %q", got)
	}
}

// What somebody removed with the file is not there any more, and is not taken
// for stored.
func TestFileIsRemoved(t *testing.T) {
	t.Parallel()
	d := faultfs.New().Root()
	s := mustOpen(t, d)
	for _, key := range []string{"a", "b"} {
		if err := put(t, s, key, key+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Close(), d.Remove("inbox"), d.Sync()); err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, key := range []string{"b", "a"} {
		s := mustOpen(t, d)
		if err := put(t, s, key, key+"\r\n"); err != nil {
			t.Fatal(err)
		}
		want += fromLine + key + "\n\n"
		if got := contents(t, d, "inbox"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if err := errors.Join(put(t, s, "b", "b\r\n"), s.Close()); err != nil || contents(t, d, "inbox") != want {
			t.Errorf("%q, want %q, %v", contents(t, d, "inbox"), want, err)
		}
	}
}

// A bad line at the end was never believed; one before others is damage.
func TestDamagedKeys(t *testing.T) {
	t.Parallel()
	good := string(keyLine("good"))
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{good, true}, {good + "12", true}, {good + "00000000 x\n", true}, {good + "\x00\x00\n", true}, {"\n", true},
		{good + "00000000 x\n" + good, false}, {"\x00" + good + good, false}, {good + strings.Repeat("x", 100_000), false},
	} {
		d := faultfs.New().Root()
		write(t, d, "inbox.postwain-keys", tt.text)
		s, err := Open(d, "inbox")
		if (err == nil) != tt.ok {
			t.Errorf("%.40q: %v", tt.text, err)
		}
		if err != nil {
			continue
		}
		for _, key := range []string{"good", "new"} {
			if err := put(t, s, key, "x\r\n"); err != nil {
				t.Error(err)
			}
		}
		s.Close()
		want := string(keyLine("new"))
		if strings.HasPrefix(tt.text, good) {
			want = good + want
		} else {
			want = string(keyLine("good")) + want
		}
		if got := contents(t, d, "inbox.postwain-keys"); got != want {
			t.Errorf("%q becomes %q", tt.text, got)
		}
	}
}

// The locks of other programs are waited for, for a while, and never broken;
// one that we left is.
func TestLocks(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"lock file", "flock"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := faultfs.New()
				d, foreign := f.Root(), f.Foreign()
				s := mustOpen(t, d)
				var held fsx.File
				if kind == "flock" {
					held, _ = foreign.OpenAppend("inbox", 0o600)
					held.TryLock()
				} else {
					write(t, foreign, "inbox.lock", "")
				}
				began := time.Now()
				if err := put(t, s, "k", "x\r\n"); err == nil || !strings.Contains(err.Error(), "inbox.lock") {
					t.Errorf("Put under the lock of another program: %v", err)
				}
				if waited := time.Since(began); waited < lockWait || waited > 2*lockWait {
					t.Errorf("waited for %v", waited)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := s.Put(ctx, sink.Message{Key: "k"}, strings.NewReader("x\r\n")); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("cancelled: %v", err)
				}
				time.AfterFunc(time.Second, func() {
					if kind == "flock" {
						held.Close()
					} else {
						foreign.Remove("inbox.lock")
					}
				})
				if err := put(t, s, "k", "x\r\n"); err != nil {
					t.Errorf("when the lock is gone: %v", err)
				}
				if _, err := foreign.Stat("inbox.lock"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("inbox.lock is still there: %v", err)
				}
			})
		})
	}
}

// While a message is written the lock file is there, and says who has it.
func TestLockIsHeld(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	s := mustOpen(t, f.Root())
	writes := 0
	f.Before(func(op faultfs.Op) {
		if op.Path == "inbox" && op.Kind == faultfs.Write {
			writes++
			if text := contents(t, f.Foreign(), "inbox.lock"); text != fmt.Sprintf("%d\n", os.Getpid()) {
				t.Errorf("inbox.lock has %q", text)
			}
		}
	})
	if err := put(t, s, "k", "x\r\n"); err != nil || writes == 0 {
		t.Errorf("%d writes, %v", writes, err)
	}
	if _, err := Open(f.Root(), "inbox"); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("the file is opened twice: %v", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := fsx.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "a/b"} {
		if s, err := Open(d, name); err == nil {
			s.Close()
			t.Errorf("%q is opened", name)
		}
	}
	s, err := Open(d, "folder")
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "k", "x\r\n"); !errors.Is(err, fsx.ErrNotRegular) {
		t.Errorf("Put into a directory: %v", err)
	}
	s.Close()
	s = mustOpen(t, d)
	text := strings.Repeat("a line\r\n", 300_000)
	for n := range 3 {
		if err := put(t, s, fmt.Sprint("k", n), text); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Repeat(fromLine+strings.ReplaceAll(text, "\r\n", "\n")+"\n", 3)
	if got, err := os.ReadFile(filepath.Join(dir, "inbox")); err != nil || string(got) != want {
		t.Errorf("%d octets, not %d, %v", len(got), len(want), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "inbox.postwain-new")); err != nil || info.Size() > maxIdle {
		t.Errorf("a message that is stored takes %d octets more, %v", info.Size(), err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	f := faultfs.New()
	s := mustOpen(t, f.Root())
	if err := put(t, s, "k0", "x\r\n"); err != nil {
		t.Fatal(err)
	}
	want := contents(t, f.Foreign(), "inbox")
	used, _ := f.Used()
	text := strings.Repeat("y\r\n", 2000)
	for free := int64(0); free < 10_000; free += 97 {
		f.SetCapacity(used+free, 0)
		err := put(t, s, "k1", text)
		f.SetCapacity(0, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, maildrop.ErrFull) {
			t.Fatalf("%d octets free: %v", free, err)
		}
		if got := contents(t, f.Foreign(), "inbox"); got != want && !errors.Is(err, sink.ErrUnknownOutcome) {
			t.Fatalf("%d octets free: %d octets are left", free, len(got)-len(want))
		}
	}
	if err := put(t, s, "k1", text); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, f.Foreign(), "inbox"); got != want+fromLine+strings.ReplaceAll(text, "\r\n", "\n")+"\n" {
		t.Errorf("%d octets", len(got))
	}
}
