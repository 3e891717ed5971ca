package pop3client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// openBox opens the mailbox of a scripted server, behind its greeting.
func openBox(t *testing.T, text string) (maildrop.Box, *scripted, error) {
	t.Helper()
	s := newScripted(t, parseScript(t, "S: +OK\n"+text).server)
	c, err := pop3client.Dial(t.Context(), "mail.example.org:110", pop3client.Plaintext, pop3client.Options{Dialer: s, NoCapa: true})
	if err != nil {
		t.Fatal(err)
	}
	b, err := pop3client.Open(t.Context(), c)
	if err != nil {
		c.Close()
	}
	return b, s, err
}

const threeMessages = `C: UIDL
S: +OK
S: 2 b
S: 5 e
S: 7 b
S: .
C: LIST
S: +OK
S: 1 10
S: 5 50
S: 7 70
S: .
`

// The messages are those of UIDL, whatever their numbers and UIDs.
func TestBoxMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, s, err := openBox(t, threeMessages+"C: RETR 5\nS: +OK\nS: e\nS: .\nC: QUIT\nS: +OK\n")
		if err != nil {
			t.Fatal(err)
		}
		want := []maildrop.Message{{UID: "b"}, {UID: "e", Size: 50}, {UID: "b", Size: 70}}
		if !slices.Equal(b.Messages(), want) {
			t.Errorf("got %+v", b.Messages())
		}
		r, err := b.Get(t.Context(), 1, 0) // there is no TOP
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != "e\r\n" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		s.wait()
	})
}

func TestBoxWithoutUIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, s, err := openBox(t, "C: UIDL\nS: -ERR unknown\n")
		if refused := (*pop3.Error)(nil); !errors.As(err, &refused) {
			t.Errorf("got %v", err)
		}
		s.wait()
	})
}

// A commit is all or nothing as far as POP3 allows, and says when it does not know.
func TestBoxCommit(t *testing.T) {
	t.Parallel()
	const unknown = "unknown"
	for name, c := range map[string]struct {
		script string
		want   string // in the error; empty: none
	}{
		"done":          {"C: DELE 2\nS: +OK\nC: DELE 7\nS: +OK\nC: QUIT\nS: +OK\n", ""},
		"DELE refused":  {"C: DELE 2\nS: -ERR no\nC: DELE 7\nS: +OK\nC: RSET\nS: +OK\nC: QUIT\nS: +OK\n", "DELE 2: no"},
		"RSET refused":  {"C: DELE 2\nS: -ERR no\nC: DELE 7\nS: +OK\nC: RSET\nS: -ERR\n-- closed --\n", "DELE 2: no"},
		"cut at DELE":   {"C: DELE 2\nS: +OK\nC: DELE 7\n-- cut --\n", "DELE 7: server closed"},
		"QUIT refused":  {"C: DELE 2\nS: +OK\nC: DELE 7\nS: +OK\nC: QUIT\nS: -ERR [SYS/TEMP] not removed\n", "QUIT: [SYS/TEMP] not removed"},
		"cut at QUIT":   {"C: DELE 2\nS: +OK\nC: DELE 7\nS: +OK\nC: QUIT\n-- cut --\n", unknown},
		"QUIT silent":   {"C: DELE 2\nS: +OK\nC: DELE 7\nS: +OK\nC: QUIT\n-- idle 1h --\n", unknown},
		"QUIT mumbling": {"C: DELE 2\nS: +OK\nC: DELE 7\nS: +OK\nC: QUIT\nS: bye\n", unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, s, err := openBox(t, threeMessages+c.script)
				if err != nil {
					t.Fatal(err)
				}
				err = b.Commit(t.Context(), []int{2, 0})
				isUnknown := errors.Is(err, maildrop.ErrUnknownOutcome)
				if (err == nil) != (c.want == "") || isUnknown != (c.want == unknown) || !isUnknown && !strings.Contains(fmt.Sprint(err), c.want) {
					t.Errorf("Commit: %v, want %q", err, c.want)
				}
				if err := b.Commit(t.Context(), nil); err == nil {
					t.Error("a second Commit succeeds")
				}
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				s.wait()
			})
		})
	}
}

// A commit whose context has ended before removes nothing.
func TestBoxCommitCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, s, err := openBox(t, threeMessages+"C: QUIT\nS: +OK\n")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Commit(ctx, []int{0}); !errors.Is(err, context.Canceled) || errors.Is(err, maildrop.ErrUnknownOutcome) {
			t.Errorf("Commit: %v", err)
		}
		b.Close()
		s.wait()
	})
}

// A reader that a commit has overtaken does not end as if it were whole.
func TestBoxReaderOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, s, err := openBox(t, threeMessages+"C: RETR 2\nS: +OK\nS: abc\nS: .\nC: QUIT\nS: +OK\n")
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Get(t.Context(), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(t.Context(), nil); err != nil {
			t.Errorf("Commit: %v", err)
		}
		if got, err := io.ReadAll(r); len(got) > 0 || err == nil {
			t.Errorf("the reader gives %q, %v", got, err)
		}
		s.wait()
	})
}

// A reader that is read on after another one has asked asks again.
func TestBoxReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, s, err := openBox(t, threeMessages+`C: RETR 2
S: +OK
S: abcdef
S: .
C: RETR 5
S: +OK
S: ghi
S: .
C: RETR 2
S: +OK
S: abcdef
S: .
C: RETR 2
S: +OK
S: abcdef
S: .
C: RETR 5
S: +OK
S: x
S: .
C: RETR 2
S: +OK
S: .
`)
		if err != nil {
			t.Fatal(err)
		}
		get := func(i int) io.ReadCloser {
			r, err := b.Get(t.Context(), i, -1)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		part := func(r io.Reader) string {
			p := make([]byte, 3)
			n, err := io.ReadFull(r, p)
			if err != nil {
				t.Errorf("reading a part: %v", err)
			}
			return string(p[:n])
		}
		first := get(0)
		got := part(first)
		get(1).Close()
		rest, err := io.ReadAll(first)
		if got += string(rest); got != "abcdef\r\n" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		again := get(0)
		part(again)
		get(1)
		if _, err := io.ReadAll(again); !errors.Is(err, pop3client.ErrProtocol) {
			t.Errorf("a message that has shrunk: %v", err)
		}
		first.Close()
		if _, err := first.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read after Close: %v", err)
		}
		b.Close()
		s.wait()
	})
}
