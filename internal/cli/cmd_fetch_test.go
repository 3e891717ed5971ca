package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/progress"
)

var update = flag.Bool("update", false, "write the golden files")

// hostile is a text with everything that a terminal might obey (fault 106):
// ESC, OSC, C1 as an octet and as a character, bidi, NUL, DEL, line ends.
const hostile = "a\x1b[2Jb\x1b]0;title\x07c\x9b2Jd\u009b2Je\u202ef\u2066g\x00h\x7fi\r\nj\u2028k\u200bl\U000e0001mé"

// play is a round of three mailboxes as the engine would tell it, were a
// server's words not escaped.
func play(observe func(fetch.Event)) []fetch.Report {
	tell := func(after time.Duration, e fetch.Event) {
		time.Sleep(after)
		e.Time = time.Now()
		observe(e)
	}
	tell(0, fetch.Event{Account: "helpdesk", Kind: fetch.Connected, Text: hostile})
	tell(0, fetch.Event{Account: "helpdesk", Kind: fetch.Listed, Number: 1500, Octets: 9_000_000, Total: 1200, TotalOctets: 4_000_000})
	tell(0, fetch.Event{Account: "bob", Kind: fetch.Connected})
	tell(0, fetch.Event{Account: "bob", Kind: fetch.Listed, Number: 3, Octets: 300})
	tell(2*time.Second, fetch.Event{Account: "helpdesk", Kind: fetch.Stored, Number: 1, Octets: 1_000_000, UID: hostile})
	tell(time.Second, fetch.Event{Account: "helpdesk", Kind: fetch.Failed, Number: 7, Octets: 900, UID: hostile, Err: errors.New(hostile)})
	tell(0, fetch.Event{Account: "helpdesk", Kind: fetch.Warned, Text: hostile})
	tell(0, fetch.Event{Account: "bob", Kind: fetch.Finished})
	tell(time.Second, fetch.Event{Account: "helpdesk", Kind: fetch.Deleted, Total: 1})
	tell(time.Minute, fetch.Event{Account: "helpdesk", Kind: fetch.Finished, Total: 1, TotalOctets: 1_000_000, Err: errors.New(hostile)})
	next := time.Now().Add(5 * time.Minute)
	return []fetch.Report{
		{
			Account: "helpdesk", Fetched: 1, Deleted: 1, Left: 1499, TooLarge: 2, Failed: 1002, Octets: 1_000_000,
			Failures: []fetch.Failure{
				{UID: hostile, Number: 7, Size: 900, Reason: hostile, Tries: 2, Next: next},
				{Number: 8, Reason: "the server refuses it", Tries: 1, Next: next},
			},
			Err: errors.New("fetch: helpdesk (pop.example.org): " + hostile),
		},
		{Account: "bob", Left: 3},
		{Account: "carol", Err: fmt.Errorf("signing in: %w: %s", fetch.ErrSignIn, hostile)},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// clean fails if an octet is there that a terminal might obey; ESC [ and the
// letters of the display's own orders excepted if own is set.
func clean(t *testing.T, what string, text []byte, own bool) {
	t.Helper()
	if own {
		for _, order := range []string{"\x1b[K", "\x1b[J", "\x1b[1A", "\r"} {
			text = bytes.ReplaceAll(text, []byte(order), nil)
		}
	}
	for i, c := range text {
		if c < ' ' && c != '\n' || c >= 0x7F {
			t.Errorf("%s: octet %#x at %d of %q", what, c, i, text)
			return
		}
	}
}

// Nothing of a server reaches the terminal or a file as more than text, in each
// of the ways to tell what happens.
func TestFetchOutputGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		json, terminal bool
	}{{"fetch.report", false, false}, {"fetch.report", false, true}, {"fetch.json", true, false}} {
		synctest.Test(t, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			o := &fetchOutput{stdout: &stdout, stderr: &stderr, json: c.json, steps: make(map[string]*fetchStep)}
			switch {
			case c.terminal:
				o.display, o.live = progress.NewTerminal(&stderr, func() (int, int) { return 100, 24 }), true
			case !c.json:
				o.display = progress.NewLines(&stderr)
			}
			err := o.reports(play(o.observe))
			if code := err.(exit); code.code != exitPartial || code.text != "" {
				t.Errorf("%s: %#v", c.name, err)
			}
			clean(t, c.name, stdout.Bytes(), false)
			clean(t, c.name, stderr.Bytes(), c.terminal)
			golden(t, c.name+".golden", stdout.Bytes())
			if !c.terminal { // else it is the display's own matter
				golden(t, c.name+".stderr.golden", stderr.Bytes())
			}
		})
	}
}

func TestFetchPreviewGolden(t *testing.T) {
	t.Parallel()
	all := []daemon.Preview{
		{Name: "helpdesk", To: "maildir:/var/mail/helpdesk", Messages: []fetch.Planned{
			{Number: 1, UID: hostile, Size: 1234, Action: fetch.Fetch},
			{Number: 2, UID: "b", Size: 99, Action: fetch.Delete},
			{Number: 3, Size: 5_000_000, Action: fetch.Compare, Reason: "it has no UID"},
			{Number: 4, UID: "d", Size: 5_000_000, Action: fetch.Leave, Reason: "it is too large"},
		}},
		{Name: "bob", To: "exec:/usr/bin/tar", Err: errors.New(hostile)},
	}
	for name, json := range map[string]bool{"fetch.preview.golden": false, "fetch.preview.json.golden": true} {
		var stdout bytes.Buffer
		o := &fetchOutput{stdout: &stdout, json: json}
		if err := o.previews(all); err.(exit).code != exitPartial {
			t.Errorf("%s: %v", name, err)
		}
		clean(t, name, stdout.Bytes(), false)
		golden(t, name, stdout.Bytes())
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	failed, refused := errors.New("failed"), fmt.Errorf("signing in: %w", fetch.ErrSignIn)
	for name, c := range map[string]struct {
		reports []fetch.Report
		want    int
	}{
		"nothing to do":          {nil, exitOK},
		"nothing new":            {[]fetch.Report{{}}, exitOK},
		"too large is no fault":  {[]fetch.Report{{Left: 1, TooLarge: 1}}, exitOK},
		"all fetched":            {[]fetch.Report{{Fetched: 5}, {Fetched: 1}}, exitOK},
		"poison":                 {[]fetch.Report{{Fetched: 199, Failed: 1}}, exitPartial},
		"nothing but poison":     {[]fetch.Report{{Failed: 1}}, exitPartial},
		"failed":                 {[]fetch.Report{{Err: failed}}, exitFailed},
		"failed on the way":      {[]fetch.Report{{Fetched: 1, Err: failed}}, exitPartial},
		"one of two failed":      {[]fetch.Report{{}, {Err: failed}}, exitPartial},
		"refused":                {[]fetch.Report{{Err: refused}}, exitRefused},
		"all refused":            {[]fetch.Report{{Err: refused}, {Err: refused}}, exitRefused},
		"one of two refused":     {[]fetch.Report{{Err: refused}, {}}, exitPartial},
		"one refused one failed": {[]fetch.Report{{Err: refused}, {Err: failed}}, exitFailed},
	} {
		if got := outcome(c.reports); got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}

// What a ticket needs has flags, and goes with a ticket only.
func TestFetchByTicket(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"--auth gssapi --keytab k --principal robot pops://a@example.org", ""},
		{"kpop://a@example.org", ""},
		{"--principal robot kpop://a@example.org", "--principal goes with --keytab"},
		{"--keytab k pops://a@example.org", "--keytab is for kpop:// and for --auth = GSSAPI only"},
		{"--auth PLAIN kpop://a@example.org", "--auth: kpop:// has a way of its own"},
		{"--password-file p --auth GSSAPI pops://a@example.org", "--password-file: a Kerberos ticket signs in"},
		{"--plaintext kpop://a@example.org", "--plaintext is for pop:// only"},
	} {
		f := newFetchFlags()
		if err := f.flags.Parse(strings.Fields("--to mbox:x " + c.line)); err != nil || f.wrong != nil {
			t.Fatal(err, f.wrong)
		}
		job, err := f.job(f.flags.Args())
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || c.want == "" && err != nil:
			t.Errorf("%s: %v", c.line, err)
		case err == nil && !job.mailboxes[0].Ticket():
			t.Errorf("%s: there is no ticket", c.line)
		}
	}
}
