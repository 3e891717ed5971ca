//go:build interop

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// carrier is a program that brings mail into a Maildir that Postwain serves.
type carrier struct {
	name string
	// changes says that it may add to or change what it is given before it
	// hands it on; then only the way out is compared octet for octet.
	changes bool
	// adds is what it puts behind the last line of what it is given.
	adds string
	// send hands one message, in a file with LF line ends, over for account.
	send func(ctx context.Context, account, path string) error
}

func carriers(postwain, dovecot *rig.Server, postfix *rig.Postfix) []carrier {
	tcp := func(s *rig.Server) string { return fmt.Sprintf("inet:127.0.0.1:%d", s.LMTP) }
	const blank = "\r\n" // smtp-source ends even a line that has an end
	return []carrier{
		{"swaks-tcp", false, "", swaks("--server", "127.0.0.1", "--port", fmt.Sprint(postwain.LMTP))},
		{"swaks-unix", false, "", swaks("--socket", postwain.Unix)},
		{"smtp-source-tcp", false, blank, smtpSource("-L", tcp(postwain))},
		{"smtp-source-unix", false, blank, smtpSource("-L", "unix:"+postwain.Unix)},
		{"postfix-lmtp", true, blank, smtpSource(fmt.Sprintf("inet:127.0.0.1:%d", postfix.SMTP))},
		{"postfix-virtual", true, blank, smtpSource(fmt.Sprintf("inet:127.0.0.1:%d", postfix.SMTP))},
		{"dovecot-lmtp", true, blank, smtpSource("-L", tcp(dovecot))},
	}
}

// swaks takes a last line that is a dot for the end of the data, so it is given
// one.
func swaks(where ...string) func(context.Context, string, string) error {
	return func(ctx context.Context, account, path string) error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(".\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		args := append([]string{"--protocol", "LMTP", "--from", "ann@example.net", "--to", account, "--data", "@" + path, "--suppress-data"}, where...)
		_, err = run(ctx, nil, "swaks", args...)
		return err
	}
}

// smtpSource hands the message over with Postfix's load generator.
func smtpSource(where ...string) func(context.Context, string, string) error {
	return func(ctx context.Context, account, path string) error {
		_, err := run(ctx, nil, "smtp-source", append([]string{"-f", "ann@example.net", "-t", account, "-F", path}, where...)...)
		return err
	}
}

// testCarriers sends the corpus by every carrier and gives everything that
// came to lie in the Maildirs.
func testCarriers(t *testing.T, space *rig.Space, all []carrier) []stored {
	letters := mailed()
	dir := t.TempDir()
	var collected []stored
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for i, l := range letters {
				path := filepath.Join(dir, fmt.Sprintf("%s-%d", c.name, i))
				if err := os.WriteFile(path, []byte(l.data), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := c.send(ctx, rig.Account(c.name), path); err != nil {
					t.Fatalf("%s: %v", l.name, err)
				}
			}
			got := await(t, ctx, space.Maildir(rig.Account(c.name)), len(letters))
			if !c.changes {
				arrivedWhole(t, got, letters, c.adds)
			}
			collected = append(collected, got...)
		})
	}
	return collected
}

func mailed() []letter {
	var some []letter
	for _, l := range corpus() {
		if l.mailed {
			some = append(some, l)
		}
	}
	return some
}

// await waits until n messages lie in the Maildir: a queue delivers when it
// pleases.
func await(t *testing.T, ctx context.Context, maildir string, n int) []stored {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := readMaildir(maildir)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) >= n {
			return got
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d messages arrived", len(got), n)
		case <-tick.C:
		}
	}
}

// trace is what an LMTP server puts on top (RFC 5321 §4.4).
var trace = regexp.MustCompile("^Return-Path: <ann@example\\.net>\r\nDelivered-To: [^\r\n]*\r\nReceived: [^\r\n]*\r\n(\t[^\r\n]*\r\n)*$")

// arrivedWhole checks that each letter lies there as it was handed over, below
// nothing but the lines that LMTP adds.
func arrivedWhole(t *testing.T, got []stored, letters []letter, adds string) {
	t.Helper()
	for _, l := range letters {
		want := append(crlf([]byte(l.data)), adds...)
		found := 0
		for _, m := range got {
			added, ok := bytes.CutSuffix(crlf(m.data), want)
			if !ok {
				continue
			}
			found++
			if !trace.Match(added) {
				t.Errorf("%s: added %q", l.name, added)
			}
		}
		if found != 1 {
			t.Errorf("%s: arrived %d times as it was sent", l.name, found)
		}
	}
}
