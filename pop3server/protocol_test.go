package pop3server_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3server"
)

// Row 55: a line without end is refused once and ends the connection.
func TestOverlongLine(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"before login":       "USER " + strings.Repeat("x", pop3.MaxLine) + "\r\nQUIT\r\n",
		"before login, AUTH": "AUTH PLAIN " + strings.Repeat("A", pop3.MaxAuthLine) + "\r\nQUIT\r\n",
		"in an exchange":     "AUTH PLAIN\r\n" + strings.Repeat("A", pop3.MaxAuthLine+1) + "\r\nQUIT\r\n",
		"after login":        login + "RETR " + strings.Repeat("1", pop3.MaxLine) + "\r\nQUIT\r\n",
		"never an end":       login + strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				c := r.dial(loopback)
				go io.WriteString(c, script)
				all, err := io.ReadAll(c)
				if err != nil || !strings.HasSuffix(string(all), "-ERR Line too long\r\n") || strings.Count(string(all), "-ERR") != 1 {
					t.Errorf("got %q, %v", all, err)
				}
				c.Close()
				if s := r.lastEnd(); s.Reason != pop3server.ReasonLineTooLong || s.OctetsIn > 64<<10 {
					t.Errorf("summary %+v", s)
				}
			})
		})
	}
}

// AUTH lines of 16 KiB are taken, in one line and in two (RFC 5034 §4).
func TestLongAuthLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		token := strings.Repeat("AAAA", 4<<10)
		got := r.talk("AUTH PLAIN " + token + "\r\nAUTH PLAIN\r\n" + token + "\r\n" + login + "QUIT\r\n")
		if signs(got) != "+-+-+++" {
			t.Errorf("got %q", got)
		}
	})
}

// Row 56: blanks, tabs, 8-bit and empty lines are refused and change nothing.
func TestOddLines(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", " ", " DELE 1", "\tDELE 1", "DELE\t1", "DELE 1\t", "DELE  1", "DELE 1 ", "DELE\xa01", "DELE 1\r", "\r", "D\x00ELE 1", "\xff\xfe"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.deliver("alice", "a\n")
			if got := r.talk(login + line + "\r\nQUIT\r\n"); signs(got) != "+++-+" {
				t.Errorf("%q: %q", line, got)
			}
			if left := r.left("alice"); left != "u1" {
				t.Errorf("%q: %q is left", line, left)
			}
		})
	}
}

// Row 59: each command in each state, with and without an argument: + or -.
// What no table names is refused.
func TestStateVerbMatrix(t *testing.T) {
	t.Parallel()
	states := map[string]string{
		"clear":      "",
		"user given": "USER alice\r\n",
		"logged in":  login,
	}
	accepted := map[string]string{
		"clear":      "AUTH|CAPA|LANG|LANG de|QUIT|USER alice|UTF8|STLS",
		"user given": "AUTH|CAPA|LANG|LANG de|QUIT|USER alice|UTF8|STLS|PASS secret",
		"logged in":  "CAPA|DELE 1|LANG|LANG de|LAST|LIST|LIST 1|NOOP|QUIT|RETR 1|RSET|STAT|TOP 1 0|UIDL|UIDL 1|UTF8",
	}
	arguments := []string{"", "1", "1 0", "alice", "secret", "de", "PLAIN AGFsaWNlAHdyb25n", "x"}
	for state, script := range states {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			want := strings.Split(accepted[state], "|")
			for v := pop3.Unknown; v < pop3.Verbs; v++ {
				for _, arg := range arguments {
					command := strings.TrimRight(v.String()+" "+arg, " ")
					if v == pop3.Lang && len(arg) > 2 || v == pop3.Pass || v == pop3.User {
						if arg != "alice" && arg != "secret" {
							continue
						}
					}
					ok := slices.Contains(want, command) || v == pop3.User && state != "logged in" && arg != ""
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, func(r *rig) { r.withTLS() })
						r.deliver("alice", "a\n")
						c := r.dial(loopback)
						defer c.Close()
						r.send(c, script)
						r.expect(c, "+"+strings.Repeat("+", strings.Count(script, "\n")))
						r.send(c, command+"\r\n")
						synctest.Wait()
						c.SetReadDeadline(time.Now().Add(time.Microsecond))
						reply, _ := io.ReadAll(c)
						if got := strings.HasPrefix(string(reply), "+OK"); got != ok || !ok && !strings.HasPrefix(string(reply), "-ERR") {
							t.Errorf("%q gives %q", command, reply)
						}
					})
				}
			}
		})
	}
}

// Row 60: marks cannot be counted twice.
func TestDeleTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var mail []string
		for range 200 {
			mail = append(mail, "a\n")
		}
		r.deliver("alice", mail...)
		var script strings.Builder
		for round := range 3 {
			for n := range 200 {
				fmt.Fprintf(&script, "DELE %d\r\n", n+1)
				if round == 1 {
					fmt.Fprintf(&script, "DELE %d\r\n", n+1)
				}
			}
			script.WriteString("STAT\r\n")
			if round < 2 {
				script.WriteString("RSET\r\nSTAT\r\n")
			}
		}
		got := r.talk(login + script.String() + "QUIT\r\n")
		if strings.Count(got, "+OK 0 0\r\n") != 3 || strings.Count(got, "+OK 200 600\r\n") != 2 || strings.Count(got, "-ERR") != 200 {
			t.Errorf("got %.300q", got)
		}
		if left := r.left("alice"); left != "" {
			t.Errorf("%q is left", left)
		}
	})
}

// Row 61: a hundred thousand commands in one go are served in order, while the
// client reads at its own pace.
func TestManyPipelinedCommands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 50_000
		r := newRig(t, nil)
		r.deliver("alice", "a\n", "bb\n")
		got := r.talk(login + strings.Repeat("LIST 1\r\nLIST 2\r\n", n) + "QUIT\r\n")
		_, got, _ = strings.Cut(got, "Maildrop open\r\n")
		if got != strings.Repeat("+OK 1 3\r\n+OK 2 4\r\n", n)+"+OK Goodbye\r\n" {
			t.Errorf("got %d octets that begin %.100q", len(got), got)
		}
	})
}

// Pipelined and one by one, whole and octet by octet, the replies are the same.
func TestSegmentation(t *testing.T) {
	t.Parallel()
	const script = "CAPA\r\nAUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\nSTAT\r\nLIST\r\nUIDL 2\r\nRETR 1\r\nTOP 2 0\r\nDELE 1\r\nFOO\r\nQUIT\r\n"
	run := func(cut func(string) []string) (got string) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.deliver("alice", ".a\n", "H: b\n\nc\n")
			c := r.dial(loopback)
			defer c.Close()
			go func() {
				for _, part := range cut(script) {
					io.WriteString(c, part)
					synctest.Wait()
				}
			}()
			all, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			got = string(all)
		})
		return got
	}
	whole := run(func(s string) []string { return []string{s} })
	if got := run(func(s string) []string { return strings.Split(s, "") }); got != whole {
		t.Errorf("octet by octet %q, whole %q", got, whole)
	}
	if got := run(func(s string) []string { return strings.SplitAfter(s, "\n") }); got != whole {
		t.Errorf("line by line %q, whole %q", got, whole)
	}
}

// Row 63: a client that sends an octet now and then has sixty seconds in all.
func TestSlowLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		c := r.dial(loopback)
		began := time.Now()
		go func() {
			for {
				if _, err := io.WriteString(c, "N"); err != nil {
					return
				}
				time.Sleep(9 * time.Second)
			}
		}()
		io.Copy(io.Discard, c)
		if d := time.Since(began); d != time.Minute {
			t.Errorf("the login lasted %v", d)
		}
		c.Close()
		time.Sleep(9 * time.Second)
		if s := r.lastEnd(); s.Reason != pop3server.ReasonLoginTimeout {
			t.Errorf("summary %+v", s)
		}
	})
}

// Row 67: TOP of messages that have no body or no empty line, and of absurd
// counts, is right; row 68: long lines and headers stream.
func TestOddMessages(t *testing.T) {
	t.Parallel()
	header := strings.Repeat("X-Long: "+strings.Repeat("x", 100)+"\r\n", 10_000)
	for name, c := range map[string]struct{ message, top0, top1 string }{
		"empty":        {"", "", ""},
		"only newline": {"\n", "\r\n", "\r\n"},
		"header only":  {"A: b\n", "A: b\r\n", "A: b\r\n"},
		"no newline":   {"A: b", "A: b\r\n", "A: b\r\n"},
		"one line":     {"A: b\n\nc", "A: b\r\n\r\n", "A: b\r\n\r\nc\r\n"},
		"no header":    {"\nb\nc\n", "\r\n", "\r\nb\r\n"},
		"dots":         {".\n\n.\n..\n", "..\r\n\r\n", "..\r\n\r\n..\r\n"},
		"long line":    {strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20) + "\r\n", strings.Repeat("x", 1<<20) + "\r\n"},
		"long header":  {header + "\r\nb\r\nc\r\n", header + "\r\n", header + "\r\nb\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.deliver("alice", c.message)
				got := r.talk(login + "TOP 1 0\r\nTOP 1 1\r\nQUIT\r\n")
				_, got, _ = strings.Cut(got, "Maildrop open\r\n")
				const ok = "+OK Beginning follows\r\n"
				if want := ok + c.top0 + ".\r\n" + ok + c.top1 + ".\r\n+OK Goodbye\r\n"; got != want {
					t.Errorf("got %.200q, want %.200q", got, want)
				}
			})
		})
	}
}

// endless is a line that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	if len(p) > 64<<10 {
		return 0, errDisk // more than a buffer at once
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A message of one line of 64 MiB goes through, in pieces of at most a buffer.
func TestHugeMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 64 << 20
		r := newRig(t, nil)
		r.deliver("alice", "a\n")
		r.breaks(&brokenBox{get: func(int, int) (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(endless{}, size)), nil
		}})
		c := r.begin()
		defer c.Close()
		r.send(c, "RETR 1\r\nQUIT\r\n")
		n, err := io.Copy(io.Discard, c)
		if n < size || n > size+100 || err != nil {
			t.Errorf("%d octets, %v", n, err)
		}
		if len(r.sizes) != 1 {
			t.Errorf("the difference from the listing was not told: %v", r.sizes)
		}
	})
}

// Row 69: no content can end a reply: STAT, LIST and RETR agree on every
// message of a small alphabet.
func TestContentCannotEndReply(t *testing.T) {
	t.Parallel()
	messages := []string{""}
	for i := 0; len(messages[i]) < 5; i++ {
		for _, c := range []string{"a", ".", "\r", "\n"} {
			messages = append(messages, messages[i]+c)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.deliver("alice", messages...)
		var script strings.Builder
		for i := range messages {
			fmt.Fprintf(&script, "LIST %d\r\nRETR %d\r\nNOOP\r\n", i+1, i+1)
		}
		got := r.talk(login + script.String() + "STAT\r\nQUIT\r\n")
		_, got, _ = strings.Cut(got, "Maildrop open\r\n")
		total := 0
		for i, m := range messages {
			var size, number int
			fmt.Sscanf(got, "+OK %d %d\r\n", &number, &size)
			head := fmt.Sprintf("+OK %d %d\r\n+OK %d octets\r\n", i+1, size, size)
			body, rest, _ := strings.Cut(strings.TrimPrefix(got, head), ".\r\n+OK Still here\r\n")
			if !strings.HasPrefix(got, head) || len(strings.ReplaceAll("\n"+body, "\n.", "\n"))-1 != size {
				t.Fatalf("message %q: got %q", m, got[:min(len(got), 100)])
			}
			got, total = rest, total+size
		}
		if want := fmt.Sprintf("+OK %d %d\r\n+OK Goodbye\r\n", len(messages), total); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if len(r.sizes) > 0 {
			t.Errorf("sizes differ: %v", r.sizes)
		}
	})
}

// Row 72: what CAPA says is what the server does, in each state.
func TestCapabilitiesAreTrue(t *testing.T) {
	t.Parallel()
	tries := map[string]string{ // capability to a command that shows it
		"TOP": "TOP 1 0", "UIDL": "UIDL", "USER": "USER alice", "SASL": "AUTH PLAIN", "STLS": "STLS", "UTF8": "UTF8", "LANG": "LANG",
	}
	onlyBefore := []string{"USER", "SASL", "STLS"}
	onlyAfter := []string{"TOP", "UIDL"}
	for name, c := range map[string]struct {
		tls  bool
		from net.Addr
	}{
		"loopback":         {false, loopback},
		"loopback and TLS": {true, loopback},
		"remote":           {false, remote},
		"remote and TLS":   {true, remote},
	} {
		for _, after := range []bool{false, true} {
			if after && c.from == remote {
				continue
			}
			t.Run(fmt.Sprint(name, after), func(t *testing.T) {
				t.Parallel()
				for _, capability := range slices.Sorted(maps.Keys(tries)) {
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, func(r *rig) {
							if c.tls {
								r.withTLS()
							}
						})
						r.deliver("alice", "a\n")
						state := ""
						if after {
							state = login
						}
						capa := r.ask(c.from, state, "CAPA")
						announced := strings.Contains(capa, "\n"+capability)
						if announced && (after && slices.Contains(onlyBefore, capability) || !after && slices.Contains(onlyAfter, capability)) {
							return // announced in both states, good in one
						}
						if works := strings.HasPrefix(r.ask(c.from, state, tries[capability]), "+"); works != announced {
							t.Errorf("%s: announced %v, works %v", capability, announced, works)
						}
					})
				}
			})
		}
	}
}

// ask returns the reply to a command after those of state.
func (r *rig) ask(from net.Addr, state, command string) string {
	r.t.Helper()
	c := r.dial(from)
	defer c.Close()
	r.send(c, state)
	r.expect(c, strings.Repeat("+", 1+strings.Count(state, "\n")))
	r.send(c, command+"\r\n")
	synctest.Wait()
	c.SetReadDeadline(time.Now().Add(time.Microsecond))
	got, _ := io.ReadAll(c)
	c.Close()
	synctest.Wait()
	return string(got)
}

var remote = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}

// Row 73: bad commands are few before login and in a row after it; a good
// command in between starts the count anew.
func TestBadCommands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if got := r.talk("FOO\r\nCAPA\r\nFOO\r\nFOO\r\nFOO\r\n"); strings.Count(got, "-ERR") != 4 {
			t.Errorf("before login: %q", got)
		}
		if got := r.talk(login + strings.Repeat("FOO\r\n", 100)); strings.Count(got, "-ERR") != 21 {
			t.Errorf("after login: %q", got)
		}
		if s := r.lastEnd(); s.Reason != pop3server.ReasonBadCommands {
			t.Errorf("summary %+v", s)
		}
		got := r.talk(login + strings.Repeat(strings.Repeat("FOO\r\n", 19)+"NOOP\r\n", 5) + "QUIT\r\n")
		if strings.Count(got, "-ERR") != 95 || !strings.HasSuffix(got, "+OK Goodbye\r\n") {
			t.Errorf("with good ones between: %q", got)
		}
	})
}

// No octet of the client comes back in a reply.
func TestNothingIsEchoed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const mark = "zZqQxX"
		got := r.talk("USER " + mark + "\r\nPASS " + mark + "\r\nAUTH " + mark + "\r\nLANG " + mark + "\r\n" + mark + "\r\nUTF8 " + mark + "\r\n" +
			login + "LIST " + mark + "\r\nRETR " + mark + "\r\n" + mark + "\r\nQUIT\r\n")
		if strings.Contains(got, mark) || !strings.HasSuffix(got, "+OK Goodbye\r\n") {
			t.Errorf("got %q", got)
		}
	})
}

// Texts and UIDs that a Backend gives cannot split a reply.
func TestBackendTextCannotSplitReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.site.failed = &pop3.Error{Code: "SYS/PERM\r\n", Text: "closed\r\n+OK welcome\r\n"}
			r.opt.Hostname = "a\r\n+OK"
		})
		if got := r.talk(""); got != "-ERR [SYS/PERM??] closed??+OK welcome??\r\n" {
			t.Errorf("got %q", got)
		}
		r.site.failed = nil
		if got := r.talk("QUIT\r\n"); signs(got) != "++" {
			t.Errorf("got %q", got)
		}
	})
}
