package maildroptest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing/iotest"
	"time"

	"github.com/postwain/postwain/maildrop"
)

var errReader = errors.New("the sender broke off")

// A message that does not come to its end is never seen.
func checkDeliveryError(r *run) {
	r.fill(alice, letter(1))
	text := "Subject: x\r\n\r\nx\r\n"
	offsets := []int{4095, 4096, 4097, 32 << 10, 64 << 10, 64<<10 + 1, 200_000}
	for i := range len(text) + 1 {
		offsets = append(offsets, i)
	}
	long := text + strings.Repeat("x\r\n", 70_000)
	for _, cause := range []error{errReader, io.ErrUnexpectedEOF} {
		for _, n := range offsets {
			for _, broken := range []io.Reader{
				io.MultiReader(strings.NewReader(long[:n]), iotest.ErrReader(cause)),
				&together{long[:n], cause},
			} {
				if err := r.Deliverer.Deliver(r.Context(), alice, maildrop.Incoming{}, broken); err == nil {
					r.Errorf("Deliver succeeds though the reader failed with %v after %d octets", cause, n)
				}
			}
		}
	}
	r.expect(alice, letter(1))
	r.fill(alice, letter(2))
	r.restart()
	r.expect(alice, letter(1), letter(2))
}

// together gives its last octets and its error in one call.
type together struct {
	text string
	err  error
}

func (d *together) Read(p []byte) (int, error) {
	n := copy(p, d.text)
	if d.text = d.text[n:]; d.text == "" {
		return n, d.err
	}
	return n, nil
}

// Readers may give as much or as little as they like.
func checkDeliveryReader(r *run) {
	text := letter(1) + strings.Repeat("body\r\n", 2000)
	for _, reader := range []io.Reader{
		iotest.OneByteReader(strings.NewReader(text)),
		iotest.HalfReader(strings.NewReader(text)),
		iotest.DataErrReader(strings.NewReader(text)),
		&hesitant{r: strings.NewReader(text)},
		&together{text, io.EOF},
	} {
		if err := r.Deliverer.Deliver(r.Context(), alice, maildrop.Incoming{}, reader); err != nil {
			r.Fatalf("Deliver of %T: %v", reader, err)
		}
	}
	r.expect(alice, text, text, text, text, text)
}

// hesitant gives nothing every other time.
type hesitant struct {
	r    io.Reader
	wait bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.wait = !h.wait; h.wait {
		return 0, nil
	}
	return h.r.Read(p)
}

// The same key again is a no-op.
func checkKey(r *run) {
	key := maildrop.Incoming{Key: "a key: with any octets / \x00\xff" + strings.Repeat("k", 300)}
	r.deliver(alice, key, letter(1))
	r.deliver(alice, maildrop.Incoming{Key: "other"}, letter(1))
	r.deliver(alice, maildrop.Incoming{}, letter(1))
	r.deliver(alice, maildrop.Incoming{}, letter(1))
	r.deliver(alice, key, letter(1))
	r.deliver(bob, key, letter(2))
	r.expect(alice, letter(1), letter(1), letter(1), letter(1))
	r.expect(bob, letter(2))
	r.restart()
	r.deliver(alice, key, letter(1))
	r.expect(alice, letter(1), letter(1), letter(1), letter(1))
}

// A key belongs to a delivery that succeeded.
func checkKeyAfterError(r *run) {
	key := maildrop.Incoming{Key: "again"}
	for range 2 {
		broken := io.MultiReader(strings.NewReader(letter(1)), iotest.ErrReader(errReader))
		if err := r.Deliverer.Deliver(r.Context(), alice, key, broken); err == nil {
			r.Error("Deliver succeeds though the reader failed")
		}
	}
	r.expect(alice)
	r.deliver(alice, key, letter(1))
	r.deliver(alice, key, letter(1))
	r.expect(alice, letter(1))
}

// importable are UIDs that other servers give.
func importable() []string {
	return []string{
		"!", "~", "000000015f3a2b1c", "UID-12-345", "1.M2P3.host,S=4,W=5:2,S", "a", "A", "../../etc/passwd", ".", "..",
		"/", "\"quoted\"", "%d%n%00", "a;b|c", "<m.1@example.net>", strings.Repeat("x", 70), strings.Repeat("/", 70),
	}
}

// Imported UIDs, times and their order are kept.
func checkImport(r *run) {
	uids := importable()
	at := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	var contents []string
	for i, uid := range uids {
		contents = append(contents, letter(i))
		// The times go up and down: the order is that of the import.
		in := maildrop.Incoming{UID: uid, Time: at.AddDate(0, i*7%10, 0), Key: "import " + uid}
		r.deliver(alice, in, letter(i))
	}
	r.fill(alice, letter(1000))
	contents = append(contents, letter(1000))
	for range 2 {
		list := r.expect(alice, contents...)
		for i, uid := range uids {
			if list[i].UID != uid {
				r.Errorf("a message imported with the UID %q has %q", uid, list[i].UID)
			}
			want := at.AddDate(0, i*7%10, 0)
			if off := list[i].Time.Sub(want).Abs(); !r.NoTimes && off > time.Second {
				r.Errorf("a message imported with the time %v has %v", want, list[i].Time)
			}
		}
		r.restart()
	}
	r.commit(r.open(alice), 0, 2)
	list := r.expect(alice, append([]string{contents[1]}, contents[3:]...)...)
	if list[0].UID != uids[1] || list[1].UID != uids[3] {
		r.Errorf("after a commit the imported UIDs are %q, %q; want %q, %q", list[0].UID, list[1].UID, uids[1], uids[3])
	}
}

// A UID that cannot be is refused or replaced.
func checkImportBad(r *run) {
	r.deliver(alice, maildrop.Incoming{UID: "taken"}, letter(0))
	want := []string{letter(0)}
	for i, uid := range []string{"taken", "a b", "a\r\nb", "a\x00", "a\x7f", "\x80", strings.Repeat("x", 71), strings.Repeat("y", 5000)} {
		err := r.Deliverer.Deliver(r.Context(), alice, maildrop.Incoming{UID: uid}, strings.NewReader(letter(i+1)))
		if err == nil {
			want = append(want, letter(i+1))
		}
	}
	r.expect(alice, want...) // which judges the UIDs
}

// Who gives up leaves nothing half done and nothing locked.
func checkCancel(r *run) {
	r.fill(alice, letters(1, 3)...)
	want := letters(1, 3)
	ctx, cancel := context.WithCancel(r.Context())
	text := letter(4) + strings.Repeat("body\r\n", 50_000)
	whenRead := &trigger{r: strings.NewReader(text), at: 1000, do: cancel}
	for _, reader := range []io.Reader{whenRead, strings.NewReader(text)} {
		if err := r.Deliverer.Deliver(ctx, alice, maildrop.Incoming{}, reader); err == nil {
			want = append(want, text)
		}
	}
	r.expect(alice, want...)

	if b, err := r.Store.Open(ctx, alice); err == nil {
		r.close(b)
	}
	b := r.open(alice)
	if p, err := read(ctx, b, 0, -1); err == nil && string(wire(p)) != letter(1) {
		r.Errorf("a cancelled Get gives %s without an error", brief(string(p)))
	}
	if err := b.Commit(ctx, []int{0, 2}); err == nil {
		want = append([]string{want[1]}, want[3:]...)
	}
	r.close(b)
	r.expect(alice, want...)
	r.restart()
	r.expect(alice, want...)
}

// trigger does something when at octets were read.
type trigger struct {
	r  io.Reader
	at int
	do func()
}

func (g *trigger) Read(p []byte) (int, error) {
	n, err := g.r.Read(p[:min(len(p), 512)])
	if g.at -= n; g.at <= 0 {
		g.do()
	}
	return n, err
}
