package pop3server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// ticket is a preface: the client says "ticket", reads "ok", and is bob.
func ticket(ctx context.Context, c net.Conn, p pop3server.Peer) (pop3server.Peer, error) {
	if limit, ok := ctx.Deadline(); ok {
		c.SetReadDeadline(limit)
	}
	b := make([]byte, len("ticket"))
	if _, err := io.ReadFull(c, b); err != nil {
		return p, err
	}
	if string(b) != "ticket" {
		return p, errors.New("no ticket")
	}
	p.Principal, p.Secure = "bob@EXAMPLE.ORG", true
	_, err := c.Write([]byte("ok"))
	return p, err
}

// What comes before the greeting tells who the peer is, ends the connection
// where it fails, and has no more time than the login.
func TestPreface(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script, want string
		reason       pop3server.Reason
	}{
		{"ticketUSER bob\r\nPASS  two  words \r\nQUIT\r\n", "ok+OK mail.example.org", pop3server.ReasonQuit},
		{"triket", "", pop3server.ReasonPreface},
		{"tick", "", pop3server.ReasonPreface},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.opt.Preface = ticket })
			began := time.Now()
			got := r.talk(c.script)
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%q: %q", c.script, got)
			}
			s := r.lastEnd()
			if s.Reason != c.reason || c.reason == pop3server.ReasonQuit && (s.Peer.Principal != "bob@EXAMPLE.ORG" || s.Account != "bob") {
				t.Errorf("%q: %+v", c.script, s)
			}
			if took := time.Since(began); took > 61*time.Second {
				t.Errorf("%q took %v", c.script, took)
			}
		})
	}
}

// verifier takes no token.
type verifier struct{}

func (verifier) VerifyToken(context.Context, string, string) (string, error) {
	return "", sasl.ErrRefused
}

// A client that was told of a refusal by a challenge is refused, however it
// goes on (RFC 7628 §3.2.3).
func TestRefusedByChallenge(t *testing.T) {
	t.Parallel()
	const auth = "AUTH XOAUTH2 dXNlcj1ib2IBYXV0aD1CZWFyZXIgdG9rZW4BAQ==\r\n" // bob, "token"
	for _, rest := range []string{"\r\n", "*\r\n", ""} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				r.site.extra = []sasl.Mechanism{sasl.NewXOAUTH2(verifier{}, sasl.BearerOptions{})}
			})
			conn := r.dial(loopback)
			r.send(conn, auth+rest)
			if rest == "" {
				r.expect(conn, "++")
				conn.Close()
			} else {
				r.expect(conn, "++-")
			}
			synctest.Wait()
			if len(r.logins) != 1 || !errors.Is(r.logins[0].Err, sasl.ErrRefused) || r.logins[0].Mechanism != "XOAUTH2" {
				t.Errorf("%q: logins %+v", rest, r.logins)
			}
		})
	}
}

// A client that cancels one exchange after another is no client.
func TestCancelledOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.site.extra = []sasl.Mechanism{proof{}} })
		got := r.talk(strings.Repeat("AUTH X-PROOF\r\n*\r\n", 50))
		if n := strings.Count(got, "-ERR"); n > 5 {
			t.Errorf("%d exchanges were cancelled", n)
		}
		if s := r.lastEnd(); s.Reason != pop3server.ReasonBadCommands {
			t.Errorf("summary %+v", s)
		}
	})
}

// A server that shuts down waits for nobody who has not said who he is: not in
// a handshake, on a port of TLS or behind STLS, and not before the greeting.
func TestShutdownCutsWhoIsArriving(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*rig)
		script string
	}{
		"a silent client of implicit TLS": {func(r *rig) { r.withTLS(); r.opt.Implicit = true }, ""},
		"half a preface":                  {func(r *rig) { r.opt.Preface = ticket }, "tick"},
		"silence behind STLS":             {func(r *rig) { r.withTLS() }, "STLS\r\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, c.change)
			client := r.dial(loopback)
			defer client.Close()
			r.send(client, c.script)
			if c.script == "STLS\r\n" {
				r.expect(client, "++")
			}
			synctest.Wait()
			began := time.Now()
			if err := r.srv.Shutdown(t.Context()); err != nil {
				t.Errorf("%s: Shutdown returned %v", name, err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s: Shutdown took %v", name, took)
			}
			if s := r.lastEnd(); s.Reason != pop3server.ReasonShutdown || s.Err != nil {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}
