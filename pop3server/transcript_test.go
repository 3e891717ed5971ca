package pop3server_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
)

// TestTranscripts plays testdata/*.pop3. With POSTWAIN_REPLAY it plays them
// against another server, for comparison.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.pop3")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pop3"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, err := testkit.ParseTranscript(string(data))
			if err != nil {
				t.Fatal(err)
			}
			if addr, maildir, ok := testkit.Replay(); ok {
				replay(t, script, addr, maildir)
				return
			}
			synctest.Test(t, func(t *testing.T) { play(t, script) })
		})
	}
}

func play(t *testing.T, script *testkit.Transcript) {
	var from net.Addr = loopback
	r := newRig(t, func(r *rig) {
		for _, option := range script.Options {
			name, arg, _ := strings.Cut(option, " ")
			switch name {
			case "remote":
				from = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}
			case "tls":
				r.withTLS()
			case "strict-utf8":
				r.opt.StrictUTF8 = true
			case "implementation":
				r.opt.Implementation = arg
			case "login-delay":
				r.site.before.LoginDelay = duration(t, arg)
				r.site.after.LoginDelay = duration(t, arg)
			case "expire":
				r.site.before.Expire, r.site.after.Expire = pop3server.DeleteRetrieved, pop3server.DeleteRetrieved
				if arg != "0" {
					r.site.before.Expire, r.site.after.Expire = duration(t, arg), duration(t, arg)
				}
			case "per-user":
				r.site.before = pop3server.Policy{LoginDelay: time.Minute, LoginDelayPerUser: true, ExpirePerUser: true}
			case "proof":
				r.site.extra = append(r.site.extra, proof{})
			case "apop":
				r.site.extra = append(r.site.extra, apop{})
			case "sessions":
				n, err := strconv.Atoi(arg)
				if err != nil {
					t.Fatal(err)
				}
				r.opt.Sessions = pop3server.NewSessions(n)
			default:
				t.Fatalf("no option %q", option)
			}
		}
	})
	for i, m := range script.Mail {
		in := maildrop.Incoming{UID: "u" + strconv.Itoa(i+1)}
		if err := r.store.Deliver(context.Background(), m.Account, in, strings.NewReader(m.Data)); err != nil {
			t.Fatal(err)
		}
	}
	script.Run(t, func() net.Conn { return r.dial(from) }, r.client)
}

// replay plays a transcript that needs no option of ours against addr.
func replay(t *testing.T, script *testkit.Transcript, addr, maildir string) {
	for i, m := range script.Mail {
		name := filepath.Join(maildir, "new", strconv.FormatInt(time.Now().UnixNano(), 10)+"."+strconv.Itoa(i)+".replay")
		if err := os.WriteFile(name, []byte(m.Data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	script.Run(t, dial, &tls.Config{InsecureSkipVerify: true})
}
