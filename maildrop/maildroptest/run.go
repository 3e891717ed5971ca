package maildroptest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postwain/postwain/maildrop"
)

const (
	alice = "alice@example.org"
	bob   = "bob@example.org"
)

// run is one check of one store.
type run struct {
	testing.TB
	Mail
}

// restart goes on with the store as after a restart.
func (r *run) restart() {
	r.Helper()
	if r.Reopen != nil {
		r.Store, r.Deliverer = r.Reopen(r.TB)
	}
}

// deliver delivers content, which must succeed.
func (r *run) deliver(account string, in maildrop.Incoming, content string) {
	r.Helper()
	if err := r.Deliverer.Deliver(r.Context(), account, in, strings.NewReader(content)); err != nil {
		r.Fatalf("Deliver(%s, %+v, %s): %v", account, in, brief(content), err)
	}
}

// fill delivers ordinary messages.
func (r *run) fill(account string, contents ...string) {
	r.Helper()
	for _, c := range contents {
		r.deliver(account, maildrop.Incoming{}, c)
	}
}

// open opens a maildrop, which must succeed, and judges its list.
func (r *run) open(account string) maildrop.Box {
	r.Helper()
	b, err := r.Store.Open(r.Context(), account)
	if err != nil {
		r.Fatalf("Open(%s): %v", account, err)
	}
	r.Cleanup(func() { b.Close() })
	if err := judgeList(b.Messages()); err != nil {
		r.Errorf("Open(%s): %v", account, err)
	}
	return b
}

// judgeList says what no list may be.
func judgeList(list []maildrop.Message) error {
	seen := map[string]int{}
	for i, m := range list {
		if !validUID(m.UID) {
			return fmt.Errorf("message %d has the UID %q, not 1–70 octets of 0x21–0x7E", i, m.UID)
		}
		if j, double := seen[m.UID]; double {
			return fmt.Errorf("messages %d and %d have the same UID %q", j, i, m.UID)
		}
		seen[m.UID] = i
	}
	return nil
}

func validUID(uid string) bool {
	for _, c := range []byte(uid) {
		if c < 0x21 || c > 0x7E {
			return false
		}
	}
	return 1 <= len(uid) && len(uid) <= 70
}

// close closes a Box, which must succeed.
func (r *run) close(b maildrop.Box) {
	r.Helper()
	if err := b.Close(); err != nil {
		r.Errorf("Close: %v", err)
	}
}

// commit commits and closes, which must succeed.
func (r *run) commit(b maildrop.Box, deleted ...int) {
	r.Helper()
	if err := b.Commit(r.Context(), deleted); err != nil {
		r.Fatalf("Commit(%v): %v", deleted, err)
	}
	r.close(b)
}

// read gives the octets of Get, to the end.
func read(ctx context.Context, b maildrop.Box, i, lines int) ([]byte, error) {
	rc, err := b.Get(ctx, i, lines)
	if err != nil {
		return nil, err
	}
	p, err := io.ReadAll(rc)
	if cerr := rc.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing the reader: %w", cerr)
	}
	return p, err
}

// whole gives message i as a client holds it, and judges its size.
func (r *run) whole(b maildrop.Box, i int) string {
	r.Helper()
	p, err := read(r.Context(), b, i, -1)
	if err != nil {
		r.Fatalf("Get(%d, -1): %v", i, err)
	}
	p = wire(p)
	if size := b.Messages()[i].Size; size != int64(len(p)) {
		r.Errorf("message %d, %s, has %d octets and is listed with %d", i, brief(string(p)), len(p), size)
	}
	return string(p)
}

// holds judges the contents of an open Box, in order.
func (r *run) holds(b maildrop.Box, want ...string) {
	r.Helper()
	if n := len(b.Messages()); n != len(want) {
		r.Fatalf("the Box holds %d messages, want %d", n, len(want))
	}
	for i, w := range want {
		if got := r.whole(b, i); got != string(wire([]byte(w))) {
			r.Errorf("message %d is %s, want %s", i, brief(got), brief(w))
		}
	}
}

// expect judges the contents of a maildrop and returns its list.
func (r *run) expect(account string, want ...string) []maildrop.Message {
	r.Helper()
	b := r.open(account)
	r.holds(b, want...)
	list := b.Messages()
	r.close(b)
	return list
}

// wire is what a client holds after un-stuffing: package maildrop's definition
// of Size, the slow and plain way.
func wire(p []byte) []byte {
	out := make([]byte, 0, len(p)+len(p)/32+2)
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

// digest names a content, whatever its line ends are stored as.
func digest(p []byte) string {
	sum := sha256.Sum256(wire(p))
	return hex.EncodeToString(sum[:16])
}

// brief quotes the beginning of a text.
func brief(s string) string {
	if len(s) <= 60 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d octets)", s[:60], len(s))
}

// letter is an ordinary message that differs from all with another n.
func letter(n int) string {
	return fmt.Sprintf("From: a@example.net\r\nSubject: letter %d\r\n\r\nThis is letter %d.\r\n", n, n)
}

// letters are n of them, from number first on.
func letters(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = letter(first + i)
	}
	return out
}

// head is the part of a message, as a client holds it, that lines body lines
// may not miss.
func head(p []byte, lines int) []byte {
	end := 0
	body := false
	for end < len(p) && (!body || lines > 0) {
		i := bytes.IndexByte(p[end:], '\n') + 1
		if body {
			lines--
		} else if line := p[end : end+i]; len(line) == 2 {
			body = true
		}
		end += i
	}
	return p[:end]
}
