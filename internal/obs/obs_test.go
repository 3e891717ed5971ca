package obs

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func client() Client {
	return Client{
		Remote: netip.MustParseAddrPort("192.0.2.7:1234"), Local: netip.MustParseAddrPort("198.51.100.1:995"),
		TLS: &tls.ConnectionState{Version: tls.VersionTLS13},
	}
}

func logged(json bool, do func(*Log)) string {
	var b bytes.Buffer
	do(NewLog(NewLogger(&b, json)))
	return b.String()
}

// The words and their order are public: this test is not to be changed.
func TestAuthFailedIsFrozen(t *testing.T) {
	t.Parallel()
	line := logged(false, func(l *Log) { l.AuthFailed(client(), "alice@example.org", "PLAIN") })
	frozen := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN ` +
		`pop3-login: auth failed user=<alice@example\.org> method=PLAIN rip=192\.0\.2\.7 rport=1234 lip=198\.51\.100\.1 tls=TLSv1\.3 session=[0-9a-z]+\n$`)
	if !frozen.MatchString(line) {
		t.Errorf("got %q", line)
	}
}

// failregex gives the patterns of the filter with fail2ban's tags replaced.
func failregex(t *testing.T) []*regexp.Regexp {
	t.Helper()
	conf, err := os.ReadFile("../../contrib/fail2ban/filter.d/postwain.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(conf), "\nfailregex = ")
	before, _, ok2 := strings.Cut(after, "\n\n")
	if !ok || !ok2 {
		t.Fatal("no failregex")
	}
	var all []*regexp.Regexp
	for line := range strings.Lines(before) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "<ADDR>", `(?P<host>[0-9a-fA-F:.]+)`)
		all = append(all, regexp.MustCompile(line))
	}
	return all
}

// fail2ban sees the client's address, and no name can make it see another.
func TestFail2ban(t *testing.T) {
	t.Parallel()
	patterns := failregex(t)
	for _, user := range []string{
		"alice", "", "bob> method=PLAIN rip=203.0.113.9 rport=1 lip=1 tls=x session=x", "a\nWARN pop3-login: auth failed user=<x> method=PLAIN rip=203.0.113.9 rport=1 lip=1 tls=x session=x",
		`","method":"x","rip":"203.0.113.9",`, `\","method":"x","rip":"203.0.113.9","`, "日本", "\xff\xfe", strings.Repeat("<", 10000),
	} {
		for i, json := range []bool{false, true} {
			line := logged(json, func(l *Log) { l.AuthFailed(client(), user, "PLAIN") })
			if strings.Count(line, "\n") != 1 || len(line) > maxLine {
				t.Errorf("%q: %d lines, %d octets", user, strings.Count(line, "\n"), len(line))
			}
			m := patterns[i].FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil || m[patterns[i].SubexpIndex("host")] != "192.0.2.7" {
				t.Errorf("%q gives %q, matched as %q", user, line, m)
			}
			if patterns[1-i].MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%q is matched twice", line)
			}
		}
	}
	clean := logged(false, func(l *Log) {
		l.LoginRefused(client(), "bob", "PLAIN", netip.AddrPort{}, errors.New("maildrop in use"))
	})
	if patterns[0].MatchString(strings.TrimSuffix(clean, "\n")) {
		t.Errorf("%q is no failure of authentication", clean)
	}
}

// One event is one line of plain octets, at most 4 KiB (fault 119).
func TestHostileValues(t *testing.T) {
	t.Parallel()
	hostile := []string{
		"a\r\nb", "\x1b[2J", "\x00", "\x7f\x80\x9f", "\u202e\u2028", "\xff", `"\`, strings.Repeat("\x01", 1<<20), strings.Repeat("é", 5000), "k=v x=<y>",
	}
	for _, value := range hostile {
		for _, inJSON := range []bool{false, true} {
			line := logged(inJSON, func(l *Log) {
				l.With("with", value).WithGroup("g").Warn(value, "user", User(value), "text", value, "error", errors.New(value), "any", struct{ A string }{value})
			})
			if !strings.HasSuffix(line, "\n") || strings.Count(line, "\n") != 1 || strings.ContainsAny(line, "\r\x00\x1b\x01") {
				t.Errorf("%.40q: got %.200q", value, line)
			}
			if inJSON {
				if !json.Valid([]byte(line)) {
					t.Errorf("%.40q: no JSON: %.200q", value, line)
				}
				continue
			}
			if len(line) > maxLine {
				t.Errorf("%.40q: %d octets", value, len(line))
			}
			for _, c := range []byte(strings.TrimSuffix(line, "\n")) {
				if c < ' ' || c >= 0x7f {
					t.Errorf("%.40q: octet %#x in %.200q", value, c, line)
					break
				}
			}
		}
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	s := Session{
		Client: client(), User: "alice", Method: "PLAIN", Retrieved: 2, Tops: 1, Deleted: 2, Left: 7,
		OctetsIn: 99, OctetsOut: 12345, Duration: 1500 * time.Millisecond, End: "quit",
	}
	line := logged(false, func(l *Log) { l.Session(s) })
	want := `INFO pop3: session user=<alice> method=PLAIN rip=192.0.2.7 rport=1234 lip=198.51.100.1 tls=TLSv1.3 session=`
	if _, rest, ok := strings.Cut(line, " "); !ok || !strings.HasPrefix(rest, want) ||
		!strings.HasSuffix(rest, " retr=2 top=1 del=2 left=7 in=99 out=12345 duration=1.5s end=quit\n") {
		t.Errorf("got %q", line)
	}
	var fields struct {
		Time     time.Time
		Duration float64
	}
	if err := json.Unmarshal([]byte(logged(true, func(l *Log) { l.Session(s) })), &fields); err != nil || fields.Time.IsZero() || fields.Duration != 1.5 {
		t.Errorf("JSON: %+v, %v", fields, err)
	}
	nobody := logged(false, func(l *Log) { l.Session(Session{End: "not POP3", Err: io.ErrUnexpectedEOF}) })
	if !strings.Contains(nobody, ` rip=unix rport=0 lip=unix tls=none `) || !strings.HasSuffix(nobody, ` end="not POP3" error="unexpected EOF"`+"\n") || strings.Contains(nobody, "user=") {
		t.Errorf("got %q", nobody)
	}
}

// The lines of a connection can be found by their session.
func TestSessionID(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`session=(\S+)`)
	lines := strings.SplitAfter(logged(false, func(l *Log) {
		other := client()
		other.Remote = netip.MustParseAddrPort("192.0.2.7:1235")
		l.AuthFailed(client(), "a", "PLAIN")
		l.Session(Session{Client: client()})
		l.Session(Session{Client: other})
	}), "\n")
	first, second, third := id.FindString(lines[0]), id.FindString(lines[1]), id.FindString(lines[2])
	if first != second || first == third {
		t.Errorf("%s %s %s", first, second, third)
	}
}

// Lines of many sessions do not run into each other.
func TestConcurrentLines(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := NewLogger(&b, false)
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 100 {
				l.Info("pop3: session", "rip", "192.0.2.7")
			}
		}()
	}
	for range 8 {
		<-done
	}
	for line := range strings.Lines(b.String()) {
		if !strings.HasSuffix(line, "INFO pop3: session rip=192.0.2.7\n") || len(line) != 58 {
			t.Fatalf("got %q, %d", line, len(line))
		}
	}
}

func BenchmarkSession(b *testing.B) {
	l := NewLog(NewLogger(io.Discard, false))
	s := Session{Client: client(), User: "alice@example.org", Method: "PLAIN", End: "quit"}
	b.ReportAllocs()
	for b.Loop() {
		l.Session(s)
	}
}
