package pop3client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// TestTranscripts plays testdata/*.pop3.
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
			s := parseScript(t, string(data))
			synctest.Test(t, func(t *testing.T) { perform(t, s) })
		})
	}
}

// perform plays a script.
func perform(t *testing.T, s *script) {
	server := newScripted(t, s.server)
	security, o := setOptions(t, server, s.options)
	p := &program{}
	for i, a := range s.actions {
		var got []string
		switch verb, _, _ := strings.Cut(a.do, " "); {
		case verb == "dial":
			c, err := pop3client.Dial(t.Context(), "mail.example.org:110", security, o)
			got = []string{outcome("ok", err)}
			p.c = c
		case i == 0:
			t.Fatalf("line %d: the first thing is to dial", a.line)
		default:
			got = p.do(t.Context(), a.do)
		}
		if !slices.EqualFunc(a.is, got, match) {
			t.Errorf("line %d: %s gives\n\t%s\nwant\n\t%s", a.line, a.do, strings.Join(got, "\n\t"), strings.Join(a.is, "\n\t"))
		}
	}
	if p.c != nil {
		p.c.Close()
	}
	server.wait()
}

// program is who uses a client.
type program struct{ c *pop3client.Client }

// do does one thing and says what came of it.
func (p *program) do(ctx context.Context, text string) []string {
	words := strings.Fields(text)
	number := func(i int) int {
		n, _ := strconv.Atoi(words[i])
		return n
	}
	one := func(good string, err error) []string { return []string{outcome(good, err)} }
	c := p.c
	switch words[0] {
	case "greeting":
		return one(c.Greeting(), nil)
	case "caps":
		caps, err := c.Capabilities(ctx)
		var lines []string
		for _, capability := range caps {
			lines = append(lines, capability.String())
		}
		return one(strings.Join(lines, ", "), err)
	case "login":
		return one("ok", c.Login(ctx, words[1], words[2]))
	case "signin":
		return one("ok", c.SignIn(ctx, credentials(words[1:])))
	case "stls":
		return one("ok", c.STLS(ctx))
	case "utf8":
		return one("ok", c.UTF8(ctx))
	case "lang":
		return one("ok", c.Language(ctx, words[1]))
	case "stat":
		count, octets, err := c.Stat(ctx)
		return one(fmt.Sprint(count, octets), err)
	case "list", "uidl":
		return p.list(ctx, words[0])
	case "retr":
		return p.read(c.Retr(ctx, number(1)))
	case "top":
		return p.read(c.Top(ctx, number(1), number(2)))
	case "dele":
		return one("ok", c.Dele(ctx, number(1)))
	case "noop":
		return one("ok", c.Noop(ctx))
	case "rset":
		return one("ok", c.Rset(ctx))
	case "quit":
		return one("ok", c.Quit(ctx))
	case "close":
		return one("ok", c.Close())
	case "pipe":
		return p.pipe(ctx, words[1:])
	}
	return []string{"no such thing"}
}

// credentials are user and password, and then what else there is.
func credentials(words []string) pop3client.Credentials {
	k := pop3client.Credentials{User: words[0], Password: words[1]}
	for _, word := range words[2:] {
		name, arg, _ := strings.Cut(word, "=")
		switch name {
		case "plaintext":
			k.Plaintext = true
		case "oneline":
			k.OneLine = true
		case "mechanism":
			k.Mechanism = arg
		case "token":
			k.Token = func(context.Context) (string, error) { return arg, nil }
		}
	}
	return k
}

func (p *program) list(ctx context.Context, what string) []string {
	list, err := p.c.List, error(nil)
	if what == "uidl" {
		list = p.c.UIDL
	}
	rows, err := list(ctx)
	if err != nil {
		return []string{outcome("", err)}
	}
	var all []string
	for _, l := range rows {
		all = append(all, fmt.Sprintf("%d %d %q", l.Number, l.Size, l.UID))
	}
	return append(all, "ok")
}

func (p *program) read(b *pop3client.Body, err error) []string {
	if err != nil {
		return []string{outcome("", err)}
	}
	message, err := io.ReadAll(b)
	if err != nil {
		return []string{fmt.Sprintf("%q and then", message), outcome("", err)}
	}
	return []string{fmt.Sprintf("%q", message)}
}

// pipe queues what words say, such as retr1 and dele2, and reads the replies.
func (p *program) pipe(ctx context.Context, words []string) []string {
	line := p.c.Pipeline(pop3client.Window{})
	for _, w := range words {
		n, _ := strconv.Atoi(w[4:])
		if w[:4] == "retr" {
			line.Retr(n, 0)
		} else {
			line.Dele(n)
		}
	}
	var all []string
	for {
		r, err := line.Next(ctx)
		switch {
		case err == io.EOF:
			return append(all, "ok")
		case err != nil:
			return append(all, outcome("", err))
		case r.Err != nil || r.Verb == pop3.Dele:
			all = append(all, outcome(fmt.Sprintf("%v %d", r.Verb, r.Number), r.Err))
		default:
			all = append(all, p.read(r.Body, nil)...)
		}
	}
}

// outcome is good, or the error and what a program can tell of it.
func outcome(good string, err error) string {
	if err == nil {
		return good
	}
	text := err.Error()
	if refused := (*pop3.Error)(nil); errors.As(err, &refused) {
		text = "refused: " + text
		if refused.Temporary() {
			text = "for now " + text
		}
	}
	return text
}
